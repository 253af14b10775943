"""Each fault is injected, and changes nothing else.

The tests inspect the files by their own means. Only a few faults are judged here; `nox -s faults`
judges all.
"""

import ast
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from random import Random

import numpy as np
import pytest

from fault_injection import score, sensitivity
from fault_injection.copies import SealedCopy
from fault_injection.evaluator import Evaluator
from fault_injection.kinds import runner
from fault_injection.material import build_missing, train_head
from fault_injection.registry import TARGETS, Kind, Task, every_kind, plan_tasks
from fault_injection.run import VerdictRecord
from fault_injection.sources import SOURCES, CleanBundle, CleanMaterial
from fault_injection.target import Target
from support.contracts import CONTRACT, DESCRIPTION
from support.tokenizer_tables import FOLDED, LETTER, UNICODE, tables_from_bytes, tables_to_bytes
from tests.python.conftest import ROOT, Embedded

KINDS = every_kind()
BUILT = ("bert_tanh", "bert_tanh_b", "bert_large", "bert_relu", "outlier", "padded")
PARTS = ["tokenizer:lower", "tokenizer:cased"]
PARTS += [f"tables:{name}" for name in ("bert", "fast", "lower", "cased")]


@pytest.fixture(scope="session")
def material(embedded: Embedded, tmp_path_factory: pytest.TempPathFactory) -> CleanMaterial:
    """Makes a small part of the clean models and bundles."""
    made = CleanMaterial(tmp_path_factory.mktemp("material"))
    build_missing(made.root, embedded.vocab, [*PARTS, *BUILT], lambda line: None)
    for name in BUILT[:2]:
        train_head(made, name, embedded.data / "train.jsonl", lambda line: None)
    return made


@pytest.fixture(scope="session")
def cleans(material: CleanMaterial) -> list[CleanBundle]:
    return [clean for clean in material.cleans() if clean.path.exists()]


def named(cleans: list[CleanBundle], name: str) -> CleanBundle:
    return next(clean for clean in cleans if clean.name == name)


def contents(place: Path) -> dict[str, bytes]:
    """Returns the content of every file of a directory, by its relative name."""
    files = [
        path for path in place.rglob("*") if path.is_file() and "node_modules" not in path.parts
    ]
    return {path.relative_to(place).as_posix(): path.read_bytes() for path in files}


def weight(bundle: Path, name: str) -> np.ndarray:
    """Reads a float32 weight by its offset in the manifest."""
    [group] = json.loads((bundle / "model.json").read_text())["weightsManifest"]
    whole = b"".join((bundle / path).read_bytes() for path in group["paths"])
    start = 0
    for spec in group["weights"]:
        count = int(np.prod(spec["shape"], dtype=np.int64))
        if spec["name"].endswith(name):
            return np.frombuffer(whole, "<f4", count, start).reshape(spec["shape"])
        start += count * 4
    raise AssertionError(name)


def test_there_are_enough_kinds_and_faults() -> None:
    assert len(KINDS) >= 20
    assert sum(kind.times for kind in KINDS.values()) >= 200
    assert {kind.target for kind in KINDS.values()} == set(TARGETS)
    assert all(kind.about for kind in KINDS.values())
    assert sum(len(source.dtypes) for source in SOURCES) >= 50


def test_only_the_evaluator_imports_the_judge() -> None:
    importing = set()
    for file in (ROOT / "fault_injection").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            if any(name.split(".")[0] == "parity_tests" for name in names):
                importing.add(file.name)
    assert importing == {"evaluator.py"}


@pytest.mark.parametrize("name", ["bert_tanh.float32", "bert_large.float16", "outlier.float16"])
def test_resealing_an_unchanged_copy_changes_nothing(
    cleans: list[CleanBundle], tmp_path: Path, name: str
) -> None:
    clean = named(cleans, name)
    copy = SealedCopy(clean.path, tmp_path / "copy", CONTRACT)
    copy.document("model.json")
    copy.seal()
    assert contents(copy.path) == contents(clean.path)


def test_writing_unchanged_weights_changes_nothing(
    cleans: list[CleanBundle], tmp_path: Path
) -> None:
    for name in ("bert_large.float32", "bert_tanh.uint8", "bert_tanh.float16"):
        target = Target(named(cleans, name), tmp_path / name)
        target.weights.write()
        target.seal()
        assert contents(target.bundle_path) == contents(target.clean.path)


def test_resealing_an_unchanged_head_changes_nothing(
    cleans: list[CleanBundle], tmp_path: Path
) -> None:
    head = named(cleans, "bert_tanh.float32").head
    assert head is not None
    copy = SealedCopy(head, tmp_path / "copy", DESCRIPTION)
    copy.document("model.json")
    copy.seal()
    assert contents(copy.path) == contents(head)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_fault_changes_the_files_and_is_sealed(
    kind: Kind, cleans: list[CleanBundle], tmp_path: Path
) -> None:
    fitting = [clean for clean in cleans if kind.fits(clean)]
    assert fitting, "none of the bundles made here is fit for it"
    for number, clean in enumerate(Random(kind.name).sample(fitting, min(2, len(fitting)))):
        before = contents(clean.material.root)
        target = Target(clean, tmp_path / str(number))
        change = kind.inject(target, Random(f"{kind.name} {number}"))
        assert change.what
        assert contents(clean.material.root) == before, "the clean material was changed"
        assert altered(target)
        for place, seal in ((target.bundle_path, CONTRACT), (target.head_path, DESCRIPTION)):
            if place is not None:
                assert_sealed(place, seal)


def altered(target: Target) -> list[str]:
    """Returns the files that differ from the clean directories."""
    pairs = [(target.bundle_path, target.clean.path)]
    if target.head_path is not None and target.clean.head is not None:
        pairs.append((target.head_path, target.clean.head))
    # Runner faults change no files: only the judge shows them.
    found = [] if target.program is None else [target.program.name]
    for place, clean in pairs:
        old = contents(clean)
        found += [name for name, data in contents(place).items() if old.get(name) != data]
    return found


def assert_sealed(place: Path, seal: str) -> None:
    """Checks that every file has the size and the hash of the contract."""
    files = json.loads((place / seal).read_text(encoding="utf-8"))["files"]
    assert files
    for name, entry in files.items():
        data = (place / name).read_bytes()
        assert entry == {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    if seal == CONTRACT:
        assert {path.name for path in place.iterdir()} == {*files, CONTRACT}


def put(kind: str, clean: CleanBundle, place: Path, number: int = 0) -> Target:
    target = Target(clean, place)
    KINDS[kind].inject(target, Random(number))
    return target


def test_a_fault_is_reproducible(cleans: list[CleanBundle], tmp_path: Path) -> None:
    clean = named(cleans, "bert_tanh.float32")
    first, again = (put("exponent_bit", clean, tmp_path / name) for name in ("a", "b"))
    assert contents(first.bundle_path) == contents(again.bundle_path)


def test_the_sign_fault_changes_exactly_one_sign(cleans: list[CleanBundle], tmp_path: Path) -> None:
    clean = named(cleans, "bert_tanh.float32")
    target = put("sign_bit", clean, tmp_path / "fault")
    [shard] = [path.name for path in clean.path.glob("group1-shard*.bin")]
    old, new = (
        np.frombuffer((p / shard).read_bytes(), "<u4") for p in (clean.path, target.bundle_path)
    )
    [place] = np.flatnonzero(old != new)
    assert old[place] ^ new[place] == 1 << 31
    assert sorted(altered(target)) == ["bundle.json", shard]


def test_the_transposition_fault_transposes_one_matrix(
    cleans: list[CleanBundle], tmp_path: Path
) -> None:
    clean = named(cleans, "bert_tanh.float32")
    target = Target(clean, tmp_path / "fault")
    change = KINDS["matrix_transposed"].inject(target, Random(1))
    name = change.what.split()[0]
    old, new = (weight(place, name) for place in (clean.path, target.bundle_path))
    assert (new == old.T).all()
    assert not (new == old).all()


def test_the_layer_swap_swaps_two_layers(cleans: list[CleanBundle], tmp_path: Path) -> None:
    clean = named(cleans, "bert_tanh.float32")
    target = put("layers_swapped", clean, tmp_path / "fault")
    for part in ("self/query/kernel", "output_norm/beta"):
        new = weight(target.bundle_path, f"layer_0/{part}")
        assert (new == weight(clean.path, f"layer_1/{part}")).all()


def test_a_stale_bundle_has_the_weights_of_the_other_seed(
    cleans: list[CleanBundle], tmp_path: Path
) -> None:
    clean, other = (named(cleans, f"{name}.float32") for name in ("bert_tanh", "bert_tanh_b"))
    target = put("stale_bundle", clean, tmp_path / "fault")
    assert (
        weight(target.bundle_path, "pooler/kernel") == weight(other.path, "pooler/kernel")
    ).all()
    about = [json.loads((p / CONTRACT).read_text()) for p in (target.bundle_path, clean.path)]
    assert about[0]["provenance"] == about[1]["provenance"]


@pytest.mark.parametrize("name", ["bert", "fast", "lower", "cased"])
def test_tables_are_written_byte_for_byte_as_read(material: CleanMaterial, name: str) -> None:
    data = material.tables(name).read_bytes()
    read = tables_from_bytes(data)
    assert tables_to_bytes(read) == data
    symbols = {"cased": FOLDED + 1}.get(name) or read.classes[ord("A")]
    # Upper case becomes lower case only where the tokenizer does that.
    assert symbols == FOLDED or read.classes[ord("A")] == LETTER
    assert read.folds.get(ord("A")) == (None if name == "cased" else (ord("a") * 4,))


def test_an_altered_entry_changes_one_character(cleans: list[CleanBundle], tmp_path: Path) -> None:
    clean = named(cleans, "bert_relu.float32")
    target = put("one_entry_altered", clean, tmp_path / "fault", 3)
    old, new = (
        tables_from_bytes((place / "tokenizer_tables.bin").read_bytes())
        for place in (clean.path, target.bundle_path)
    )
    differing = [c for c in range(UNICODE) if old.classes[c] != new.classes[c]]
    assert len(differing) == 1
    assert 0x4E00 <= differing[0] < 0x9FA5


PADDED = """
import { Encoder, Tokenizer } from './node_bridge/index.js';
const encoder = await Encoder.load(process.argv[1]);
const tokenizer = Tokenizer.fromBundle(encoder.bundle);
const texts = ['你好', '这本书很好看'].map((text) => tokenizer.encode(text));
const { sequence_output: { shape, data } } = await encoder.run(texts);
console.log(JSON.stringify({ shape, data: Array.from(data) }));
"""


def encoded(bundle: Path) -> np.ndarray:
    """Runs two texts in one padded batch in TF.js; returns `sequence_output`."""
    command = ["node", "--input-type=module", "-e", PADDED, str(bundle)]
    run = subprocess.run(command, cwd=ROOT, check=True, text=True, capture_output=True)
    answer = json.loads(run.stdout)
    return np.array(answer["data"], np.float32).reshape(answer["shape"])


def test_faulty_graphs_run_and_give_other_outputs(
    cleans: list[CleanBundle], tmp_path: Path
) -> None:
    clean = named(cleans, "bert_tanh.float32")
    true = encoded(clean.path)
    for name in ("mask_ignored", "gelu_form_swapped", "epsilon_wrong", "dropout_of_attention"):
        target = put(name, clean, tmp_path / name)
        got = encoded(target.bundle_path)
        assert got.shape == true.shape
        assert np.abs(got - true).max() > 1e-4, name


@pytest.mark.parametrize("name", ["types_zeroed", "mask_value_other", "key_bias_dropped"])
def test_faults_of_token_types_do_not_change_single_texts(
    cleans: list[CleanBundle], tmp_path: Path, name: str
) -> None:
    clean = named(cleans, "bert_tanh.float32")
    true = encoded(clean.path)
    target = put(name, clean, tmp_path / name)
    got = encoded(target.bundle_path)
    # The second text is the longer one: its row has no masked position.
    assert np.abs(got[1] - true[1]).max() < 1e-5


def test_every_runner_fault_is_in_both_tables() -> None:
    module = "./fault_injection/runner_faults.js"
    code = f"import('{module}').then(({{ NAMES }}) => console.log(NAMES.join(' ')))"
    said = subprocess.run(
        ["node", "-e", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert set(said.stdout.split()) == set(runner.RUNNER_FAULTS)


def test_a_missing_hook_is_reported() -> None:
    code = (
        "import { Encoder } from './node_bridge/encoder/encoder.js';"
        "import { install } from './fault_injection/runner_faults.js';"
        "delete Encoder.prototype.pad; install('mask_all_ones');"
    )
    command = ["node", "--input-type=module", "-e", code]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert said.returncode != 0
    assert "there is no hook pad any more" in said.stderr


def test_the_plan_spreads_faults_and_is_reproducible(cleans: list[CleanBundle]) -> None:
    [first, again] = [plan_tasks([KINDS["sign_bit"]], cleans, quick=False) for _ in range(2)]
    assert [task.id for task in first] == [task.id for task in again]
    assert len(first) == KINDS["sign_bit"].times
    assert len({task.clean.source.name for task in first}) > 1
    assert len(plan_tasks(KINDS.values(), cleans, quick=True)) == len(KINDS)


def test_verdicts_are_saved_and_an_incomplete_line_is_dropped(tmp_path: Path) -> None:
    record = VerdictRecord(tmp_path, "key")
    record.add({"id": "a", "got": "weights"})
    with record.path.open("a") as stream:
        stream.write('{"id": "b", "go')
    again = VerdictRecord(tmp_path, "key")
    assert list(again.known) == ["a"]
    again.add({"id": "c"})
    assert list(VerdictRecord(tmp_path, "key").known) == ["a", "c"]
    assert not VerdictRecord(tmp_path, "other").known
    assert not record.path.exists()


def row(detected: bool, attributed: bool, without_effect: str | None = None) -> score.VerdictRow:
    return {
        "id": "k/0/b",
        "kind": "sign_bit",
        "what": "what",
        "stages": ["weights"],
        "got": "weights" if attributed else "vocab" if detected else None,
        "detected": detected,
        "attributed": attributed,
        "without_effect": without_effect,
    }


def clean_row(alarmed: bool) -> score.VerdictRow:
    return {"bundle": "b", "got": "ids" if alarmed else None, "detected": alarmed, "message": ""}


def test_the_score_counts_verdicts() -> None:
    good = [row(True, True)] * 19
    quiet = [clean_row(False)]
    counted = score.score_verdicts([*good, row(True, False), row(False, False, "no effect")], quiet)
    figures = ("injected", "detected", "attributed", "clean", "false_alarms", "without_effect")
    assert [counted[name] for name in figures] == [20, 20, 19, 1, 0, 1]
    assert score.judge_holds(counted)
    assert not score.judge_holds(score.score_verdicts([*good, row(False, False)], quiet))
    assert not score.judge_holds(
        score.score_verdicts([*good, row(True, False), row(True, False)], quiet)
    )
    assert not score.judge_holds(score.score_verdicts(good, [clean_row(True)]))
    assert "20 faults in 1 kinds: 20 detected (100.0%), 19 attributed (95.0%)" in score.score_table(
        counted, KINDS
    )


def test_an_unknown_kind_is_refused() -> None:
    command = [sys.executable, "-m", "fault_injection", "--kinds", "sign_bit,nonsense"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    said, _, names = done.stderr.partition(" expected of ")
    assert said == "error: --kinds: got nonsense,"
    # The line names only the first and the last.
    assert names.startswith(", ".join(sorted(KINDS)[:20]))
    assert names.endswith(f"{sorted(KINDS)[-1]}\n")


def test_the_judge_finds_injected_faults(
    embedded: Embedded, cleans: list[CleanBundle], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    clean = named(cleans, "bert_tanh.float32")
    evaluator = Evaluator(clean.material, embedded.data / "train.jsonl", lambda line: None)
    padded = named(cleans, "padded.float32")
    evaluator.prepare({clean.source.name, padded.source.name})
    expected = {"sign_bit": "weights", "vocab_lines_swapped": "vocab", "cls_missing": "tokens"}
    expected |= {"mask_ignored": "layer_0/attention_scores", "special_id_wrong": "contract"}
    expected |= {"wrong_tokenizer_option": "contract", "budget_widened": "contract"}
    expected |= {"unknown_words_get_a_padded_row": "tokens", "padding_is_a_padded_row": "ids"}
    for kind, stage in expected.items():
        sound = padded if "padded" in kind else clean
        task = Task(KINDS[kind], sound, 0)
        target = Target(sound, tmp_path / kind)
        change = task.kind.inject(target, task.chooser())
        assert change.stages == (stage,)
        verdict = evaluator.judge(
            sound, target.bundle_path, ("wasm",), tmp_path / "out", None, target.program
        )
        assert verdict.stage == stage, (kind, verdict.message)
    verdict = evaluator.judge(
        clean, clean.path, ("wasm", "cpu"), tmp_path / "out", clean.head, None
    )
    assert (verdict.stage, verdict.broken) == (None, False), verdict.message
    shutil.rmtree(tmp_path / "out")


def test_the_padded_source_has_rows_without_a_token(cleans: list[CleanBundle]) -> None:
    place = named(cleans, "padded.float32").path
    tokens = len((place / "vocab.txt").read_bytes().splitlines())
    rows = len(weight(place, "word_embeddings"))
    assert rows % 64 == 0
    assert 0 < rows - tokens <= 64


def test_bisection_finds_the_smallest_change() -> None:
    assert sensitivity.find_smallest_change(lambda change: change >= 3e-5) == pytest.approx(
        3e-5, rel=0.05
    )
    assert sensitivity.find_smallest_change(lambda change: False) is None


def test_derived_budgets_are_as_sensitive_as_fixed_ones(cleans: list[CleanBundle]) -> None:
    rows = sensitivity.measure_source(named(cleans, "bert_tanh.float32"))
    assert {row.what for row in rows} == {
        *(what for what, _, _ in sensitivity.PARTS),
        *(what for what, _ in sensitivity.CONSTANTS),
    }
    for row in rows:
        assert row.fixed is not None, row
        assert row.derived is not None, row
        assert 1e-9 < row.derived < 1e-1, row
        # At most 1.5 times as large; most are smaller.
        assert row.derived <= 1.5 * row.fixed, row
    assert "median" in sensitivity.sensitivity_table(rows)
