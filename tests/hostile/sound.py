"""The sound files that the fuzz damages: two models, a bundle, a classifier, and their results."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from safetensors.numpy import load_file

from support import contracts
from tests.hostile.case import HostileCase
from tests.hostile.running import EndedCommand
from tests.hostile.running import run_command as run_command
from tests.python import publishers, resealing, zoo

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
HANZI = list("你好这本书很房间小大不人天下上中国家学生老师早晚水")
VOCAB = [*SPECIAL, *HANZI, "##a", "a"][: publishers.VOCAB]
PROBES = ["".join(HANZI[:12]), "".join(HANZI[12:]), "aa a", "你a", "", "好" * 40]
"""Texts that use every line of the vocab except [PAD] and [MASK], and one that is cut."""
TRAINING = [
    (f"{HANZI[i % 20]}{HANZI[(i * 7) % 20]}{'好' if i % 2 else '不'}", i % 2) for i in range(40)
]


@dataclass(frozen=True)
class SoundFiles:
    """The paths and results of the sound files.

    Attributes:
        saved_model: a SavedModel, see `zoo.tf2`.
        checkpoint: a BERT as Hugging Face writes it.
        bundle: made of the checkpoint.
        classifier: trained on the bundle.
        vectors: the output of encode.js for the probes, by model and tensor.
        labels: the output of predict.js for the probes.
    """

    saved_model: Path
    checkpoint: Path
    bundle: Path
    classifier: Path
    vectors: dict[str, dict[str, bytes]]
    labels: str

    def directory_of(self, kind: str) -> Path:
        """Returns the directory of that name."""
        directories = {
            "saved_model": self.saved_model,
            "checkpoint": self.checkpoint,
            "bundle": self.bundle,
            "classifier": self.classifier,
        }
        return directories[kind]

    def exports(self, kind: str, model: Path, out: Path) -> list[list[str]]:
        """Returns the exports that make a bundle of a model of that kind, in order."""
        built, vocab = model, model / "vocab.txt"
        first = []
        if kind == "checkpoint":
            built = out.with_name("built")
            first = [["build", str(model), "--out", str(built)]]
        else:
            vocab = self.saved_model.parent / "zoo.txt"
        choice = ["--vocab", str(vocab), "--tokenizer", "bert", "--cased", "--out", str(out)]
        return [*first, ["model", str(built), *choice]]


def make_sound_files(
    workdir: Path, export: Callable[[list[str], Path], EndedCommand]
) -> SoundFiles:
    """Makes the sound files.

    Args:
        workdir: a directory to make.
        export: runs an export from its arguments and a directory for the output.

    Raises:
        RuntimeError: a step failed.
    """
    home = workdir / "home"
    home.mkdir(parents=True)
    (workdir / "zoo.txt").write_text("".join(f"{token}\n" for token in zoo.TOKENS), "utf-8")
    saved_model = zoo.tf2(workdir / "saved_model")
    checkpoint = publishers.publisher("bert", "hf").write(workdir / "checkpoint")
    (checkpoint / "vocab.txt").write_text("".join(f"{token}\n" for token in VOCAB), "utf-8")
    files = SoundFiles(saved_model, checkpoint, workdir / "bundle", workdir / "classifier", {}, "")
    for kind in ("saved_model", "checkpoint"):
        out = workdir / "bundle"
        shutil.rmtree(out, ignore_errors=True)
        for arguments in files.exports(kind, files.directory_of(kind), out):
            check_success(export(arguments, home))
        files.vectors[kind] = encode_probes(out, home)
    files.vectors["bundle"] = files.vectors["checkpoint"]
    for name, part in (("train", TRAINING[:30]), ("dev", TRAINING[30:])):
        rows = "".join(json.dumps({"text": t, "label": str(y)}) + "\n" for t, y in part)
        (workdir / f"{name}.jsonl").write_text(rows, "utf-8")
    train = ["node", "node_bridge/train.js", "--bundle", str(files.bundle), "--epochs", "2"]
    train += ["--train", str(workdir / "train.jsonl"), "--dev", str(workdir / "dev.jsonl")]
    train += ["--cache", str(home / "cache"), "--out", str(files.classifier)]
    check_success(run_program(train, home))
    labels = predict_probes(files.classifier, files.bundle, home)
    return SoundFiles(
        saved_model, checkpoint, files.bundle, files.classifier, files.vectors, labels
    )


def encode_probes(bundle: Path, home: Path) -> dict[str, bytes]:
    """Returns the bytes of each tensor of encode.js for the probes.

    Raises:
        RuntimeError: it fails.
    """
    out = home / "vectors.safetensors"
    out.unlink(missing_ok=True)
    texts = "".join(f"{text}\n" for text in PROBES).encode()
    command = ["node", "node_bridge/encode.js", "--bundle", str(bundle), "--out", str(out)]
    check_success(run_program(command, home, texts))
    return {name: array.tobytes() for name, array in load_file(out).items()}


def predict_probes(classifier: Path, bundle: Path, home: Path) -> str:
    """Returns the output of predict.js for the probes, a line of JSON each.

    Raises:
        RuntimeError: it fails.
    """
    texts = "".join(f"{text}\n" for text in PROBES).encode()
    command = [
        "node",
        "node_bridge/predict.js",
        "--model",
        str(classifier),
        "--bundle",
        str(bundle),
    ]
    return check_success(run_program(command, home, texts)).stdout


def run_program(command: list[str], home: Path, stdin: bytes = b"") -> EndedCommand:
    """Runs a command like a case."""
    return run_command(command, home, home, HostileCase("", lambda _: [], stdin=stdin, seconds=120))


def check_success(ended: EndedCommand) -> EndedCommand:
    """Returns the end of a command.

    Raises:
        RuntimeError: its exit code is not 0.
    """
    if ended.code != 0:
        raise RuntimeError(f"a sound file gave exit code {ended.code}: {ended.stderr[-500:]}")
    return ended


def reseal(directory: Path) -> None:
    """Updates sizes and hashes of a bundle or a classifier, if its contract can be read."""
    for name in ("bundle.json", "classifier.json"):
        if (directory / name).exists():
            try:
                resealing.reseal(directory, name)
                if name == "classifier.json":
                    document = json.loads((directory / name).read_text("utf-8"))
                    (directory / name).write_bytes(contracts.seal_description(document))
            except (ValueError, KeyError, TypeError, AttributeError, OSError):
                return
