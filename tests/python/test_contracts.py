"""Contracts: valid ones can be opened, damaged ones are refused, in Python and in Node."""

import copy
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support import contracts
from support.errors import UserError
from tests.hostile.mutations import mutations
from tests.python.conftest import ROOT, Embedded

# Keys whose value may be damaged and remain valid.
OPEN_IN_BUNDLE = frozenset(
    {
        # Free names: a typing error is another name.
        ("provenance", "versions"), ("provenance", "tokenizer"), ("files",),
        ("accuracy", "outputs"), ("accuracy", "budgets"),
        # null means unknown.
        ("architecture",), ("trained",), ("weight_dtype",), ("accuracy",), ("signature",),
        ("saved_model",), ("tokenizer", "embedding_rows"), ("classifier",),
        # A number in a shape is a fixed size.
        ("inputs", 0, "shape", 0), ("outputs", 0, "shape", 0),
    }
)  # fmt: skip
NULLABLE = ("signature", "saved_model")
OPEN_IN_CLASSIFIER = frozenset(
    {("labels",), ("golden",), ("bundle", "dir"), ("files",), ("class_weights", 0)}
)

NODE = """
import { readFileSync, mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Bundle } from './node_bridge/bundle/bundle.js';
import { readDescription } from './node_bridge/classifier/classifier_files.js';

const [kind, file, place] = process.argv.slice(1);
const [name, open] = {
  bundle: ['bundle.json', () => Bundle.open(place)],
  classifier: ['classifier.json', () => readDescription(place)],
}[kind];
const verdicts = JSON.parse(readFileSync(file, 'utf8')).map((text) => {
  writeFileSync(join(place, name), text);
  try {
    open();
    return '';
  } catch (error) {
    const isLine = error.exitCode === 2 && !error.message.includes('\\n');
    return isLine ? error.message : `FAULT ${error.stack}`;
  }
});
process.stdout.write(JSON.stringify(verdicts));
"""


def node_errors(kind: str, texts: list[str], tmp_path: Path) -> list[str]:
    """Returns Node's error for each document, or ""."""
    place, file = tmp_path / "node", tmp_path / "texts.json"
    place.mkdir(exist_ok=True)
    file.write_text(json.dumps(texts))
    program = ["node", "--input-type=module", "-e", NODE, kind, str(file), str(place)]
    ran = subprocess.run(program, cwd=ROOT, capture_output=True, check=True)
    verdicts: list[str] = json.loads(ran.stdout)
    return verdicts


def python_errors(kind: str, texts: list[str], tmp_path: Path) -> list[str]:
    """Returns Python's error for each document, or ""."""
    name, read = {
        "bundle": (contracts.CONTRACT, contracts.read_bundle),
        "classifier": (contracts.DESCRIPTION, contracts.read_classifier),
    }[kind]
    verdicts = []
    for text in texts:
        (tmp_path / name).write_text(text)
        try:
            read(tmp_path)
            verdicts.append("")
        except UserError as error:
            verdicts.append(str(error))
    return verdicts


@pytest.fixture(scope="module")
def contract(embedded: Embedded) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((embedded.bundle / "bundle.json").read_text("utf-8"))
    # One entry of each list is enough.
    document["taps"] = document["taps"][:1]
    return document


@pytest.fixture(scope="module")
def description(embedded: Embedded) -> dict[str, Any]:
    """A classifier of the first release, which has no seal, so that only the schema refuses it."""
    sha256 = "1" * 64
    file = {"sha256": sha256, "size": 1}
    return {
        "format": "bert-bridge-classifier", "version": 1, "labels": ["a", "b"], "task": "single",
        "head": "dense", "pooling": "position 0 of sequence_output", "max_length": 128,
        "special_tokens": "added", "bundle": {"hash": sha256, "dir": "../bundle"},
        "backend": "wasm", "seed": 1, "epochs": 5, "best_epoch": 4, "best_by": "accuracy",
        "batch_size": 32, "learning_rate": 0.0003, "schedule": "constant", "class_weights": [1, 1],
        "dev_accuracy": 0.5, "dev_macro_f1": 0.5,
        "golden": [{"text": "好", "label": "a", "probabilities": [0.75, 0.25]}],
        "trained_with": {"settings": sha256, "data": sha256},
        "files": {"model.json": file, "weights.bin": file},
    }  # fmt: skip


def assert_all_refused(kind: str, spoilt: list[tuple[str, str]], tmp_path: Path) -> None:
    texts = [text for _, text in spoilt]
    for said in (python_errors(kind, texts, tmp_path), node_errors(kind, texts, tmp_path)):
        verdicts = list(zip((name for name, _ in spoilt), said, strict=True))
        assert not [name for name, verdict in verdicts if not verdict]
        assert not [verdict for verdict in said if verdict.startswith("FAULT") or "\n" in verdict]


def test_damage_at_any_key_of_a_contract_is_refused(
    contract: dict[str, Any], tmp_path: Path
) -> None:
    spoilt = list(mutations(contract, OPEN_IN_BUNDLE))
    assert len(spoilt) > 450
    assert_all_refused("bundle", spoilt, tmp_path)


@pytest.mark.parametrize(
    "path",
    [
        ("accuracy", "budget"), ("accuracy", "budgets", "pooled_output"),
        ("accuracy", "outputs", "pooled_output"), ("accuracy", "rewrites"), ("files", "vocab.txt"),
        ("signature",), ("saved_model",), ("taps",),
    ],
    ids=lambda path: "/".join(path),
)  # fmt: skip
def test_optional_parts_refuse_unknown_keys(
    path: tuple[str, ...], contract: dict[str, Any], tmp_path: Path
) -> None:
    """Above all the numbers of a budget: with `atol` misspelt everything used to pass."""
    inner: Any = contract
    for name in path:
        inner = inner[name]
    spoilt = []
    for name, text in mutations({"inner": inner}, frozenset()):
        if not name.startswith("inner"):
            continue
        # NaN and the infinities must be written unchanged.
        changed = json.loads(text, parse_constant=lambda c: f"@@{c}", parse_float=as_written)
        document = copy.deepcopy(contract)
        outer: Any = document
        for step in path[:-1]:
            outer = outer[step]
        outer[path[-1]] = changed["inner"]
        spoilt.append((name, unquoted(json.dumps(document))))
    # The value for unknown.
    known = ("cosine is null", "cosine is -1.0", *(("inner is null",) * (path[-1] in NULLABLE)))
    spoilt = [(name, text) for name, text in spoilt if not name.endswith(known)]
    assert len(spoilt) > 5
    assert_all_refused("bundle", spoilt, tmp_path)


def as_written(text: str) -> float | str:
    """Parses a number, or returns a mark for one that no float can represent."""
    number = float(text)
    return number if abs(number) < float("inf") else f"@@{text}"


def unquoted(text: str) -> str:
    """Replaces the marks of constants by the constants."""
    for constant in ("NaN", "Infinity", "-Infinity", "1e999"):
        text = text.replace(f'"@@{constant}"', constant)
    return text


def change(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda document: document.update(changes)


def special_beyond(contract: dict[str, Any]) -> None:
    contract["tokenizer"]["special_tokens"]["mask"]["id"] = contract["tokenizer"]["vocab_size"]


def two_outputs_of_a_name(contract: dict[str, Any]) -> None:
    contract["outputs"][1]["name"] = contract["outputs"][0]["name"]


def two_outputs_of_a_role(contract: dict[str, Any]) -> None:
    contract["outputs"] = [
        {"name": name, "role": "hidden", "dtype": "float32", "shape": ["batch", 3]} for name in "ab"
    ]


def no_ids(contract: dict[str, Any]) -> None:
    contract["inputs"] = [one for one in contract["inputs"] if one["role"] != "input_ids"]


def file_called(name: str) -> Callable[[dict[str, Any]], None]:
    def rename(contract: dict[str, Any]) -> None:
        contract["files"][name] = contract["files"]["vocab.txt"]

    return rename


def vector_without_a_width(contract: dict[str, Any]) -> None:
    contract["outputs"][1]["shape"] = ["batch", "sequence", "sequence"]


def decides(**entry: Any) -> Callable[[dict[str, Any]], None]:
    """Gives the contract two outputs with scores, and a classifier that differs from a sound one.

    A value of None takes the key away.
    """

    def add(contract: dict[str, Any]) -> None:
        for name, shape in (("logits", ["batch", 2]), ("tags", ["batch", "sequence", 2])):
            contract["outputs"].append(
                {"name": name, "role": name, "dtype": "float32", "shape": shape}
            )
        whole = SINGLE_LABEL | entry
        contract["classifier"] = {key: value for key, value in whole.items() if value is not None}

    return add


SINGLE_LABEL: dict[str, Any] = {
    "task": "single_label", "output": "logits", "activation": "softmax", "labels": ["a", "b"],
}  # fmt: skip
TOKEN_LABELS = {"task": "token_labels", "output": "tags", "scheme": "BIO"}
MULTI_LABEL = {"task": "multi_label", "activation": "sigmoid", "threshold": 0.5}
CLASSIFIERS: dict[str, dict[str, Any]] = {
    "single labels": {},
    "probabilities": {"activation": "none"},
    "several labels": MULTI_LABEL,
    "several probabilities": MULTI_LABEL | {"activation": "none", "threshold": 0},
    "numbers": {"task": "regression", "activation": "none"},
    "labels of tokens": TOKEN_LABELS,
    "labels of tokens without spans": TOKEN_LABELS | {"scheme": "none", "activation": "none"},
}
WRONG_CLASSIFIERS: dict[str, dict[str, Any]] = {
    "no task": {"task": None},
    "an unknown task": {"task": "ranking"},
    "no output": {"output": None},
    "an output of nobody": {"output": "scores"},
    "no activation": {"activation": None},
    "an unknown activation": {"activation": "tanh"},
    "an unknown key": {"label": "a"},
    "no labels": {"labels": None},
    "too few labels": {"labels": ["a"]},
    "too many labels": {"labels": ["a", "b", "c"]},
    "a label twice": {"labels": ["a", "a"]},
    "an empty label": {"labels": ["a", ""]},
    "a label that is a number": {"labels": ["a", 1]},
    "a label of two lines": {"labels": ["a", "b\n"]},
    "labels of tokens of a text": TOKEN_LABELS | {"output": "logits"},
    "a label of a text for each token": {"output": "tags"},
    "labels of vectors": {"output": "sequence_output"},
    "labels of tokens without a scheme": TOKEN_LABELS | {"scheme": None},
    "labels of tokens of an unknown scheme": TOKEN_LABELS | {"scheme": "BILOU"},
    "labels of tokens by sigmoid": TOKEN_LABELS | {"activation": "sigmoid"},
    "a scheme of texts": {"scheme": "BIO"},
    "single labels by sigmoid": {"activation": "sigmoid"},
    "a threshold of single labels": {"threshold": 0.5},
    "several labels without a threshold": MULTI_LABEL | {"threshold": None},
    "several labels by softmax": MULTI_LABEL | {"activation": "softmax"},
    "a threshold above 1": MULTI_LABEL | {"threshold": 1.5},
    "a threshold that is no number": MULTI_LABEL | {"threshold": "0.5"},
    "numbers by softmax": {"task": "regression"},
}


CONTRADICTIONS: dict[str, Callable[[dict[str, Any]], None]] = {
    "a special token beyond the vocab": special_beyond,
    "two outputs of a name": two_outputs_of_a_name,
    "two outputs of a role": two_outputs_of_a_role,
    "no ids": no_ids,
    "no inputs": change(inputs=[]),
    "no outputs": change(outputs=[]),
    "a tokenizer alone with outputs": change(contents="tokenizer", architecture=None, inputs=[]),
    "a length that takes no text": change(max_length=2),
    "a vector without a width": vector_without_a_width,
    "a classifier that is a string": change(classifier="logits"),
    **{f"{name} decided": decides(**entry) for name, entry in WRONG_CLASSIFIERS.items()},
    **{
        f"a file called {name!r}": file_called(name)
        for name in (
            "../secret", "/etc/passwd", "a/../../b", "a//b", "a/", "./a", ".", "..", "a\\b", "C:x",
            "__proto__", "a/__proto__", "bundle.json", "", "a\n", "a\x00", "a\u202eb", "x" * 2000,
        )
    },
}  # fmt: skip


def test_what_a_model_decides_is_read(contract: dict[str, Any], tmp_path: Path) -> None:
    texts = []
    for entry in CLASSIFIERS.values():
        document = copy.deepcopy(contract)
        decides(**entry)(document)
        texts.append(json.dumps(document))
    for said in (python_errors("bundle", texts, tmp_path), node_errors("bundle", texts, tmp_path)):
        assert dict(zip(CLASSIFIERS, said, strict=True)) == dict.fromkeys(CLASSIFIERS, "")


def test_contradictions_in_a_contract_are_refused(contract: dict[str, Any], tmp_path: Path) -> None:
    spoilt = []
    for name, spoil in CONTRADICTIONS.items():
        document = copy.deepcopy(contract)
        spoil(document)
        spoilt.append((name, json.dumps(document)))
    for name, text in {"no JSON": "{", "a list": "[]", "a number": "1", "nothing": ""}.items():
        spoilt.append((name, text))
    assert_all_refused("bundle", spoilt, tmp_path)


def test_damage_at_any_key_of_a_classifier_is_refused(
    description: dict[str, Any], tmp_path: Path
) -> None:
    spoilt = list(mutations(description, OPEN_IN_CLASSIFIER))
    # Keys that older classifiers lack may be missing, so a misspelt one is unknown; both refuse it.
    assert len(spoilt) > 250
    assert_all_refused("classifier", spoilt, tmp_path)


LONG_TEXTS: dict[str, dict[str, Any]] = {
    "head and tail": {"choice": "head-tail"},
    "windows": {"choice": "windows", "stride": 63, "pooling": "mean"},
    "windows side by side": {"choice": "windows", "stride": 126, "pooling": "max"},
}
WRONG_LONG: dict[str, Any] = {
    "a name": "windows",
    "nothing": {},
    "cut": {"choice": "cut"},
    "no stride": {"choice": "windows", "pooling": "mean"},
    "no pooling": {"choice": "windows", "stride": 63},
    "a stride of 0": LONG_TEXTS["windows"] | {"stride": 0},
    "a stride of a half": LONG_TEXTS["windows"] | {"stride": 0.5},
    "a stride that leaves a token out": LONG_TEXTS["windows"] | {"stride": 127},
    "pooling of tokens": LONG_TEXTS["windows"] | {"pooling": "context"},
    "a stride of head and tail": {"choice": "head-tail", "stride": 63},
    "an unknown key": LONG_TEXTS["windows"] | {"head": 3},
}


def test_how_long_texts_are_read_is_read(description: dict[str, Any], tmp_path: Path) -> None:
    texts = [json.dumps(description | {"long": long}) for long in LONG_TEXTS.values()]
    for said in (
        python_errors("classifier", texts, tmp_path),
        node_errors("classifier", texts, tmp_path),
    ):
        assert dict(zip(LONG_TEXTS, said, strict=True)) == dict.fromkeys(LONG_TEXTS, "")


def test_contradictions_in_a_classifier_are_refused(
    description: dict[str, Any], tmp_path: Path
) -> None:
    golden = description["golden"][0]
    file = description["files"]["model.json"]
    spoils = {
        "one label": change(labels=["a"], class_weights=[1], golden=[]),
        "a label twice": change(labels=["a", "a"]),
        "a label that is a number": change(labels=["a", 1]),
        "an empty label": change(labels=["a", ""]),
        "weights for two of three labels": change(labels=["a", "b", "c"], golden=[]),
        "a golden label of nobody": change(golden=[golden | {"label": "c"}]),
        "a golden answer of three": change(golden=[golden | {"probabilities": [0, 0.5, 0.5]}]),
        "a golden answer that is no share": change(golden=[golden | {"probabilities": [2, -1]}]),
        "a golden answer without a text": change(golden=[{"label": "a", "probabilities": [1, 0]}]),
        "a single text for pairs": change(task="pair"),
        "an epoch that was not": change(best_epoch=6),
        "a seal in the first version": change(sha256="1" * 64),
        "no seal in the second": change(version=2),
        "a seal of nothing": change(version=2, sha256="0" * 64),
        "a version to come": change(version=3),
        "no model": change(files={"weights.bin": file}),
        **{f"long texts, {name}": change(long=long) for name, long in WRONG_LONG.items()},
        "windows of all positions": change(
            head="bilstm", pooling="sequence_output", long=LONG_TEXTS["windows"]
        ),
        **{
            f"a file called {name!r}": change(files=description["files"] | {name: file})
            for name in ("../x", "/x", "a/b", "a\\b", ".", "..", "__proto__", "classifier.json", "")
        },
    }
    spoilt = []
    for name, spoil in spoils.items():
        document = copy.deepcopy(description)
        spoil(document)
        spoilt.append((name, json.dumps(document)))
    assert_all_refused("classifier", spoilt, tmp_path)


def test_python_and_node_compute_the_same_seal(description: dict[str, Any], tmp_path: Path) -> None:
    second = description | {"version": 2, "labels": ["好", "b"], "golden": []}
    whole = contracts.seal_description(second).decode()
    edited = whole.replace('"seed": 1', '"seed": 2')
    both = [whole, edited, whole + "\n", whole.replace("\n", "\r\n")]
    for said in (
        python_errors("classifier", both, tmp_path),
        node_errors("classifier", both, tmp_path),
    ):
        assert len(said) == len(both)
        assert said[0] == ""
        assert all("is not what its sha256 says" in one for one in said[1:])


def older(contract: dict[str, Any], *missing: str) -> dict[str, Any]:
    document = copy.deepcopy(contract)
    for name in missing:
        del document[name]
    return document


def test_bundles_of_earlier_releases_can_be_opened(
    contract: dict[str, Any], tmp_path: Path
) -> None:
    first = older(contract, "accuracy", "taps", "signature", "saved_model")
    del first["tokenizer"]["embedding_rows"], first["provenance"]["tokenizer"]
    second = older(contract, "taps", "signature", "saved_model")
    del second["accuracy"]["budgets"]
    third = older(contract, "saved_model")
    texts = [json.dumps(one) for one in (first, second, third, contract)]
    for said in (
        python_errors("bundle", texts, tmp_path),
        node_errors("bundle", texts, tmp_path),
    ):
        assert said == [""] * len(texts)


@pytest.mark.parametrize(("architecture", "contents"), [("bert", "model"), (None, "tokenizer")])
def test_contract_of_version_1_is_read(
    contract: dict[str, Any], tmp_path: Path, architecture: str | None, contents: str
) -> None:
    """Until version 2 a null architecture said that there is no model."""
    old = {key: value for key, value in contract.items() if key != "contents"}
    old |= {"contract_version": 1, "architecture": architecture}
    if architecture is None:
        old |= {"inputs": [], "outputs": [], "weight_dtype": None, "accuracy": None}
    (tmp_path / "bundle.json").write_text(json.dumps(old), "utf-8")
    assert contracts.read_bundle(tmp_path)["contents"] == contents
    for wrong in ({"contents": contents}, {"contract_version": 2}):
        (tmp_path / "bundle.json").write_text(json.dumps(old | wrong), "utf-8")
        with pytest.raises(UserError, match="contents"):
            contracts.read_bundle(tmp_path)


def test_a_contract_that_its_schema_refuses_is_not_written(tmp_path: Path) -> None:
    from export.bundle import Contract, TokenizerContract, seal

    tokens = {role: {"token": role, "id": 0} for role in ("pad", "unk", "cls", "sep", "mask")}
    tokenizer = TokenizerContract("bert", {"lower_case": True}, 5, tokens, False)  # type: ignore[arg-type]
    contract = Contract(
        name="evil\nname", contents="tokenizer", architecture=None, trained=None,
        weight_dtype=None, inputs=[], outputs=[], padding="masked", max_length=512,
        tokenizer=tokenizer, provenance={"versions": {}},
    )  # fmt: skip
    with pytest.raises(UserError, match="bundle.json: at /name"):
        seal(tmp_path, contract)


def test_damaged_golden_metadata_is_refused(embedded: Embedded, tmp_path: Path) -> None:
    """Node checks it by its schema: texts are strings, and there are no unknown keys."""
    from safetensors.numpy import load_file, save_file

    from tests.python.resealing import reseal

    golden = load_file(embedded.bundle / "golden.safetensors")
    bundle = tmp_path / "bundle"
    shutil.copytree(embedded.bundle, bundle)
    wrong: list[dict[str, str] | None] = [
        None, {}, {"texts": "["}, {"texts": "[]"}, {"texts": "[1]"}, {"texts": '{"0": "a"}'},
        {"texts": '["a"]', "more": "1"}, {"texts": json.dumps(["a"] * 6)}, {"Texts": '["a"]'},
    ]  # fmt: skip
    for metadata in wrong:
        save_file(golden, bundle / "golden.safetensors", metadata)
        reseal(bundle)
        command = ["node", "node_bridge/verify.js", "--bundle", str(bundle), "--backend", "cpu"]
        ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert ran.returncode == 2, metadata
        assert ran.stderr.startswith("error: ") and "golden.safetensors" in ran.stderr
        assert ran.stderr.count("\n") == 1
