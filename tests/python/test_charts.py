"""Charts are static, harmless SVG: readable in both modes, named, and equal bytes each time."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from support import charts
from support.charts import SERIES, Chart, set_log_axis

pytestmark = pytest.mark.quick

ROOT = Path(__file__).parents[2]
SVG = "{http://www.w3.org/2000/svg}"


def draw(label="a", title="what it shows", tooltips=("one", "two")):
    with Chart(400, 200, title) as chart:
        axes = chart.figure.subplots()
        axes.set_xlabel(label)
        [bar, _] = axes.bar([0, 1], [2, 3], color=charts.GOOD)
        chart.mark(bar, "bar")
        chart.mark(axes.scatter([0, 1], [2, 3], c=SERIES[0]), "points", tooltips)
        return chart.svg()


def texts_of(svg):
    return [element.text for element in ET.fromstring(svg).iter(f"{SVG}text")]


def test_a_chart_has_a_title_and_its_size_in_pixels():
    root = ET.fromstring(draw())
    assert (root.get("width"), root.get("viewBox"), root.get("role")) == (
        "400",
        "0 0 400 200",
        "img",
    )
    assert (root[0].tag, root[0].text) == (f"{SVG}title", "what it shows")


def test_equal_numbers_give_equal_bytes_in_any_process():
    script = "import tests.python.test_charts as t; print(t.draw(), end='')"
    other = [sys.executable, "-c", script]
    done = subprocess.run(other, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == draw()
    assert not re.search(r"20\d\d-\d\d|[Mm]atplotlib", done.stdout)
    assert done.stderr == ""


def test_a_chart_is_one_element_of_a_page_without_scripts_or_addresses():
    svg = draw()
    assert svg.startswith("<svg ") and svg.endswith("</svg>\n")
    assert not re.search(r"<script|<!|<\?|@import|url\((?!#)", svg)
    addresses = set(re.findall(r'"(https?:[^"]*)"', svg))
    assert addresses == {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    # A rule for other elements than its own would change the page.
    rules = re.findall(r"^(.*?) *{", ET.fromstring(svg)[1].text or "", re.MULTILINE)
    assert rules[0].startswith("@media") and all(rule.startswith(".chart ") for rule in rules[1:])


def test_every_colour_has_another_one_in_dark_mode():
    svg = draw()
    [style] = [e.text or "" for e in ET.fromstring(svg).iter(f"{SVG}style")]
    used = set(re.findall(r'(?<=style=")[^"]*', svg.replace(style, "")))
    pairs = set(re.findall(r"(?:fill|stroke): #\w+", "; ".join(used)))
    assert len(pairs) > 4
    assert all(f'"{pair}"' in style for pair in pairs)
    assert "fill: #ffffff" not in svg and "font-family: " not in svg


def test_marks_have_a_class_and_a_tooltip_for_each_shape():
    groups = {e.get("class"): e for e in ET.fromstring(draw()).iter(f"{SVG}g")}
    assert [title.text for title in groups["points"].iter(f"{SVG}title")] == ["one", "two"]
    assert len(list(groups["bar"].iter(f"{SVG}path"))) == 1
    assert not [e for e in ET.fromstring(draw()).iter(f"{SVG}g") if e.get("id")]
    with pytest.raises(ValueError, match="shorter"):
        draw(tooltips=["one"])


def test_texts_from_outside_are_shown_as_they_are():
    svg = draw("$x^2$ <b>&\x1b[31m\u202e", "<script>\x07", ["</title>", "\x00\uffff"])
    assert "$x^2$ <b>&\\u001b[31m\\u202e" in texts_of(svg)
    titles = [element.text for element in ET.fromstring(svg).iter(f"{SVG}title")]
    assert titles == [r"<script>\u0007", "</title>", "\\u0000\ufffd"]


def test_chinese_is_text_and_gives_no_warning(recwarn):
    assert "轻量模型" in texts_of(draw("轻量模型"))
    assert not recwarn.list


def test_a_logarithmic_axis_has_readable_powers_of_ten():
    with Chart(400, 200, "") as chart:
        axes = chart.figure.subplots()
        set_log_axis(axes, "y", -12, 0)
        set_log_axis(axes, "x", 0, 2, lambda power: f"{10**power}×")
        axes.plot([1, 100], [1e-12, 1])
        texts = texts_of(chart.svg())
    assert texts[:3] == ["1×", "10×", "100×"]
    assert texts[3:] == ["10⁻¹²", "10⁻¹⁰", "10⁻⁸", "10⁻⁶", "10⁻⁴", "10⁻²", "10⁰"]


def test_a_program_that_draws_nothing_does_not_load_matplotlib():
    script = "import sys, bench.output, support.charts; sys.exit('matplotlib' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)
