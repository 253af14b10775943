"""Bundles with a SavedModel for native TensorFlow in Node that could do more than compute.

The vetting is tested without TensorFlow in Node. Where `nox -s native` has built it, whole bundles
with right digests are run.
"""

import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from support import ROOT
from support.sha256 import path_sha256
from tests.hostile.case import HostileCase
from tests.hostile.saved_models import OTHERS, READS, WRITES, bytes_field
from tests.python import untrusted_models
from tests.python.malicious_graphs import EDITS, EVIL, nest_function
from tests.python.resealing import edit_json, reseal

EMBEDDED = ROOT / "artifacts" / "bundle" / "albert_tiny"
HAS_NATIVE = (ROOT / ".nox" / "native" / "built.json").exists()
LEFT_BEHIND = ("fingerprint.pb", "keras_metadata.pb", "bert-bridge.json")
SECRET = "".join(f"secret{i}\n" for i in range(8))
Make = Callable[[Path, Path], Path]
"""Makes a SavedModel, which writes or reads another file, in a new directory."""


def save_function(function: Callable[[Any], Any], out: Path, target: Path) -> Path:
    """Saves a SavedModel of one function."""
    return untrusted_models.save_function(function, out)


def save_edited(change: Callable[[Any], None], out: Path, target: Path) -> Path:
    """Saves a harmless SavedModel with a changed graph."""
    saved = untrusted_models.save_function(untrusted_models.string_lengths, out)
    return untrusted_models.edit_graph(saved, change)


def save_with_bytes(more: bytes, out: Path, target: Path) -> Path:
    """Saves a harmless SavedModel with extra bytes at the end."""
    made = untrusted_models.save_function(untrusted_models.string_lengths, out)
    with (made / "saved_model.pb").open("ab") as stream:
        stream.write(more)
    return made


def save_with_file(name: str, out: Path, target: Path) -> Path:
    """Saves a harmless SavedModel with another file."""
    made = untrusted_models.save_function(untrusted_models.string_lengths, out)
    (made / name).parent.mkdir(exist_ok=True)
    (made / name).touch()
    return made


def save_cut(length: int, out: Path, target: Path) -> Path:
    """Saves a harmless SavedModel that ends early."""
    made = untrusted_models.save_function(untrusted_models.string_lengths, out)
    data = (made / "saved_model.pb").read_bytes()
    (made / "saved_model.pb").write_bytes(data[:length] if length >= 0 else b"")
    return made


def makers() -> Iterator[tuple[str, Make, str]]:
    """Yields each SavedModel with a part of its message."""
    for name, (make, said) in (WRITES | READS | OTHERS).items():
        yield name, make, said.replace("'StringLength'", '"StringLength"')
    for name, (op, function) in EVIL.items():
        yield name, partial(save_function, function), op
        yield f"{name}, nested", partial(save_function, nest_function(function)), op
    for name, (change, _) in EDITS.items():
        yield f"edited, {name}", partial(save_edited, change), ""
    hidden = bytes_field(2, b"NoOp") + bytes([1 << 3, 10]) + bytes_field(2, b"ReadFile")
    for name, more in {
        "an op behind another wire type": bytes_field(2, bytes_field(2, bytes_field(1, hidden))),
        "a number for a graph": bytes_field(2, b"\x10\x01"),
        "a message longer than its outer": bytes_field(2, b"\x12\x05\x00"),
        "a text that is no text": bytes_field(
            2, bytes_field(2, bytes_field(1, bytes_field(2, b"\xff\xfe")))
        ),
        "a group without an end": b"\x1b",
        "a tag of nothing": b"\x00",
        "half a number": b"\x08\xff",
    }.items():
        yield name, partial(save_with_bytes, more), "is damaged"
    for name in ("saved_model.cpb", "saved_model.pbtxt", "assets.extra/x", "run.sh"):
        yield f"{name} beside it", partial(save_with_file, name), f"holds {name}"
    for length in (-1, 1, 100, 1000):
        yield f"{length} bytes of it", partial(save_cut, length), "saved_model.pb is"


def vet_command(make: Make, directory: Path) -> list[str]:
    """Returns the command that vets."""
    made = make_copied_model(directory, make)
    return ["node", "tests/hostile/vet_saved_model.js", "--directory", str(made)]


def make_copied_model(directory: Path, make: Make) -> Path:
    """Makes a SavedModel as an export copies it."""
    target = directory / "target"
    if make in [reader for reader, _ in READS.values()]:
        target.write_text(SECRET)
    made = make(directory / "made", target)
    for name in LEFT_BEHIND:
        (made / name).unlink(missing_ok=True)
    return made


def encode_resealed_bundle(
    make: Make, record: Callable[[dict[str, Any], str], None], directory: Path
) -> list[str]:
    """Puts another SavedModel into the embedded bundle, with right hashes; returns the command."""
    bundle = directory / "bundle"
    shutil.copytree(EMBEDDED, bundle)
    shutil.rmtree(bundle / "saved_model")
    shutil.move(make_copied_model(directory, make), bundle / "saved_model")
    inside = [p.relative_to(bundle).as_posix() for p in bundle.rglob("*") if p.is_file()]
    files = sorted(set(inside) - {"bundle.json"})

    def anew(contract: dict[str, Any]) -> None:
        contract["files"] = {name: {"sha256": "0" * 64, "size": 0} for name in files}
        record(contract, path_sha256(bundle / "saved_model"))

    edit_json(bundle / "bundle.json", anew)
    reseal(bundle)
    out = directory / "vectors.safetensors"
    command = ["node", "node_bridge/encode.js", "--bundle", str(bundle), "--backend", "native"]
    return [*command, "--out", str(out)]


def record_right_hash(contract: dict[str, Any], sha256: str) -> None:
    """Records the right hash, as anyone who reseals a bundle can."""
    contract["saved_model"]["sha256"] = sha256


def remove_record(contract: dict[str, Any], sha256: str) -> None:
    """Removes the record, as in bundles of earlier releases."""
    contract.pop("saved_model")


def record_nothing(contract: dict[str, Any], sha256: str) -> None:
    """Records that there is no SavedModel."""
    contract["saved_model"] = None


def keep_old_record(contract: dict[str, Any], sha256: str) -> None:
    """Leaves the record of the former SavedModel."""


def check_nothing_written(directory: Path) -> str:
    """Checks that the run wrote no file and did not change the target."""
    if (directory / "vectors.safetensors").exists():
        return "vectors were written"
    allowed = {directory / "target"}
    for path in directory.iterdir():
        if path.name.startswith("target") and path not in allowed:
            return f"{path.name} was written"
    target = directory / "target"
    if target.exists() and target.read_text() != SECRET:
        return "the target was changed"
    return ""


def copy_embedded_model(out: Path, target: Path) -> Path:
    """Copies the SavedModel of the embedded bundle."""
    return Path(shutil.copytree(EMBEDDED / "saved_model", out))


def cases() -> Iterator[HostileCase]:
    """Yields all of them for the vetting, and those that write or read also on native."""
    for name, make, said in makers():
        yield HostileCase(
            f"native: {name}", partial(vet_command, make), says=said, check=check_nothing_written
        )
    if not HAS_NATIVE or not (EMBEDDED / "saved_model").exists():
        return
    for name, (make, said) in (WRITES | READS).items():
        run = partial(encode_resealed_bundle, make, record_right_hash)
        yield HostileCase(f"native, run: {name}", run, says=said, check=check_nothing_written)
    said = "no record that its SavedModel was vetted"
    for name, record in (("missing", remove_record), ("none", record_nothing)):
        run = partial(encode_resealed_bundle, copy_embedded_model, record)
        yield HostileCase(f"native, run: record {name}", run, says=said)
    make = partial(save_function, untrusted_models.string_lengths)
    said = "a record of a SavedModel with sha256"
    yield HostileCase(
        "native, run: record of another",
        partial(encode_resealed_bundle, make, keep_old_record),
        says=said,
    )
    run = partial(encode_resealed_bundle, copy_embedded_model, record_right_hash)
    yield HostileCase("native, run: sound", run, expect="survived", stdin="好\n".encode())
