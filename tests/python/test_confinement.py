"""The process that loads an untrusted model: its restrictions and limits."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import load_file

from export.confined import confinement, landlock, worker
from export.confined.confinement import AllowedPaths, Limits
from export.graph.verdict import Verdict
from export.model import ExportJob, ExportRequest
from export.source.signature_choice import AskedSignature
from export.tokenizer import TokenizerSpec
from export.tokenizer_choice import TokenizerChoice
from support.errors import CheckFailed, EnvironmentProblem, UserError
from tests.hostile import saved_models
from tests.python import untrusted_models, zoo
from tests.python.conftest import CONFINED, ROOT

needs_landlock = pytest.mark.skipif(
    not landlock.landlock_version(), reason=f"{CONFINED}: this system has no Landlock"
)
VOCAB = "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "你", "好", "a", "b", "c"]) + "\n"


def run_code_confined(code: str, scratch: Path, *read: Path) -> str:
    """Runs code confined and returns its output."""
    done = subprocess.run(
        confinement.confined_command(["-c", code], AllowedPaths(scratch, read)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_landlock
def test_confined_process_can_use_only_its_own_files(tmp_path: Path) -> None:
    for name in ("own", "scratch", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text("text")
    code = f"""
import os, socket
def tried(what):
    try:
        what()
    except OSError as error:
        print(error.errno, end=" ")
    else:
        print("done", end=" ")
root = {str(tmp_path)!r}
tried(lambda: open(root + "/own/file").read())
tried(lambda: open(root + "/scratch/new", "w").write("x"))
tried(lambda: open(root + "/own/file", "a"))
tried(lambda: open(root + "/other/file"))
tried(lambda: open(root + "/other/new", "w"))
tried(lambda: os.rename(root + "/other/file", root + "/scratch/stolen"))
tried(lambda: os.unlink(root + "/other/file"))
tried(lambda: os.symlink("/etc/passwd", root + "/scratch/link"))
tried(lambda: os.listdir(root))
tried(lambda: open("/etc/passwd"))
tried(lambda: open("/proc/{os.getpid()}/environ").read())
tried(lambda: os.kill({os.getpid()}, 0))
tried(lambda: socket.create_connection(("127.0.0.1", 9)))
"""
    said = run_code_confined(code, tmp_path / "scratch", tmp_path / "own").split()
    assert said[:2] == ["done", "done"]
    assert len(said) == code.count("\ntried("), said
    # EPERM or EACCES.
    assert set(said[2:]) <= {"1", "13"}, said
    assert (tmp_path / "other" / "file").exists()


@needs_landlock
def test_confinement_stops_an_op_that_vetting_missed(tmp_path: Path) -> None:
    scratch, models = tmp_path / "scratch", tmp_path / "models"
    scratch.mkdir()
    models.mkdir()
    marker, secret = tmp_path / "marker", tmp_path / "secret"
    secret.write_text("".join(f"secret{i}\n" for i in range(8)))
    writes = saved_models.bare_concrete_function(models / "writes", marker)
    reads = saved_models.constant_behind_an_asset(models / "reads", secret)
    code = f"""
import tensorflow as tf, tensorflow_text
for place in ({str(writes)!r}, {str(reads)!r}):
    try:
        tf.saved_model.load(place)
    except tf.errors.OpError as error:
        print(type(error).__name__)
"""
    said = run_code_confined(code, scratch, models).split()
    assert said == ["PermissionDeniedError"] * 2
    assert not list(tmp_path.glob("marker*"))


def test_missing_landlock_is_reported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(landlock, "landlock_version", lambda: 0)
    confinement.warn_without_landlock(said.append)
    confinement.warn_without_landlock(said.append)
    assert said == [confinement.NO_LANDLOCK_NOTICE]


def run_export(model: Path, out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    vocab = out.with_name("vocab.txt")
    vocab.write_text(VOCAB, encoding="utf-8")
    command = [sys.executable, "-m", "export", "model", str(model), "--vocab", str(vocab)]
    command += ["--tokenizer", "chars", "--out", str(out), *options]
    # The timeout only ends a test that hangs.
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)


class NeverReady(untrusted_models.WritesWhenLoaded):
    """A resource whose initialiser does not end."""

    def _initialize(self) -> None:
        # A random op is not removed, although nobody uses its result.
        tf.while_loop(lambda x: x >= 0.0, lambda x: (tf.random.uniform([]),), [tf.constant(0.0)])


def endless(out: Path) -> Path:
    return zoo.tf2(out, resource=NeverReady(out))


def huge(out: Path) -> Path:
    def many(x: Any, ids: Any) -> Any:
        # 512 TiB, for any number of ids.
        size = [tf.shape(ids)[1] * 0 + (1 << 30), 1 << 17]
        return x + tf.reduce_mean(tf.fill(size, x[0, 0, 0]))

    return zoo.tf2(out, change=many)


@pytest.mark.parametrize(
    ("make", "options", "code", "said"),
    [
        (endless, ("--time-limit", "20"), 2, "nothing came for 20 s after 'loading m in Tens"),
        (huge, (), 3, "more memory than it may use"),
    ],
    ids=["endless", "huge"],
)
def test_endless_or_huge_model_is_stopped_with_one_line(
    make: Callable[[Path], Path], options: tuple[str, ...], code: int, said: str, tmp_path: Path
) -> None:
    model = make(tmp_path / "m")
    done = run_export(model, tmp_path / "out", *options)
    *_, last = done.stderr.splitlines()
    assert (done.returncode, last.startswith("error: ")) == (code, True), done.stderr
    assert said in last
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".out*"))


def test_a_confined_export_gives_the_same_bundle(tmp_path: Path) -> None:
    model = zoo.tf2(tmp_path / "m")
    done = run_export(model, tmp_path / "out")
    assert done.returncode == 0, done.stderr
    request = ExportRequest(
        handle=str(model),
        tokenizer=TokenizerChoice(tmp_path / "vocab.txt", TokenizerSpec("chars")),
        own=True,
    )
    from export.model import export_model

    export_model(request, tmp_path / "own", lambda line: None)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {path.name for path in (tmp_path / "own").iterdir()}
    assert {"model.json", "bundle.json", "golden.safetensors", "vocab.txt"} < names
    # The numbers of the graph's nodes depend on what else the process has loaded.
    for name in names - {"model.json", "bundle.json", "golden.safetensors"}:
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "own" / name).read_bytes()
    # Its metadata has the sha256 of model.json.
    one, other = (load_file(tmp_path / place / "golden.safetensors") for place in ("out", "own"))
    assert one and one.keys() == other.keys()
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_messages_of_the_process_are_relayed(tmp_path: Path) -> None:
    def heard(*pieces: bytes) -> tuple[list[str], Any]:
        ours, theirs = os.pipe()
        for piece in pieces:
            os.write(theirs, piece)
        os.close(theirs)
        lines: list[str] = []
        try:
            return lines, confinement.relay_messages(ours, 5, lines.append, "m")
        finally:
            os.close(ours)

    assert heard(b'{"say": "a"}\n{"sa', b'y": "b"}\n') == (["a", "b"], None)
    for kind in (UserError, CheckFailed, EnvironmentProblem):
        line = json.dumps({"error": kind.__name__, "message": "x"}).encode()
        _, error = heard(b'{"say": "a"}\n', line + b"\n")
        assert (type(error), str(error)) == (kind, "x")
    for odd in (b"[]\n", b"no\n", b'{"error": "SystemExit", "message": "x"}\n', b"\xff\n", b"{}\n"):
        assert isinstance(heard(odd)[1], EnvironmentProblem)


def test_an_endless_line_and_a_silent_process_are_errors() -> None:
    ours, theirs = os.pipe()
    with os.fdopen(ours), os.fdopen(theirs, "wb"), pytest.raises(UserError, match="nothing came"):
        confinement.relay_messages(ours, 0, print, "m")
    with Path("/dev/zero").open("rb") as zeros:
        assert isinstance(
            confinement.relay_messages(zeros.fileno(), 5, print, "m"), EnvironmentProblem
        )


@pytest.mark.parametrize(
    ("code", "said", "kind"),
    [
        (
            -6,
            "F0000 00:00:1 1 t.cc:1] Check failed: a == b\n    @ 0x7f (unknown)\n",
            UserError,
        ),
        (-11, "", UserError),
        (-6, "terminate called after throwing an instance of 'std::bad_alloc'", EnvironmentProblem),
        (-9, "", EnvironmentProblem),
        (71, "error: the limits cannot be set: x", EnvironmentProblem),
    ],
)
def test_crash_of_the_process_is_an_error(code: int, said: str, kind: type, tmp_path: Path) -> None:
    (tmp_path / "stderr").write_text(said)
    error = confinement.unexpected_exit_error(code, tmp_path / "stderr", "m")
    assert type(error) is kind
    assert said.split("\n")[0] in str(error)
    assert "\n" not in str(error)


def test_job_is_equal_after_encoding_and_decoding(tmp_path: Path) -> None:
    verdict = Verdict(True, "named", "ids in", ("serve",), "f", {"a": "input_ids"}, {}, False)
    choice = TokenizerChoice(Path("v"), TokenizerSpec("bert", True, False), python=Path("p"))
    asked = AskedSignature(tags=("a", "b"), inputs=(("input_ids", "x"),))
    request = ExportRequest(
        "h", choice, trained=None, asked=asked, limits=Limits(3, 4), replace=True
    )
    job = ExportJob(tmp_path, Path("m"), verdict, {"vocab": {"sha256": "0"}}, request)
    through = json.loads(json.dumps(worker.encode_job(job)))
    assert worker.decode_value(ExportJob, through) == job


def test_the_process_ends_with_its_parent(tmp_path: Path) -> None:
    code = "import time; print('started', flush=True); time.sleep(3600)"
    command = confinement.confined_command(["-c", code], AllowedPaths(tmp_path))
    parent = (
        "import subprocess, sys, json; p = subprocess.Popen(json.loads(sys.argv[1]), "
        "stdout=subprocess.PIPE); p.stdout.readline(); print(p.pid, flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", parent, json.dumps(command)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        process.kill()
    # It ends at once; five minutes are for a busy machine.
    for _ in range(3000):
        try:
            state = Path(f"/proc/{child}/stat").read_text().rpartition(") ")[2]
        except OSError:
            return
        if state.startswith("Z"):
            return
        time.sleep(0.1)
    raise AssertionError("it has not ended")
