"""The code around the benchmarks with made rows, and a quick run of the real ones.

No measured figure decides a test.
"""

import json
import math
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest

from bench import __main__ as command
from bench.output import draw_svg, format_rows
from bench.rows import BenchRecord, BenchRow, read_rows
from bench.setting import collect_facts
from bench.side import SideProcess, python_program, time_in_turns
from bench.tokenizer import loading, scaling, speed
from bench.tokenizer.speed import CASES, compare_with_peer
from support import ROOT
from support.errors import CheckFailed, EnvironmentProblem

MACHINE = {"cpu": "made up", "cpus": 2, "node": "20", "versions": {"a": "1"}}
SVG = "{http://www.w3.org/2000/svg}"
ORDER = ["toy.sort", "toy.load", "toy.memory"]


def row(name="toy.sort", **changed):
    made = {"what": "a list", "ours": [0.5, 0.4, 0.6], "peer": "theirs", "peers": [1.0, 2.0, 1.5]}
    return BenchRow(name, **(made | changed))


def test_the_ratio_compares_medians_and_the_spread_compares_rounds():
    document = row(target=2, work=6, work_unit="texts").document()
    assert (document["ours_s"], document["peer_s"], document["ratio"]) == (0.5, 1.5, 3.0)
    assert (document["ratio_low"], document["ratio_high"], document["rounds"]) == (2.0, 5.0, 3)
    assert (document["ours_per_s"], document["peer_per_s"]) == (12, 4)


@pytest.mark.parametrize(("target", "met"), [(2.9, True), (3, True), (3.1, False), (None, None)])
def test_a_target_is_met_when_the_ratio_reaches_it(target, met):
    assert row(target=target).met is met


def test_a_goal_can_replace_a_peer():
    document = row(peers=[0.05], target=1).document()
    assert (document["ratio"], document["met"], document["peer_s"]) == (0.1, False, 0.05)
    assert document["ratio_high"] == 0.125


def test_memory_rows_are_in_bytes():
    document = row(unit="bytes", ours=[300.0], peers=[600.0], work=5).document()
    assert (document["ours_bytes"], document["peer_bytes"], document["ratio"]) == (300, 600, 2)
    assert not {"ours_s", "ours_per_s"} & set(document)


def test_new_rows_replace_old_ones_and_are_in_order(tmp_path):
    path = tmp_path / "deep" / "bench.json"
    first = BenchRecord(path, MACHINE, "old", ORDER)
    for name in ("toy.memory", "toy.sort"):
        first.add(row(name))
    second = BenchRecord(path, MACHINE, "new", ORDER)
    second.add(row("toy.memory", target=4))
    rows = json.loads(path.read_text())
    assert [(r["name"], r["code"]) for r in rows] == [("toy.sort", "old"), ("toy.memory", "new")]
    assert rows[1]["met"] is False
    assert rows[0]["machine"] == MACHINE
    assert [file.name for file in path.parent.iterdir()] == ["bench.json"]
    assert [r["name"] for r in BenchRecord(path, MACHINE, "new", ["toy.sort"]).rows] == ["toy.sort"]


def test_another_machine_or_version_starts_a_new_file(tmp_path):
    path = tmp_path / "bench.json"
    BenchRecord(path, MACHINE, "code", ORDER).add(row("toy.memory"))
    other = BenchRecord(path, MACHINE | {"versions": {"a": "2"}}, "code", ORDER)
    assert other.starts_anew
    other.add(row())
    assert [r["name"] for r in read_rows(path)] == ["toy.sort"]


@pytest.mark.parametrize("text", ["", "{", "{}", "[1]"])
def test_a_damaged_file_is_replaced(tmp_path, text):
    path = tmp_path / "bench.json"
    path.write_text(text)
    BenchRecord(path, MACHINE, "code", ORDER).add(row())
    assert [r["name"] for r in read_rows(path)] == ["toy.sort"]


def documents(tmp_path):
    record = BenchRecord(tmp_path / "bench.json", MACHINE, "now", ORDER)
    record.add(row(target=2, work=6, work_unit="texts"))
    record.add(row("toy.load", target=4, note="why it is slow"))
    record.rows[1]["code"] = "then"
    record.add(row("toy.memory", unit="bytes", ours=[2.0**21], peers=[2.0**20]))
    return record.rows


def test_the_table_marks_missed_targets_and_old_code(tmp_path):
    lines = format_rows(documents(tmp_path), "now").split("\n")
    assert [re.sub(" +", " ", line) for line in lines[1:4]] == [
        "toy.sort 12 texts/s 4 texts/s 3× 2–5 2× met theirs",
        "toy.load * 500 ms 1.5 s 3× 2–5 4× MISSED theirs",
        "toy.memory 2.00 MiB 1.00 MiB 0.5× 0.5–0.5 theirs",
    ]
    assert "toy.load: why it is slow" in lines
    assert lines[-1] == "1 of 2 targets met"
    assert format_rows([], "now") == "no rows"


def test_the_chart_has_a_bar_for_each_row_and_a_mark_for_each_target(tmp_path):
    groups = [
        (group.get("class"), horizontal_extent(group))
        for group in ET.fromstring(draw_svg(documents(tmp_path))).iter(f"{SVG}g")
        if group.get("class")
    ]
    kinds = [kind for kind, _ in groups]
    assert [kinds.count(kind) for kind in ("met", "missed", "open", "target")] == [1, 1, 1, 2]
    extents = dict(groups)
    (one, _), met, slower = extents["one"], extents["met"], extents["open"]
    assert met[0] == slower[1] == one
    # The axis is logarithmic: 3 is as far from 1 as log 3 says against log 2.
    assert (met[1] - one) / (one - slower[0]) == pytest.approx(math.log(3) / math.log(2), rel=1e-4)
    assert draw_svg([]).startswith("<svg")


def test_the_chart_separates_families_and_crosses_no_ratio():
    rows = [
        {"name": name, "ratio": ratio, "target": target, "met": None, "what": "", "peer": ""}
        | {"machine": MACHINE}
        for name, ratio, target in (("a.b", 9, 10), ("a.c", 9, 90), ("d", 9, 1))
    ]
    chart = ET.fromstring(draw_svg(rows))
    labels = [text.attrib for text in chart.iter(f"{SVG}text") if text.text == "9×"]
    (near, far, beside), heights = ([float(a[key]) for a in labels] for key in ("x", "y"))
    targets = [g for g in chart.iter(f"{SVG}g") if g.get("class") == "target"]
    assert near > horizontal_extent(targets[0])[0] > far == beside
    assert heights[1] - heights[0] < heights[2] - heights[1]


def horizontal_extent(group):
    """Returns the smallest and the largest x of a group's path."""
    [path] = [element.attrib["d"] for element in group.iter(f"{SVG}path")]
    across = [float(x) for x in re.findall(r"[ML] (\S+)", path)]
    return min(across), max(across)


def test_sides_are_measured_in_turns_after_a_warm_up():
    clock = count()
    times = time_in_turns(lambda: next(clock), lambda: next(clock), 2, lambda line: None)
    assert times == ([2, 4], [3, 5])


def toy_family(stopped):
    def rows(setting):
        for name in ("toy.sort", "toy.load"):
            if setting.wants(name):
                yield row(name, target=2)
            if stopped:
                raise stopped

    return SimpleNamespace(NAMES=("toy.sort", "toy.load"), measure_rows=rows)


@pytest.mark.parametrize(
    ("stopped", "exit_code", "saved"),
    [
        (None, 0, ["toy.sort", "toy.load"]),
        (KeyboardInterrupt(), 130, ["toy.sort"]),
        (CheckFailed("they differ"), 1, ["toy.sort"]),
    ],
)
def test_an_interrupted_run_saves_finished_rows(tmp_path, monkeypatch, stopped, exit_code, saved):
    monkeypatch.setattr(command, "FAMILIES", (toy_family(stopped),))
    assert command.main(["--root", str(tmp_path)]) == exit_code
    assert [r["name"] for r in read_rows(tmp_path / "bench.json")] == saved
    assert (tmp_path / "bench.svg").exists()


def test_names_choose_rows(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(command, "FAMILIES", (toy_family(None),))
    assert command.main(["toy.load", "--quick", "--json", "--root", str(tmp_path)]) == 0
    assert [r["name"] for r in json.loads(capsys.readouterr().out)] == ["toy.load"]
    assert not (tmp_path / "bench.json").exists()
    assert command.main(["toy.lo", "--root", str(tmp_path)]) == 2
    assert "no row is called toy.lo (did you mean toy.load?)" in capsys.readouterr().err


def test_a_failing_side_is_reported():
    with (
        SideProcess("a broken side", [sys.executable, "-c", "raise ValueError('no data')"]) as side,
        pytest.raises(EnvironmentProblem, match="a broken side ended with exit code 1.*no data"),
    ):
        side.ask("time")
    with (
        SideProcess("a peer", python_program("bench.tokenizer.python_peers")) as side,
        pytest.raises(EnvironmentProblem, match="a peer could not dance: KeyError"),
    ):
        side.ask("dance")


def test_sides_that_differ_are_not_timed():
    def side(ids: list[int]) -> Any:
        return SimpleNamespace(ask=lambda op, indices: [ids for _ in indices])

    compare_with_peer(CASES[0], side([1]), side([1]), 9)
    with pytest.raises(CheckFailed, match=r"review 0: ours gives \[1\], .* \[2\]"):
        compare_with_peer(CASES[0], side([1]), side([2]), 9)


def test_a_quick_run_of_the_tokenizers_writes_every_row(embedded):
    arguments = ["tokenizer", "--quick", "--json", "--root", str(embedded.root)]
    run = [sys.executable, "-m", "bench", *arguments]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = {r["name"]: r for r in json.loads(done.stdout)}
    assert set(rows) >= {*speed.NAMES, *loading.NAMES, *scaling.NAMES}
    assert rows == {r["name"]: r for r in read_rows(embedded.root / "bench.quick.json")}
    for name in (*speed.NAMES, *loading.NAMES, *scaling.NAMES):
        assert rows[name]["ratio"] > 0
        assert rows[name]["machine"] == collect_facts()
