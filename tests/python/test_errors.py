"""Every error is one line with the exit code that it means."""

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from export import __main__ as command
from export import catalog_table
from export.errors import CheckFailed, EnvironmentProblem, UserError, explained
from tests.python.conftest import ROOT


class ResourceExhaustedError(Exception):
    """Bears the name of TensorFlow's."""


@pytest.mark.parametrize(
    ("error", "kind", "line"),
    [
        (UserError("as it is"), UserError, "as it is"),
        (CheckFailed("as it is"), CheckFailed, "as it is"),
        (OSError(errno.ENOSPC, "No space left", "f"), EnvironmentProblem, "f: No space left; make"),
        (OSError(errno.EFBIG, "File too large"), EnvironmentProblem, "File too large; make room"),
        (OSError(errno.ENOENT, "No such file", "f"), UserError, "f: No such file; give another"),
        (MemoryError(), EnvironmentProblem, "not enough memory"),
        (ResourceExhaustedError("OOM"), EnvironmentProblem, "not enough memory (OOM)"),
        (ResourceExhaustedError("f; No space left on device"), EnvironmentProblem, "cannot write"),
        (RecursionError("depth"), UserError, "nested too deep"),
        (TypeError("a\nb"), UserError, "stopped at TypeError: a ("),
    ],
)
def test_what_each_error_means(error: Exception, kind: type, line: str) -> None:
    found = explained(error)
    assert type(found) is kind
    assert str(found).startswith(line) or line in str(found)
    assert "\n" not in str(found)


def test_an_unforeseen_error_names_its_place(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(_: object) -> str:
        raise KeyError("x")

    monkeypatch.setattr(catalog_table, "cells", fails)
    assert command.main(["catalog"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: stopped at KeyError: 'x' (test_errors.py:")
    assert error.count("\n") == 1


def test_a_full_disk_behind_stdout() -> None:
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
