"""SavedModels that would read or write files of this machine, by every road that loads a model."""

import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tests.hostile.case import HostileCase
from tests.hostile.saved_models import OTHERS, READS, WRITES
from tests.python import evil, strangers, zoo

MAKING = threading.Lock()
"""TensorFlow's graphs under construction belong to one thread at a time."""
SECRET = [f"secret{i}" for i in range(8)]
Maker = Callable[[Path, Path], Path]


def cases() -> Iterator[HostileCase]:
    """Each model by each road; each op by the quickest.

    An inspection ends well, and says that the model cannot be exported.
    """
    for kind, makers in {"writes": WRITES, "reads": READS, "other": OTHERS}.items():
        for name, (maker, says) in makers.items():
            for road, command in COMMANDS.items():
                make = partial(attack, maker, command)
                title = f"model: {kind} by {name}, to {road}"
                end = "survived" if road == "inspect" else "refused"
                yield HostileCase(title, make, end, says=says, check=nothing_happened)
    for name, (op, function) in evil.EVIL.items():
        for depth in ("plain", "nested"):
            body = evil.nested(function) if depth == "nested" else function
            make = partial(inspect_function, body)
            says = op if " " in op else f"got {op}"
            yield HostileCase(f"model: op {name} {depth}", make, "survived", says)


def attack(maker: Maker, command: Callable[[Path, Path], list[str]], place: Path) -> list[str]:
    """Makes a model and the command that loads it.

    Args:
        maker: of the model: its directory, and the file that it writes or reads.
        command: of the model and the case's directory.
        place: the case's directory.
    """
    marker = place / "marker"
    if maker in [make for make, _ in READS.values()]:
        marker.write_text("".join(f"{line}\n" for line in SECRET), "utf-8")
    with MAKING:
        made = maker(place / "model", marker)
    (place / "vocab.txt").write_text("".join(f"{token}\n" for token in zoo.TOKENS), "utf-8")
    return command(made, place)


def inspect_function(function: Callable[[object], object], place: Path) -> list[str]:
    """A model of one function, inspected."""
    with MAKING:
        made = strangers.save(function, place / "model")
    return ["python", "-m", "export", "inspect", str(made)]


def export_model(model: Path, place: Path) -> list[str]:
    """An export of the model."""
    vocab = ["--vocab", str(place / "vocab.txt"), "--tokenizer", "bert", "--cased"]
    return ["python", "-m", "export", "model", str(model), *vocab, "--out", str(place / "out")]


def export_tokenizer(model: Path, place: Path) -> list[str]:
    """A tokenizer bundle of the model."""
    given = ["vocab", "--tokenizer-model", str(model), "--out", str(place / "out")]
    return ["python", "-m", "export", *given]


def inspect_model(model: Path, place: Path) -> list[str]:
    """An inspection."""
    del place
    return ["python", "-m", "export", "inspect", str(model)]


def run_parity(model: Path, place: Path) -> list[str]:
    """A parity run of the default bundle against the model."""
    bundle = Path("artifacts/bundle/albert_tiny")
    out = ["--out", str(place / "out"), "--vocab", "artifacts/vocab.txt"]
    return ["python", "-m", "parity_tests", "--bundle", str(bundle), "--model", str(model), *out]


COMMANDS = {
    "export model": export_model,
    "export vocab": export_tokenizer,
    "inspect": inspect_model,
    "parity": run_parity,
}


def nothing_happened(place: Path) -> str:
    """Whether the model wrote its file, or an output shows what it read."""
    found = [path for path in place.glob("marker*") if path.read_text("utf-8") != secret_text()]
    if found:
        return f"the model wrote {found[0].name}"
    if (place / "out").exists() and not (place / "out" / "cases.jsonl").exists():
        return "something was written to --out"
    if (place / "out" / "report.json").exists():
        return "a report was written"
    return ""


def secret_text() -> str:
    """The file that a model may want to read."""
    return "".join(f"{line}\n" for line in SECRET)
