"""Long texts: Python's own windows against Node's, and parity of classifiers trained with them."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from parity_tests import cases
from parity_tests.checks.head import GOLDEN
from parity_tests.checks.long_texts import LONG, make_long_cases
from parity_tests.judgement import judge_bundle
from parity_tests.reference import Reference, prepare_reference
from parity_tests.reports import page, terminal
from parity_tests.reports.report import ParityReport
from parity_tests.runners.long_texts import HEAD_TAIL, WINDOWS, LongRule, split_long
from parity_tests.runners.tokenizer_source import TokenizerSource
from support import ROOT
from support.contracts import read_classifier, seal_description
from support.node import find_node

if TYPE_CHECKING:
    from tests.python.conftest import Embedded

BACKENDS = {"wasm": 8}
POSITIONS = 16

READ = """
import { readFileSync } from 'node:fs';
import { Bundle } from './node_bridge/bundle/bundle.js';
import { Tokenizer } from './node_bridge/tokenizer/index.js';
import { TextReader } from './node_bridge/tokenizer/long_texts.js';

const [dir, file] = process.argv.slice(1);
const tokenizer = Tokenizer.fromBundle(Bundle.open(dir));
const plain = ({ ids, typeIds }) => [Array.from(ids), Array.from(typeIds)];
const read = ({ text, pair, rule: { max_length: maxLength, ...long } }) => {
  const reading = new TextReader(tokenizer, { maxLength, long }).read({ text, pair });
  const rows = Array.from({ length: reading.count }, (_, i) => plain(reading.row(i)));
  const encode = (most) => plain(tokenizer.encode(text, { pair, maxLength: most }));
  return { cut: encode(maxLength), whole: encode(2 ** 30), rows };
};
process.stdout.write(JSON.stringify(JSON.parse(readFileSync(file, 'utf8')).map(read)));
"""


def test_pythons_rows_are_nodes(embedded: Embedded, tmp_path: Path) -> None:
    draw = random.Random(0)
    asked = []
    for _ in range(400):
        sizes = [draw.randrange(40) for _ in range(draw.choice((1, 2)))]
        texts = ["".join(chr(draw.randrange(0x4E00, 0x9FA0)) for _ in range(n)) for n in sizes]
        length = draw.randrange(4, 20)
        stride = draw.randrange(1, length - 1)
        choice = draw.choice((WINDOWS, HEAD_TAIL))
        rule = LongRule(length, choice, stride if choice == WINDOWS else 0)
        asked.append((texts, rule))
    file = tmp_path / "asked.json"
    rows = [
        dict(zip(("text", "pair"), texts, strict=False)) | {"rule": json.loads(rule.to_json())}
        for texts, rule in asked
    ]
    file.write_text(json.dumps(rows), "utf-8")
    command = [find_node(), "--input-type=module", "-e", READ, str(embedded.bundle), str(file)]
    answers = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout)
    long = 0
    for (_, rule), answer in zip(asked, answers, strict=True):
        whole, cut, rows = (answer[name] for name in ("whole", "cut", "rows"))
        fits = len(whole[0]) <= rule.max_length
        long += not fits
        expected = [cut] if fits else [list(row) for row in split_long(whole, cut, rule)]
        assert rows == expected, (rule, whole)
    assert long > 200


def test_texts_are_made_that_are_longer_than_a_row() -> None:
    picked = [cases.TextCase(i, 0, text) for i, text in enumerate((" ", "好书", "good 书", "一般"))]
    rule = LongRule(32, WINDOWS, 15)
    single = make_long_cases(picked, rule, "single")
    lengths = [len([c for c in case.text if c > "z"]) + case.text.count("good") for case in single]
    assert lengths[0] == 2 and all(
        made >= times * 32 for made, times in zip(lengths, (0, 1.25, 2.5, 4), strict=True)
    )
    assert [case.batch for case in single] == [0, 1, 2, 3]
    pairs = make_long_cases(picked, rule, "pair")
    longer = [(len(case.text) > 40, len(case.pair or "") > 40) for case in pairs]
    assert longer == [(False, False), (False, True), (True, False), (True, True)]


@dataclass(frozen=True)
class Setting:
    """How a classifier is trained, and on what."""

    options: tuple[str, ...]
    paired: bool = False


SETTINGS = {
    "windows": Setting(("--long", "windows")),
    "windows_of_pairs": Setting(
        ("--long", "windows", "--stride", "5", "--window-pooling", "max", "--head", "linear"), True
    ),
    "head_tail": Setting(("--long", "head-tail", "--head", "bilstm")),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("long")


@pytest.fixture(scope="module")
def reference(embedded: Embedded, place: Path) -> Reference:
    lines = (embedded.data / "dev.jsonl").read_text("utf-8").split("\n")
    texts = [json.loads(line)["text"] for line in lines if line]
    picked = cases.pick_cases([cases.Text(text) for text in texts if len(text) <= 60], 8)
    file = place / "cases.jsonl"
    cases.write_cases(file, picked)
    source = TokenizerSource(model=embedded.tokenizer_model)
    return prepare_reference(
        embedded.model, source, file, place / "reference", embedded.bundle / "bundle.json"
    )


@pytest.fixture(scope="module")
def classifiers(embedded: Embedded, place: Path) -> Callable[[str], Path]:
    """Trains a classifier of SETTINGS when it is first asked for."""

    def train(name: str) -> Path:
        out = place / name
        if out.exists():
            return out
        setting = SETTINGS[name]
        lines = (embedded.data / "train.jsonl").read_text("utf-8").split("\n")[:40]
        rows = [json.loads(line) for line in lines]
        if setting.paired:
            rows = [
                {"sentence1": row["text"][:9], "sentence2": row["text"], "label": row["label"]}
                for row in rows
            ]
        data = place / f"{name}.jsonl"
        data.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        command = [find_node(), str(ROOT / "node_bridge" / "train.js"), "--backend", "wasm"]
        command += ["--bundle", str(embedded.bundle), "--train", str(data), "--dev", str(data)]
        command += ["--max-length", str(POSITIONS), "--epochs", "2", "--workers", "1"]
        command += ["--out", str(out), "--cache", str(place / "cache"), *setting.options]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return out

    return train


def judge(
    embedded: Embedded,
    reference: Reference,
    out: Path,
    classifier: Path,
    runner: Path | None = None,
) -> ParityReport:
    return judge_bundle(
        embedded.bundle, reference, BACKENDS, out, classifier=classifier, runner=runner
    )


def statuses(report: ParityReport, comparison: str) -> dict[str, str]:
    return {row.stage: row.status for row in report.rows if row.comparison == comparison}


HELD = {"ids": "pass", "vectors": "pass", "probabilities": "pass", "label": "pass"}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_classifier_that_reads_long_texts_so_holds(
    name: str,
    embedded: Embedded,
    reference: Reference,
    classifiers: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    report = judge(embedded, reference, tmp_path, classifiers(name))
    assert (report.verdict, report.failures) == ("pass", [])
    assert statuses(report, LONG) == HELD
    assert statuses(report, GOLDEN) == {"probabilities": "pass", "label": "pass"}
    ids = next(row for row in report.rows if (row.comparison, row.stage) == (LONG, "ids"))
    rows = ids.compared / 3 / POSITIONS
    assert ids.texts == 2
    # The short text has one row, of fewer positions; the long one has several windows.
    assert 1 < rows < 2 if name == "head_tail" else rows > 3
    table = terminal.format_report(report)
    assert " long " in table and " vectors " in table
    page.write_report_page(tmp_path / "report.html", report)
    html = (tmp_path / "report.html").read_text("utf-8")
    assert "wasm, texts that are longer than the classifier&#39;s positions" in html


def runner_with(tmp_path: Path, change: str) -> Path:
    """Writes a runner of Node's side with something changed in the library."""
    runner = tmp_path / "runner.mjs"
    imports = {
        "{ Reading }": "node_bridge/tokenizer/long_texts.js",
        "{ WindowJoiner }": "node_bridge/encoder/pooling.js",
    }
    lines = [
        f"import {name} from {json.dumps(str(ROOT / path))};" for name, path in imports.items()
    ]
    program = json.dumps(str(ROOT / "parity_tests/runners/run_node.js"))
    runner.write_text("\n".join([*lines, change, f"await import({program});", ""]))
    return runner


FAULTS = {
    # The last token of each window is the one before it.
    "ids": """
const row = Reading.prototype.row;
Reading.prototype.row = function (i) {
  const { ids, typeIds } = row.call(this, i);
  const changed = ids.slice();
  if (this.count > 1) changed[ids.length - 2] = ids[ids.length - 3];
  return { ids: changed, typeIds };
};""",
    # Only the first window counts.
    "vectors": """
const add = WindowJoiner.prototype.add;
WindowJoiner.prototype.add = function (window, numbers) {
  if (window.window === 0) add.call(this, { ...window, isLast: true }, numbers);
};""",
}


@pytest.mark.parametrize("stage", FAULTS)
def test_a_fault_in_nodes_windows_is_found_at_its_stage(
    stage: str,
    embedded: Embedded,
    reference: Reference,
    classifiers: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    runner = runner_with(tmp_path, FAULTS[stage])
    report = judge(embedded, reference, tmp_path, classifiers("windows"), runner)
    assert report.verdict == "drift"
    found = statuses(report, LONG)
    assert found[stage] == "drift"
    assert found["ids"] == ("drift" if stage == "ids" else "pass")
    assert found["probabilities"] == "downstream"
    assert report.first_stage_off == stage


def test_a_classifier_with_another_stride_is_not_what_was_trained(
    embedded: Embedded,
    reference: Reference,
    classifiers: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    classifier = classifiers("windows")
    path = classifier / "classifier.json"
    before = path.read_bytes()
    description = read_classifier(classifier)
    assert description["long"] == {"choice": WINDOWS, "stride": 7, "pooling": "mean"}
    description["long"]["stride"] = 3
    path.write_bytes(seal_description(description))
    try:
        report = judge(embedded, reference, tmp_path, classifier)
    finally:
        path.write_bytes(before)
    assert statuses(report, LONG) == HELD
    assert statuses(report, GOLDEN)["probabilities"] == "drift"


def test_vectors_of_windows_are_pooled_in_float64() -> None:
    rows = np.array([[1e8, 1.0], [1.0, 3.0], [-1e8, -1.0]], np.float32)
    assert LongRule(8, WINDOWS, 3, "mean").pool(rows).tolist() == [np.float32(1 / 3), 1.0]
    assert LongRule(8, WINDOWS, 3, "max").pool(rows).tolist() == [np.float32(1e8), 3.0]
