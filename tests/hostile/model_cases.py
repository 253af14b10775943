"""SavedModels that would read or write files of this machine, for every command that loads one."""

import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tests.hostile.case import HostileCase
from tests.hostile.saved_models import OTHERS, READS, WRITES
from tests.python import malicious_graphs, untrusted_models, zoo

MAKING = threading.Lock()
"""Only one thread at a time may construct TensorFlow graphs."""
SECRET = [f"secret{i}" for i in range(8)]
Maker = Callable[[Path, Path], Path]


def cases() -> Iterator[HostileCase]:
    """Yields each model with each command, and each op with the quickest one.

    An inspection ends well, and says that the model cannot be exported.
    """
    for kind, makers in {"writes": WRITES, "reads": READS, "other": OTHERS}.items():
        for name, (maker, says) in makers.items():
            for command_name, command in COMMANDS.items():
                make = partial(attack, maker, command)
                title = f"model: {kind} by {name}, to {command_name}"
                end = "survived" if command_name == "inspect" else "refused"
                yield HostileCase(title, make, end, says=says, check=nothing_happened)
    for name, (op, function) in malicious_graphs.EVIL.items():
        for depth in ("plain", "nested"):
            body = malicious_graphs.nest_function(function) if depth == "nested" else function
            make = partial(inspect_function, body)
            says = op if " " in op else f"got {op}"
            yield HostileCase(f"model: op {name} {depth}", make, "survived", says)


def attack(maker: Maker, command: Callable[[Path, Path], list[str]], workdir: Path) -> list[str]:
    """Makes a model and the command that loads it.

    Args:
        maker: makes the model from its directory and the file that it writes or reads.
        command: returns the command from the model and the case's directory.
        workdir: the case's directory.
    """
    marker = workdir / "marker"
    if maker in [make for make, _ in READS.values()]:
        marker.write_text("".join(f"{line}\n" for line in SECRET), "utf-8")
    with MAKING:
        made = maker(workdir / "model", marker)
    (workdir / "vocab.txt").write_text("".join(f"{token}\n" for token in zoo.TOKENS), "utf-8")
    return command(made, workdir)


def inspect_function(function: Callable[[object], object], workdir: Path) -> list[str]:
    """Makes a model of one function; returns the command that inspects it."""
    with MAKING:
        made = untrusted_models.save_function(function, workdir / "model")
    return ["python", "-m", "export", "inspect", str(made)]


def export_model(model: Path, workdir: Path) -> list[str]:
    """Returns the export of the model."""
    vocab = ["--vocab", str(workdir / "vocab.txt"), "--tokenizer", "bert", "--cased"]
    return ["python", "-m", "export", "model", str(model), *vocab, "--out", str(workdir / "out")]


def export_tokenizer(model: Path, workdir: Path) -> list[str]:
    """Returns the export of the model's tokenizer."""
    arguments = ["vocab", "--tokenizer-model", str(model), "--out", str(workdir / "out")]
    return ["python", "-m", "export", *arguments]


def inspect_model(model: Path, workdir: Path) -> list[str]:
    """Returns the inspection of the model."""
    del workdir
    return ["python", "-m", "export", "inspect", str(model)]


def run_parity(model: Path, workdir: Path) -> list[str]:
    """Returns the parity run of the default bundle against the model."""
    bundle = Path("artifacts/bundle/albert_tiny")
    out = ["--out", str(workdir / "out"), "--vocab", "artifacts/vocab.txt"]
    return ["python", "-m", "parity_tests", "--bundle", str(bundle), "--model", str(model), *out]


COMMANDS = {
    "export model": export_model,
    "export vocab": export_tokenizer,
    "inspect": inspect_model,
    "parity": run_parity,
}


def nothing_happened(workdir: Path) -> str:
    """Checks that the model wrote no file, and that no output was written."""
    found = [path for path in workdir.glob("marker*") if path.read_text("utf-8") != secret_text()]
    if found:
        return f"the model wrote {found[0].name}"
    if (workdir / "out").exists() and not (workdir / "out" / "cases.jsonl").exists():
        return "something was written to --out"
    if (workdir / "out" / "report.json").exists():
        return "a report was written"
    return ""


def secret_text() -> str:
    """Returns the content of the file that a model tries to read."""
    return "".join(f"{line}\n" for line in SECRET)
