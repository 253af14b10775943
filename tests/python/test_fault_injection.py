"""Each fault is injected, and changes nothing else.

The tests inspect the files by their own means. Only a few faults are judged here; `nox -s faults`
judges all.
"""

import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

from fault_injection import sensitivity
from fault_injection.copies import SealedCopy
from fault_injection.evaluator import Evaluator
from fault_injection.registry import Kind, Task, every_kind, plan_tasks
from fault_injection.sources import CleanBundle, CleanMaterial
from fault_injection.target import Target
from support.contracts import CONTRACT, DESCRIPTION
from support.node import find_node
from support.tokenizer_tables import FOLDED, LETTER, UNICODE, tables_from_bytes, tables_to_bytes
from tests.python.conftest import ROOT, Embedded
from tests.python.fault_material import make_some_material

KINDS = every_kind()


@pytest.fixture(scope="session")
def material(
    embedded: Embedded, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[CleanMaterial]:
    """Some clean models and bundles; no test may change them."""
    made = make_some_material(embedded, tmp_path_factory.mktemp("material"))
    before = contents(made.root)
    yield made
    after = contents(made.root)
    assert {name: after[name] for name in before} == before, "the clean material was changed"


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


def stamps(place: Path) -> dict[Path, tuple[int, int]]:
    """Returns when each file of a directory was changed last, and its size."""
    found = {path: path.stat() for path in place.rglob("*") if path.is_file()}
    return {path: (stat.st_mtime_ns, stat.st_size) for path, stat in found.items()}


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


@pytest.mark.parametrize("name", ["bert_large.float32", "outlier.float16", "topics.uint16"])
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
    for name in ("bert_large.float32", "entities.uint8", "topics.uint16", "outlier.float16"):
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
        before = stamps(clean.material.root)
        target = Target(clean, tmp_path / str(number))
        change = kind.inject(target, Random(f"{kind.name} {number}"))
        assert change.what
        assert stamps(clean.material.root) == before, "the clean material was changed"
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
    assert sorted(altered(target)) == ["bundle.json", "golden.safetensors", shard]
    before, after = (golden_checksums(p) for p in (clean.path, target.bundle_path))
    [name] = [n for n, sha256 in before["weights"].items() if after["weights"][n] != sha256]
    data = weight(target.bundle_path, name).tobytes()
    assert after["weights"][name] == hashlib.sha256(data).hexdigest()
    assert after["contract"] == before["contract"]


def golden_checksums(bundle: Path) -> dict[str, Any]:
    """Returns the checksums in the golden cases of a bundle."""
    with safe_open(bundle / "golden.safetensors", framework="numpy") as file:
        checksums: dict[str, Any] = json.loads(file.metadata()["checksums"])
    return checksums


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
    clean = named(cleans, "entities.uint8")
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


def test_the_plan_spreads_faults_and_is_reproducible(cleans: list[CleanBundle]) -> None:
    [first, again] = [plan_tasks([KINDS["sign_bit"]], cleans, quick=False) for _ in range(2)]
    assert [task.id for task in first] == [task.id for task in again]
    assert len(first) == KINDS["sign_bit"].times
    assert len({task.clean.source.name for task in first}) > 1
    assert len(plan_tasks(KINDS.values(), cleans, quick=True)) == len(KINDS)


def test_the_judge_finds_injected_faults(
    embedded: Embedded, cleans: list[CleanBundle], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    clean = named(cleans, "moods.float32")
    evaluator = Evaluator(clean.material, embedded.data / "train.jsonl", lambda line: None)
    evaluator.prepare({clean.source.name})
    expected = {"sign_bit": "weights", "vocab_lines_swapped": "vocab", "cls_missing": "tokens"}
    expected |= {"mask_ignored": "layer_0/attention_scores", "special_id_wrong": "contract"}
    expected |= {"wrong_tokenizer_option": "contract", "budget_widened": "contract"}
    expected |= {"unknown_words_get_a_padded_row": "tokens", "padding_is_a_padded_row": "ids"}
    expected |= {"label_map_rotated": "contract", "softmax_over_the_texts": "probabilities"}
    expected |= {"labels_in_another_order": "label", "spans_off_by_one": "tokens"}
    for kind, stage in expected.items():
        task = Task(KINDS[kind], clean, 0)
        target = Target(clean, tmp_path / kind)
        change = task.kind.inject(target, task.chooser())
        assert change.stages == (stage,)
        verdict = evaluator.judge(
            clean, target.bundle_path, ("wasm",), tmp_path / "out", None, target.program
        )
        assert verdict.stage == stage, (kind, verdict.message)
    # The bundle decides by itself, or a trained head decides.
    for head in (None, clean.material.head("moods")):
        verdict = evaluator.judge(clean, clean.path, ("wasm", "cpu"), tmp_path / "out", head, None)
        assert (verdict.stage, verdict.broken) == (None, False), verdict.message
    shutil.rmtree(tmp_path / "out")


@pytest.mark.parametrize("kind", ["label_map_rotated", "threshold_changed"])
def test_a_wrong_contract_is_that_of_a_wrong_exporter(
    cleans: list[CleanBundle], tmp_path: Path, kind: str
) -> None:
    """The bundle contradicts itself nowhere, so nothing finds the fault but parity."""
    target = put(kind, named(cleans, "topics.uint16"), tmp_path / "fault")
    verify = [find_node(), "node_bridge/verify.js", "--bundle", str(target.bundle_path)]
    run = subprocess.run(verify, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout
    assert "checksums" in run.stdout


def test_a_padded_source_has_rows_without_a_token(cleans: list[CleanBundle]) -> None:
    place = named(cleans, "moods.float32").path
    tokens = len((place / "vocab.txt").read_bytes().splitlines())
    rows = len(weight(place, "word_embeddings"))
    assert rows % 64 == 0
    assert 0 < rows - tokens <= 64


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
