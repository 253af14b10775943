"""Every error is one line with its exit code."""

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from export import __main__ as command
from export.source import catalog
from support.command_line import describe_failure
from support.errors import CheckFailed, EnvironmentProblem, UserError
from tests.python.conftest import ROOT

pytestmark = pytest.mark.quick


class ResourceExhaustedError(Exception):
    """Has the name of TensorFlow's error."""


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UserError("as it is"), 2, "as it is"),
        (UserError("op \x1a\n::error::x"), 2, "op \\u001a\\n::error::x"),
        (EnvironmentProblem("as it is"), 3, "as it is"),
        (CheckFailed("as it is"), 1, "as it is"),
        (OSError(errno.ENOSPC, "No space left", "f"), 3, "f: No space left; make room"),
        (OSError(errno.ENOSPC, "No space left", "f\ng"), 3, "f\\ng: No space left; make room"),
        (OSError(errno.EFBIG, "File too large"), 3, "File too large; raise the limit"),
        (OSError(errno.ENOENT, "No such file", "f"), 2, "f: No such file; give another"),
        (MemoryError(), 3, "there is not enough memory"),
        (ImportError("x.so: failed to map segment from shared object"), 3, "there is not enough"),
        (ImportError("no module x"), 70, "internal error, please report it: ImportError"),
        (ResourceExhaustedError("OOM"), 3, "there is not enough memory (OOM)"),
        (ResourceExhaustedError("f; No space left on device"), 3, "cannot write: f; No space"),
        (RecursionError("depth"), 2, "the input is nested too deep"),
        (TypeError("a\nb"), 70, "internal error, please report it: TypeError: a b"),
    ],
)
def test_every_error_has_a_line_and_an_exit_code(error: Exception, code: int, line: str) -> None:
    said, got = describe_failure(error)
    assert got == code
    assert said.startswith(line)
    assert "\n" not in said


def test_unexpected_error_names_its_source_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(_: object) -> str:
        raise KeyError("x")

    monkeypatch.setattr(catalog, "row_cells", fails)
    assert command.main(["catalog"]) == 70
    error = capsys.readouterr().err
    assert error.startswith(
        "error: internal error, please report it: KeyError: 'x' (test_errors.py:"
    )
    assert error.count("\n") == 1


def test_a_full_disk_behind_stdout_gives_one_error_line() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "export", "catalog"],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 3
    assert done.stderr.startswith("error: No space left on device")
    assert done.stderr.count("\n") == 1
