"""Every form of the report says the same and needs no other file."""

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from numerics.budgets import Cost
from parity_tests.cases import TextCase
from parity_tests.checks import budgets
from parity_tests.checks.invariances import STAGE
from parity_tests.checks.stages import StageRow, judge_stages
from parity_tests.checks.stored_parts import PartResult
from parity_tests.flow import FlowResult
from parity_tests.provenance import Contract
from parity_tests.reports import ci, page, plots, report, terminal
from parity_tests.reports.assemble import ReportInputs, assemble_report
from parity_tests.reports.matrix import Matrix
from parity_tests.reports.report import ParityReport, TokensEntry
from parity_tests.runners.runs import RunOutput
from parity_tests.runners.tokenizer_source import TokenizerSource
from parity_tests.tokenizer.disagreements import Disagreements, KindCount
from parity_tests.tokenizer.explain import Difference
from parity_tests.tokenizer.proof import ProofResult, ProofRow
from parity_tests.training import judgement
from parity_tests.training.compare import Quantity, SidePair, compare_curve
from parity_tests.training.judgement import LossCurves, TrainingResult
from parity_tests.training.sides import TrainingSide
from support.sha256 import directory_sha256

pytestmark = pytest.mark.quick

MEASURED = ("sequence_output", "pooled_output", "probabilities", "taps/layer_0/output")
BUDGETS = budgets.Budgets(dict.fromkeys(MEASURED, Cost(1.25e-6, 1.0, 1)))
"""Eight times that is 1e-5."""

CASES = [
    TextCase(0, 0, " "),
    TextCase(1, 0, "<script>alert('坏')</script>&\x0b"),
    TextCase(2, 0, "好书"),
]


def run(delta: float = 0.0) -> RunOutput:
    batch = {
        "input_ids": np.array([[0, 0], [5, 6], [6, 7]], np.int32),
        "attention_mask": np.array([[0, 0], [1, 1], [1, 1]], np.int32),
        "token_type_ids": np.zeros((3, 2), np.int32),
        "sequence_output": np.ones((3, 2, 4), np.float32) + np.float32(delta),
        "pooled_output": np.zeros((3, 4), np.float32) + np.float32(delta / 4),
    }
    batch["taps/layer_0/output"] = np.ones((3, 2, 4), np.float32) + np.float32(delta / 100)
    versions = {"node": "20.0.0", "tfjs": "4.22.0"} if delta else {"python": "3.11.7"}
    tokens = {(s, 0): [[], ["<a>", "b"], ["好", "书"]] for s in ("added", "none")}
    return RunOutput({("added", 0): batch, ("none", 0): batch}, versions, tokens)


SAME = PartResult("pass", compared=25)
STORED = dict.fromkeys(("contract", "weights", "vocab", "tables"), SAME)


def proof(different: int) -> ProofResult:
    difference = Difference(
        tokenizer="bert",
        group="reviews",
        text="好\x0b\u0301",
        shrunk="\x0b\u0301",
        code_points=["U+000B Cc", "U+0301 COMBINING ACUTE ACCENT"],
        python=["[UNK]"],
        node=["a", "b"],
        character="U+0301 COMBINING ACUTE ACCENT",
        rule="table entry: <b>",
    )
    rows = [
        ProofRow("bert", "reviews", 5, different, differences=[difference] * different),
        ProofRow("chars", "reviews", 6),
    ]
    return ProofResult.of(rows, False, Disagreements(8, 6, [KindCount("marks", 2)]))


def training(off: bool) -> TrainingResult:
    """Returns two steps on wasm, with `far` as the second difference."""
    keras = TrainingSide(np.array([1.0, 0.5]), np.array([0.5, 1.0]), {2: {}})
    node = replace(keras, loss=np.array([1.0, 0.75 if off else 0.5 + 2**-20]))
    loss = compare_curve("loss <i>", node.loss, keras.loss, [1e-6, 1e-5], "wasm")
    pair = SidePair("wasm", "Keras", 2, [loss])
    exact = SidePair("Keras", "float64", 2, [Quantity("loss", compared=2, share=0.25)])
    curves = LossCurves.of(keras, {"wasm": node}, [1e-6, 1e-5])
    return judgement.training_result(2, exact, [pair], curves)


def result(
    model: Path,
    delta: float,
    trained: bool | None = False,
    tokenizers: ProofResult | None = None,
    head: TrainingResult | None = None,
    stored: dict[str, PartResult] = STORED,
    node: RunOutput | None = None,
) -> ParityReport:
    model.mkdir(exist_ok=True)
    (model / "saved_model.pb").write_bytes(b"a model")
    contract = Contract(
        Path("bundle"),
        "ab" * 32,
        {
            "name": "albert_tiny",
            "architecture": "albert",
            "trained": trained,
            "weight_dtype": "float32",
            "padding": "masked",
            "max_length": 512,
            "provenance": {"source": {"handle": "h", "sha256": directory_sha256(model)}},
        },
    )
    inputs = ReportInputs(contract, model, TokenizerSource(Path("tokenizer")), None, "none")
    node = node or run(delta)
    rows = judge_stages("wasm", node, run(), CASES, BUDGETS, ["layer_0/output"])
    repeated = StageRow("wasm", "added", STAGE, budgets.EXACT, "repeated")
    repeated.add_measures(0, rows[0].measures)
    flow = FlowResult(run(), "float32", nodes={"wasm": node}, rows=[*rows, repeated])
    return assemble_report(inputs, CASES, flow, stored, tokenizers, head)


@pytest.fixture(params=[4e-6, 1e-3], ids=["pass", "drift"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> ParityReport:
    return result(tmp_path / "model", request.param)


def test_the_verdict_is_that_of_the_rows(tmp_path: Path) -> None:
    good = result(tmp_path / "model", 4e-6)
    assert (good.verdict, good.first_stage_off, good.failures) == ("pass", None, [])
    bad = result(tmp_path / "model", 1e-3)
    assert (bad.verdict, bad.first_stage_off) == ("drift", "sequence_output")
    assert [row.status for row in bad.rows[:5]] == [
        "pass",
        "pass",
        "pass",
        "drift",
        "downstream",
    ]


def test_json_has_what_a_program_needs(tmp_path: Path, either: ParityReport) -> None:
    either.write(tmp_path / "report.json")
    read = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert read == asdict(either)
    assert (read["schema"], read["schema_version"]) == ("bert-bridge/parity", 3)
    assert read["source"]["same"] is True
    assert read["versions"] == {"python": "3.11.7", "node": "20.0.0", "tfjs": "4.22.0"}
    assert [text["tokens"] for text in read["cases"]] == [0, 2, 2]
    assert [row["stage"] for row in read["rows"] if row["is_tap"]] == ["layer_0/output"] * 2
    row = read["rows"][3]
    assert sum(row["measures"]["ulps"]) == row["compared"] == 16
    assert row["budget"]["atol"] == 1e-5
    # Python's values are 1 here, so the relative part of the budget takes 2e-6 off.
    measures = row["measures"]
    assert measures["smallest_atol"] > 0
    assert measures["smallest_atol"] == pytest.approx(measures["max_abs"] - 2e-6, abs=1e-12)


class Outside(HTMLParser):
    """Collects tags, and everything that a page would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.fetched += [value or "" for name, value in attrs if name in ("src", "href")]


def test_html_is_self_contained_and_escapes_texts(tmp_path: Path, either: ParityReport) -> None:
    page.write_report_page(tmp_path / "report.html", either)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    parser = Outside()
    parser.feed(text)
    assert parser.fetched == []
    assert "script" not in parser.tags
    names = re.sub(r'xmlns(:\w+)?="http://www.w3.org/[\w/]+"', "", text)
    assert not re.search(r"url\((?!#)|@import|https?://", names)
    assert "prefers-color-scheme: dark" in text
    assert text.count("<use ") > 2 * 2 * 3
    assert "Untrained weights" in text


def test_only_untrained_weights_are_marked(tmp_path: Path) -> None:
    page.write_report_page(tmp_path / "report.html", result(tmp_path / "model", 4e-6, trained=True))
    assert "Untrained" not in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_junit_counts_failed_rows(tmp_path: Path, either: ParityReport) -> None:
    ci.write_junit(tmp_path / "report.xml", either)
    suite, stored = ET.parse(tmp_path / "report.xml").getroot()
    assert (stored.get("name"), stored.get("tests")) == ("parity.stored_parts", "4")
    assert stored.get("failures") == stored.get("skipped") == "0"
    off = sum(row.status != "pass" for row in either.rows)
    assert suite.get("tests") == str(len(either.rows))
    assert suite.get("failures") == str(off) == str(len(suite.findall("testcase/failure")))


def test_the_terminal_has_verdict_and_stage(tmp_path: Path) -> None:
    good = terminal.format_report(result(tmp_path / "model", 4e-6))
    assert "UNTRAINED" in good
    assert good.endswith("parity holds: Node gives what Python gives")
    bad = terminal.format_report(result(tmp_path / "model", 1e-3))
    assert "got 1.0010" in bad
    assert bad.endswith("the first stage that is off is sequence_output")


def test_taps_that_only_follow_are_marked_on_the_terminal_and_the_page(tmp_path: Path) -> None:
    document = result(tmp_path / "model", 1e-3)
    rows = [replace(row, status="downstream") if row.is_tap else row for row in document.rows]
    document, taps = replace(document, rows=rows), sum(row.is_tap for row in rows)
    said, follow = f"0 of {taps} taps", f"hold, {taps} follow"
    assert f"{said} inside the model {follow}" in terminal.format_report(document)
    page.write_report_page(tmp_path / "report.html", document)
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert f"Inside the model: {said} {follow}</summary>" in html


def test_a_row_shows_the_absolute_and_the_relative_budget(tmp_path: Path) -> None:
    """Python's values are 1: 1.1e-5 is within 1e-5 + 2e-6·1, and 1e-5 alone would seem exceeded."""
    document = result(tmp_path / "model", 1.1e-5)
    assert document.verdict == "pass"
    line = next(
        t for t in terminal.format_report(document).splitlines() if " sequence_output " in t
    )
    assert line.split("  ")[-3:] == ["1.1e-05", "1e-05 + 2e-06·|v|", "ok"]
    page.write_report_page(tmp_path / "report.html", document)
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "1e-05 + 2e-06·|v|" in html


def drawn(svg: str, name: str) -> list[tuple[float, float]]:
    """Returns the points of what has this class: marks, or the corners of lines and bars.

    All of them are inside the picture.
    """
    root = ET.fromstring(svg)
    found = []
    for group in root.iter("{http://www.w3.org/2000/svg}g"):
        if group.get("class") == name:
            for element in group.iter():
                if element.get("x") is not None:
                    found.append((float(element.get("x", "")), float(element.get("y", ""))))
                elif name != "mark" and element.get("d") is not None:
                    corners = re.findall(r"[ML] ([-\d.]+) ([-\d.]+)", element.get("d", ""))
                    found += [(float(x), float(y)) for x, y in corners]
    width, height = (float(root.get(side, "")) for side in ("width", "height"))
    assert found
    assert all(0 < x < width and 0 < y < height for x, y in found)
    return found


def test_each_text_has_a_mark_that_shows_whether_it_is_within_the_budget(
    either: ParityReport,
) -> None:
    charts = plots.stage_charts(either)
    titles = [re.search("<title>(.*?)</title>", svg) for svg in charts]
    assert [title and title[1] for title in titles] == [
        f"Largest difference of each text in {stage}, against the budget"
        for stage in ("sequence_output", "pooled_output")
    ]
    for svg in charts:
        marks = drawn(svg, "mark")
        assert len(marks) == 2 * 2, "two texts that are not blank, with and without special tokens"
        limit = drawn(svg, "limit")[0][1]
        assert any(y < limit for _, y in marks) == (either.verdict == "drift")


@pytest.mark.parametrize("different", [0, 1])
def test_the_tokenizer_proof_is_part_of_the_verdict(tmp_path: Path, different: int) -> None:
    document = result(tmp_path / "model", 4e-6, tokenizers=proof(different))
    assert document.verdict == ("drift" if different else "pass")
    assert document.first_stage_off == ("tokenizers" if different else None)

    shown = terminal.format_report(document)
    assert "tokenizers: 2, 11 texts (a sample" in shown
    assert ("1 DIFFER" in shown) == bool(different)
    assert ("U+0301 COMBINING ACUTE ACCENT" in shown) == bool(different)

    ci.write_junit(tmp_path / "report.xml", document)
    suite = ET.parse(tmp_path / "report.xml").getroot().find("*[@name='parity.tokenizers']")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures")) == ("2", str(different))
    assert len(suite.findall("testcase/failure")) == different

    page.write_report_page(tmp_path / "report.html", document)
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "6 of 8 real reviews" in html and "75.0 %" in html and "25.00 %" in html
    assert ("table entry: &lt;b&gt;" in html) == bool(different)


@pytest.mark.parametrize("off", [False, True])
def test_the_heads_training_is_part_of_the_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, off: bool
) -> None:
    document = result(tmp_path / "model", 4e-6, head=training(off))
    assert document.verdict == ("drift" if off else "pass")
    assert document.first_stage_off == ("training" if off else None)
    document.write(tmp_path / "report.json")

    shown = terminal.format_report(document)
    assert "training: steps as in Keras: 2 on wasm" in shown
    assert ("got 0.75, but should be 0.5 ± 1e-05 [loss <i> of step 2, wasm" in shown) == off

    ci.write_junit(tmp_path / "report.xml", document)
    suite = ET.parse(tmp_path / "report.xml").getroot().find("*[@name='parity.training']")
    assert suite is not None
    assert (suite.get("tests"), suite.get("failures")) == ("2", str(int(off)))
    assert len(suite.findall("testcase/failure")) == off

    page.write_report_page(tmp_path / "report.html", document)
    html = (tmp_path / "report.html").read_text("utf-8")
    assert "Training the head" in html and html.count('class="course"') == 1
    assert ("[loss &lt;i&gt; of step 2" in html) == off
    assert "<i>" not in html

    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    lines = ci.annotate(document, "")
    assert any(line.startswith("::error title=training::got 0.75") for line in lines) == off


def test_an_earlier_stage_is_reported_before_the_training(tmp_path: Path) -> None:
    document = result(tmp_path / "model", 1e-3, head=training(True))
    assert document.first_stage_off == "sequence_output"


def test_a_training_that_was_not_compared_has_a_reason(tmp_path: Path) -> None:
    document = result(tmp_path / "model", 4e-6, head=judgement.not_compared("no <output>"))
    assert document.verdict == "pass"
    assert "training: not compared, no <output>" in terminal.format_report(document)
    page.write_report_page(tmp_path / "report.html", document)
    assert "No &lt;output&gt;." in (tmp_path / "report.html").read_text("utf-8")
    ci.write_junit(tmp_path / "report.xml", document)
    suite = ET.parse(tmp_path / "report.xml").getroot().find("*[@name='parity.training']")
    assert suite is not None and suite.find("testcase/skipped") is not None


@pytest.mark.parametrize("off", [False, True])
def test_training_chart_shows_losses_and_their_distance(off: bool) -> None:
    svg = plots.training_chart(training(off))
    assert len(drawn(svg, "course")) == 2, "Keras's loss of two steps"
    marks = drawn(svg, "mark")
    assert len(marks) == 4, "a loss and a difference for each of two steps"
    limit = drawn(svg, "limit")
    assert (marks[3][1] < limit[1][1]) == off, "above what is allowed"


def test_a_run_without_the_proof_is_marked(tmp_path: Path) -> None:
    document = result(tmp_path / "model", 4e-6)
    assert "training: not compared in this run" in terminal.format_report(document)
    assert "tokenizers: not proven in this run" in terminal.format_report(document)


def test_a_drifted_stored_part_comes_before_every_other_stage(tmp_path: Path) -> None:
    off = PartResult.of(25, ["got 1, but should be 2 [weight <a>]"])
    stored = STORED | {"weights": off, "tables": PartResult("none", note="no <vocab>")}
    document = result(tmp_path / "model", 1e-3, stored=stored)
    assert (document.verdict, document.first_stage_off) == ("drift", "weights")
    shown = terminal.format_report(document)
    assert "weights: 1 of 25 DIFFER\ngot 1, but should be 2 [weight <a>]" in shown
    assert "tables: not compared, no <vocab>" in shown
    ci.write_junit(tmp_path / "report.xml", document)
    suite = ET.parse(tmp_path / "report.xml").getroot().find("*[@name='parity.stored_parts']")
    assert suite is not None
    assert (suite.get("failures"), suite.get("skipped")) == ("1", "1")
    assert suite.find("*[@name='weights']/failure") is not None
    page.write_report_page(tmp_path / "report.html", document)
    text = (tmp_path / "report.html").read_text("utf-8")
    assert "should be 2 [weight &lt;a&gt;]" in text
    assert "not compared: no &lt;vocab&gt;" in text


def test_the_first_stage_follows_the_flow_and_not_the_rows(tmp_path: Path) -> None:
    node = run(1e-3)
    node.batches["none", 0] = dict(node.batches["none", 0]) | {
        "input_ids": np.array([[0, 0], [9, 6], [6, 7]], np.int32)
    }
    document = result(tmp_path / "model", 1e-3, node=node)
    first = next(row for row in document.rows if row.status == "drift")
    assert (first.special_tokens, first.stage) == ("added", "sequence_output")
    assert document.first_stage_off == "ids"


def test_tokens_are_shown_side_by_side(tmp_path: Path) -> None:
    node = run(4e-6)
    node.tokens["added", 0][1] = ["<a>", "[UNK]"]
    document = result(tmp_path / "model", 4e-6, node=node)
    assert document.tokens == [
        TokensEntry("wasm", "added", 1, ["<a>", "[UNK]"], ["<a>", "b"], first_difference=1)
    ]
    page.write_report_page(tmp_path / "report.html", document)
    text = (tmp_path / "report.html").read_text("utf-8")
    assert '<span class="off">[UNK]</span>' in text
    assert '<span class="off">b</span>' in text
    assert "<span>&lt;a&gt;</span>" in text


def test_layer_chart_has_a_mark_for_each_tap_and_output(either: ParityReport) -> None:
    svg = plots.layer_chart(either)
    marks, limit = drawn(svg, "mark"), drawn(svg, "limit")[0][1]
    assert len(marks) == 3, "one tap, two outputs"
    assert any(y < limit for _, y in marks) == (either.verdict == "drift")


def test_ulp_chart_counts_every_value(either: ParityReport) -> None:
    svg = plots.ulp_chart(either)
    assert drawn(svg, "bar")
    counts = re.findall(r"apart: ([\d,]+) of ([\d,]+) values", svg)
    assert {total for _, total in counts} == {"48"}, "2 outputs × 2 texts, with and without"
    assert sum(int(count) for count, _ in counts) == 48


def test_several_bundles_make_a_matrix(tmp_path: Path) -> None:
    good, bad = (result(tmp_path / "model", delta) for delta in (4e-6, 1e-3))
    found = Matrix.of([(good, "0/report.html"), (bad, "1/report.html")])
    assert found.verdict == "drift"
    assert [row.backends["wasm"].status for row in found.rows] == ["pass", "drift"]
    page.write_matrix_page(tmp_path / "index.html", found)
    text = (tmp_path / "index.html").read_text("utf-8")
    assert 'href="1/report.html"' in text
    assert Matrix.of([(good, "x")]).verdict == "pass"
    assert Matrix.of([]).verdict == "drift"


def test_github_gets_annotations_of_failures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = result(tmp_path / "model", 1e-3)
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    assert ci.annotate(bad, "table") == []
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    lines = ci.annotate(bad, "100 %\nof it")
    assert lines[0] == ("::error title=parity::the first stage that is off is sequence_output")
    assert all(line.startswith("::error title=") and "\n" not in line for line in lines)
    assert len(lines) <= 8
    assert "100 %\nof it" in (tmp_path / "summary.md").read_text("utf-8")
    (only,) = ci.annotate(result(tmp_path / "model", 4e-6), "")
    assert only.startswith("::notice title=parity::")


def test_every_key_of_the_document_is_described(either: ParityReport) -> None:
    described = (Path(report.__file__).parents[1] / "REPORT.md").read_text("utf-8")
    document = asdict(either)
    row = document["rows"][3]
    keys = {*document, *row, *row["budget"], *row["measures"], *document["bundle"]}
    keys |= {*document["source"], *document["source"]["tokenizer"], *document["cases"][0]}
    keys |= {*document["points"][0], *document["stored_parts"]["weights"]}
    assert [key for key in sorted(keys) if f"`{key}`" not in described] == []
