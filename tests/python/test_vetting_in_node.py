"""Node's vetting of SavedModels refuses what Python refuses, and allows the others."""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tensorflow.core.protobuf import saved_model_pb2

from export import saved_model_copy
from export.source.vetting import vet
from native.definitions import FILE, descriptor_set
from support.errors import UserError
from support.sha256 import path_sha256
from tests.hostile.saved_models import OTHERS, READS, WRITES, bytes_field
from tests.python import test_vetting, untrusted_models, zoo
from tests.python.conftest import ROOT
from tests.python.malicious_graphs import EDITS, EVIL, nest_function

PROGRAM = """
import { readFileSync, readdirSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { join, relative } from 'node:path';
import { digestOf, vet } from './node_bridge/bundle/saved_model/vetting.js';

const sum = (file) => createHash('sha256').update(readFileSync(file)).digest('hex');
const verdicts = JSON.parse(readFileSync(0, 'utf8')).map((directory) => {
  const entries = readdirSync(directory, { recursive: true, withFileTypes: true });
  const paths = entries.filter((one) => one.isFile()).map((one) => join(one.parentPath, one.name));
  const files = paths.map((path) => relative(directory, path));
  const sums = files.map((name, i) => [name, { sha256: sum(paths[i]), size: 0 }]);
  const digest = digestOf(Object.fromEntries(sums));
  try {
    vet(readFileSync(join(directory, 'saved_model.pb')), files, directory);
    return { digest, said: '' };
  } catch (error) {
    return { digest, said: error.exitCode === 2 ? error.message : `FAULT ${error.stack}` };
  }
});
process.stdout.write(JSON.stringify(verdicts));
"""


def node_verdicts(directories: list[Path]) -> list[dict[str, str]]:
    """Returns the digest of each SavedModel, and Node's error or ""."""
    paths = json.dumps([str(directory) for directory in directories]).encode()
    program = ["node", "--input-type=module", "-e", PROGRAM]
    ran = subprocess.run(program, cwd=ROOT, input=paths, capture_output=True, check=True)
    verdicts: list[dict[str, str]] = json.loads(ran.stdout)
    return verdicts


def copied_by_export(saved_model: Path) -> Path:
    """Removes the files that an export does not copy."""
    for name in ("fingerprint.pb", "keras_metadata.pb", "bert-bridge.json"):
        (saved_model / name).unlink(missing_ok=True)
    return saved_model


def python_error(saved_model: Path) -> str:
    try:
        vet(saved_model)
    except UserError as error:
        return str(error)
    return ""


HONEST: dict[str, Callable[[Path], Any]] = {
    "own encoder": untrusted_models.own_encoder,
    "own tokenizer": untrusted_models.own_tokenizer,
    "string tokens": untrusted_models.string_tokens,
    "vocab table": untrusted_models.vocab_table,
    "fast tokenizer": untrusted_models.fast_tokenizer,
    "trained in Keras": untrusted_models.trained_keras,
    "TF1": zoo.tf1_simple,
    "TF1, restored": zoo.tf1_restored,
    "TF1, an asset": lambda out: zoo.tf1_strings(out, asset=True),
}


def test_honest_models_pass_and_their_digest_is_pythons(tmp_path: Path) -> None:
    made = []
    for name, make in HONEST.items():
        make(tmp_path / name)
        made.append(copied_by_export(tmp_path / name))
    # Paths are sorted by their parts: "a-b/c" after "a/c", though "-" comes before "/".
    odd = made[0]
    for file in ("variables/a/c", "variables/a-b/c", "variables/a.b", "variables/é", "variables/Z"):
        place = odd / file
        place.parent.mkdir(exist_ok=True)
        place.write_text(file)
    verdicts = node_verdicts(made)
    assert [verdict["said"] for verdict in verdicts] == [""] * len(made)
    assert [verdict["digest"] for verdict in verdicts] == [path_sha256(one) for one in made]


def hostile(tmp_path: Path) -> dict[str, Path]:
    """Returns every SavedModel of the tests whose content Python refuses, by name."""
    made = {}
    for name, (make, _) in (WRITES | READS | OTHERS).items():
        made[name] = make(tmp_path / name, tmp_path / "target")
    for name, (op, function) in EVIL.items():
        made[op + name] = untrusted_models.save_function(function, tmp_path / f"evil {name}")
        made[f"{op}{name}, nested"] = untrusted_models.save_function(
            nest_function(function), tmp_path / f"nested {name}"
        )
    harmless = untrusted_models.save_function(
        untrusted_models.string_lengths, tmp_path / "harmless"
    )
    for name, (change, _) in EDITS.items():
        copy = Path(shutil.copytree(harmless, tmp_path / f"edit {name}"))
        made[f"edited: {name}"] = untrusted_models.edit_graph(copy, change)
    for name, (add, _) in test_vetting.TF1_EVIL.items():
        made[f"TF1: {name}"] = test_vetting.tf1_model(tmp_path / f"tf1 {name}", add)
    return made


def test_node_refuses_what_python_refuses(tmp_path: Path) -> None:
    made = hostile(tmp_path)
    verdicts = dict(
        zip(made, node_verdicts([copied_by_export(one) for one in made.values()]), strict=True)
    )
    assert len(made) > 40
    for name, directory in made.items():
        said, python = verdicts[name]["said"], python_error(directory)
        assert python, name
        assert said and not said.startswith("FAULT") and "\n" not in said, (name, said)
        # Both report the same error, or damage.
        got = python.partition("got ")[2].partition(", expected")[0].partition(" in ")[0]
        same = got.replace("'", '"') in said.replace("'", '"')
        assert same or "is damaged" in said, (name, python, said)


@pytest.fixture(scope="module")
def harmless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = copied_by_export(
        untrusted_models.save_function(
            untrusted_models.string_lengths, tmp_path_factory.mktemp("harmless") / "m"
        )
    )
    assert node_verdicts([made])[0]["said"] == ""
    return made


# Fields and their numbers in TensorFlow's definitions.
META_GRAPHS, GRAPH_DEF, NODE = 2, 2, 1


def key(field: int, kind: int) -> bytes:
    """Encodes a protobuf tag: a field's number and its wire type."""
    return bytes([field << 3 | kind])


def hidden_from_a_reader_of_one_type() -> bytes:
    """Encodes a node whose name has the wire type of a number.

    C++ treats it as an unknown field, skips one number, and reads the op that follows. A reader
    that expects a text uses that op's bytes as the name, and sees only the first op.
    """
    op = bytes_field(2, b"ReadFile")
    return bytes_field(2, b"NoOp") + key(1, 0) + bytes([len(op)]) + op


def test_ambiguous_protobuf_bytes_are_refused(harmless: Path, tmp_path: Path) -> None:
    sound = (harmless / "saved_model.pb").read_bytes()
    tail = {
        "a field of another wire type": bytes_field(
            META_GRAPHS,
            bytes_field(GRAPH_DEF, bytes_field(NODE, hidden_from_a_reader_of_one_type())),
        ),
        "a text in the place of a message": bytes_field(META_GRAPHS, key(GRAPH_DEF, 0) + b"\x01"),
        "a number of eight bytes": key(1, 1) + b"\0" * 8,
        "a message that ends after its outer": bytes_field(
            META_GRAPHS, key(GRAPH_DEF, 2) + b"\x05\x00"
        ),
        "a text that is no text": bytes_field(
            META_GRAPHS, bytes_field(GRAPH_DEF, bytes_field(NODE, bytes_field(2, b"\xff\xfe")))
        ),
        "a group that never ends": key(3, 3),
        "a tag of nothing": b"\0",
        "an end of a group": key(3, 4),
        "a message in a message, two hundred deep": nested_attribute(200),
    }
    made = []
    for name, more in tail.items():
        copy = Path(shutil.copytree(harmless, tmp_path / name))
        (copy / "saved_model.pb").write_bytes(sound + more)
        made.append(copy)
    for name, said in zip(tail, node_verdicts(made), strict=True):
        assert "saved_model.pb is damaged: got bytes that are no SavedModel" in said["said"], name
    # TensorFlow reads the first one, and sees the hidden op.
    parsed = saved_model_pb2.SavedModel.FromString(sound + tail["a field of another wire type"])
    assert [node.op for node in parsed.meta_graphs[-1].graph_def.node] == ["ReadFile"]


def nested_attribute(levels: int) -> bytes:
    """Encodes nested attributes of functions."""
    inner = b""
    for _ in range(levels):
        # AttrValue.func = 10; NameAttrList.attr = 2; an entry's value = 2.
        inner = bytes_field(10, bytes_field(2, bytes_field(1, b"a") + bytes_field(2, inner)))
    node = (
        bytes_field(1, b"n")
        + bytes_field(2, b"NoOp")
        + bytes_field(5, bytes_field(1, b"a") + bytes_field(2, inner))
    )
    return bytes_field(META_GRAPHS, bytes_field(GRAPH_DEF, bytes_field(NODE, node)))


def test_other_files_beside_the_model_are_refused(harmless: Path, tmp_path: Path) -> None:
    names = ("saved_model.cpb", "saved_model.pbtxt", "assets.extra/x", "variables", "x")
    made = []
    for name in names:
        copy = Path(shutil.copytree(harmless, tmp_path / name.replace("/", "_")))
        if name == "variables":
            shutil.rmtree(copy / name)
        (copy / name).parent.mkdir(exist_ok=True)
        (copy / name).write_text("")
        made.append(copy)
    for name, said in zip(names, node_verdicts(made), strict=True):
        assert f"holds {name}, expected saved_model.pb, variables and assets alone" in said["said"]


@pytest.mark.parametrize(
    "name",
    ["../../secret", "/etc/passwd", "..\\secret", "gs://b/vocab", "missing.txt", "", ".", "./v"],
)
def test_asset_outside_the_folder_is_refused(name: str, tmp_path: Path) -> None:
    made = copied_by_export(untrusted_models.vocab_table(tmp_path / "m"))

    def change(meta_graph: Any) -> None:
        meta_graph.asset_file_def[0].filename = name

    untrusted_models.edit_graph(made, change)
    (said,) = node_verdicts([made])
    assert "got an asset " in said["said"]


def test_definitions_are_those_of_the_installed_tensorflow() -> None:
    assert FILE.read_bytes() == descriptor_set(), "run: python -m native.definitions"


def test_contract_has_the_digest_of_the_files_that_node_reads(tmp_path: Path) -> None:
    model = untrusted_models.own_encoder(tmp_path / "m")
    (tmp_path / "bundle").mkdir()
    record = saved_model_copy.copy_saved_model(model, tmp_path / "bundle")
    (said,) = node_verdicts([tmp_path / "bundle" / "saved_model"])
    assert said == {"digest": record["sha256"], "said": ""}
