"""A Python process with TensorFlow and the exporter loaded, which forks for each export.

Importing TensorFlow takes 7 s, and an export starts two Pythons: a thousand exports would take
hours. A fork needs no import. As in a real export, `export.confined.worker` loads the model, but in
the fork itself, so that a crash ends the fork.

    python -m tests.hostile.preloaded      a line of JSON for each export: arguments, out, seconds
"""

import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import tensorflow as tf  # noqa: F401
import tensorflow_text  # noqa: F401

from export import __main__ as program
from export.confined import confinement, worker
from export.graph import tfjs  # noqa: F401


def main() -> int:
    """Answers each line on stdin with one on stdout: the exit code, negative for a signal."""
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            export_in_fork(request["arguments"], Path(request["out"]))
        print(json.dumps({"code": wait_for_fork(pid, request["seconds"])}), flush=True)
    return 0


def export_in_fork(arguments: list[str], out: Path) -> NoReturn:
    """Runs `python -m export ARGUMENTS` in the fork, with its output in files; never returns."""
    os.setsid()
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(out / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    confinement.run_confined = in_this_process  # type: ignore[assignment]
    code = 70
    try:
        code = int(program.main(arguments) or 0)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        # As Python itself would end.
        sys.excepthook(*sys.exc_info())
        code = 1
    sys.stderr.flush()
    os._exit(code)


def in_this_process(kind: str, job: Any, *_: Any) -> None:
    """Replaces `confinement.run`: does the worker's work and handles its messages."""
    say, what = _[-2], _[-1]
    with tempfile.TemporaryFile() as pipe:
        sys.stdin = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115
        sys.stdin.write(json.dumps({"kind": kind} | worker.encode_job(job)))
        sys.stdin.seek(0)
        # TensorFlow's log is hidden, as in a real export.
        with quiet_stderr():
            worker.main([str(os.dup(pipe.fileno()))])
        pipe.seek(0)
        error = confinement.relay_messages(pipe.fileno(), 5, say, what)
    if error is not None:
        raise error


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Discards this process's stderr for a while."""
    sys.stderr.flush()
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


def wait_for_fork(pid: int, seconds: float) -> int:
    """Returns the exit code of a fork; -9 where it took too long and was killed."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return -int(signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
