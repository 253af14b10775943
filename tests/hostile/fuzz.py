"""Flips bytes of sound files, by seed, and checks that no wrong number passes.

There are six subjects, each the input of a command:

- `saved_model` and `checkpoint`: an export. A checkpoint has no checksums, and in a SavedModel only
  the variables have them, so a flip may give another model. The export itself compares the bundle
  with the model that it was made from.
- `bundle` and `classifier`: a damaged copy. verify.js and predict.js refuse it, or give the same
  results as for the sound one.
- `resealed_bundle` and `resealed_classifier`: sizes and hashes were written after the damage, so
  only golden cases and the other checksums can find it.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from tests.hostile import sound
from tests.hostile.case import HostileCase
from tests.hostile.running import ROOT, EndedCommand, find_fault, last_line, remove_directory
from tests.hostile.running import run_command as run_command

FLIPS = 2000
SHARES = {
    "saved_model": 0.15,
    "checkpoint": 0.15,
    "bundle": 0.2,
    "resealed_bundle": 0.25,
    "classifier": 0.1,
    "resealed_classifier": 0.15,
}
"""The share of all flips; an export takes three times as long as a check in Node."""
SECONDS = 120.0


@dataclass(frozen=True)
class Flip:
    """One changed byte, and the result.

    Attributes:
        name: the subject, the file and the offset in it.
        end: `refused`, `found` by a check, `same` numbers as the sound files, or `another model`.
        line: the last line on stderr.
        fault: what is wrong with that end, or "".
    """

    name: str
    end: str
    line: str
    fault: str


def run_fuzz(workdir: Path, flips: int, seed: int, jobs: int) -> list[Flip]:
    """Tries flips of all subjects.

    Args:
        workdir: a directory to work in.
        flips: how many in all.
        seed: of the choice of bytes and values.
        jobs: how many commands run at once.
    """
    from tests.hostile.__main__ import run_at_once

    if flips == 0:
        return []
    with exporter() as first:
        files = sound.make_sound_files(workdir / "sound", first)
    counts = {subject: max(1, round(flips * share)) for subject, share in SHARES.items()}
    pool = ExporterPool(jobs)
    work: list[Callable[[], Flip]] = []
    for subject, count in counts.items():
        chance = random.Random(f"{seed}:{subject}")
        for at in range(count):
            spot = workdir / f"{subject}-{at}"
            work.append(partial(attempt_flip, files, subject, spot, chance.random(), pool))
    try:
        found: list[Flip] = run_at_once(work, jobs, "flips")
    finally:
        pool.close()
    return found


def tally_flips(flips: list[Flip]) -> dict[str, dict[str, int]]:
    """Counts the ends of each subject."""
    ends_by_subject: dict[str, Counter[str]] = {}
    for flip in flips:
        ends_by_subject.setdefault(flip.name.split(" ")[0], Counter())[flip.end] += 1
    return {subject: dict(ends) for subject, ends in ends_by_subject.items()}


def attempt_flip(
    files: sound.SoundFiles, subject: str, spot: Path, chance: float, pool: "ExporterPool"
) -> Flip:
    """Changes one byte of a copy and runs the subject's command on it.

    Args:
        files: the sound ones.
        subject: a key of SHARES.
        spot: a directory to make and to remove.
        chance: from 0 to 1; decides the byte and its value.
        pool: of Python processes for exports.
    """
    kind = subject.removeprefix("resealed_")
    copy, home = spot / "copy", spot / "home"
    home.mkdir(parents=True)
    shutil.copytree(files.directory_of(kind), copy)
    where = change_byte(copy, random.Random(chance))
    if subject != kind:
        sound.reseal(copy)
    try:
        if kind in ("saved_model", "checkpoint"):
            end, line, fault = export_changed(files, kind, copy, home, pool)
        else:
            end, line, fault = open_changed(files, kind, copy, home)
        if end == "another model" and "variables/" in where:
            fault = fault or "TensorFlow's checksums let another weight pass"
    finally:
        remove_directory(spot)
    return Flip(f"{subject} {where}", end, line, fault)


def change_byte(directory: Path, chance: random.Random) -> str:
    """Changes one byte of one file, with equal chances for all files; returns a description."""
    candidates = sorted(
        file for file in directory.rglob("*") if file.is_file() and file.stat().st_size
    )
    file = chance.choice(candidates)
    data = bytearray(file.read_bytes())
    at = chance.randrange(len(data))
    mask = 1 << chance.randrange(8) if chance.random() < 0.5 else chance.randrange(1, 256)
    data[at] ^= mask
    file.write_bytes(data)
    return f"{file.relative_to(directory).as_posix()}[{at}]^{mask:#04x}"


def export_changed(
    files: sound.SoundFiles, kind: str, copy: Path, home: Path, pool: "ExporterPool"
) -> tuple[str, str, str]:
    """Exports a changed model; returns the end, the last line on stderr, and the fault.

    Args:
        files: the sound ones.
        kind: `saved_model` or `checkpoint`.
        copy: the changed one.
        home: for temporary files.
        pool: of Python processes.
    """
    out = home / "bundle"
    for arguments in files.exports(kind, copy, out):
        ended = pool.export(arguments, home)
        if ended.code != 0:
            break
    if ended.code < 0 and ended.code != -9:
        # In a real export the confined process ended so, and its parent printed one line.
        return "refused", last_line(ended.stderr), ""
    expected = "survived" if ended.code == 0 else "failed" if ended.code == 1 else "refused"
    fault = find_fault(HostileCase("", lambda _: [], expected, seconds=SECONDS), ended)
    if ended.code == 1 and "error: " not in ended.stderr:
        fault = fault or "exit code 1 without a line that says what a check found"
    if ended.code != 0:
        left = out.exists() or any("partial" in path.name for path in home.iterdir())
        fault = fault or ("a bundle was left" if left else "")
        return ("found" if ended.code == 1 else "refused"), last_line(ended.stderr), fault
    numbers = sound.encode_probes(out, home)
    same = numbers == files.vectors[kind]
    return ("same" if same else "another model"), last_line(ended.stderr), fault


def open_changed(
    files: sound.SoundFiles, kind: str, copy: Path, home: Path
) -> tuple[str, str, str]:
    """Verifies and uses a changed bundle or classifier; returns as `export_changed`.

    Args:
        files: the sound ones.
        kind: `bundle` or `classifier`.
        copy: the changed one.
        home: for temporary files.
    """
    option = "--bundle" if kind == "bundle" else "--model"
    verify = ["node", "node_bridge/verify.js", option, str(copy)]
    if kind == "classifier":
        verify += ["--bundle", str(files.bundle)]
    ended = run_checked(verify, home)
    expected = "survived" if ended.code == 0 else "failed" if ended.code == 1 else "refused"
    fault = find_fault(HostileCase("", lambda _: [], expected, seconds=SECONDS), ended)
    if ended.code != 0 or fault:
        return ("found" if ended.code == 1 else "refused"), last_line(ended.stderr), fault
    if kind == "bundle":
        same = sound.encode_probes(copy, home) == files.vectors["bundle"]
    else:
        same = sound.predict_probes(copy, files.bundle, home) == files.labels
    return "same" if same else "another model", "", "" if same else "other numbers passed"


def run_checked(command: list[str], home: Path) -> EndedCommand:
    """Runs a command like a case."""
    return run_command(command, home, home, HostileCase("", lambda _: [], seconds=SECONDS))


class ExporterPool:
    """Python processes with TensorFlow loaded; each thread has its own."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self.own = threading.local()
        self.started: list[subprocess.Popen[str]] = []

    def export(self, arguments: list[str], home: Path) -> EndedCommand:
        """Runs `python -m export ARGUMENTS`; returns its end and output."""
        if not hasattr(self.own, "process"):
            self.own.process = start_python()
            self.started.append(self.own.process)
        return ask_for_export(self.own.process, arguments, home)

    def close(self) -> None:
        """Ends all processes."""
        for process in self.started:
            end_python(process)


@contextmanager
def exporter() -> Iterator[Callable[[list[str], Path], EndedCommand]]:
    """Provides one such process, as a function of arguments and a directory for the output."""
    process = start_python()
    try:
        yield lambda arguments, home: ask_for_export(process, arguments, home)
    finally:
        end_python(process)


def start_python() -> "subprocess.Popen[str]":
    """Starts one process."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.Popen(
        [sys.executable, "-m", "tests.hostile.preloaded"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
        cwd=ROOT,
    )


def ask_for_export(
    process: "subprocess.Popen[str]", arguments: list[str], home: Path
) -> EndedCommand:
    """Sends one export to a process; returns its end and output.

    Raises:
        RuntimeError: the process itself ended.
    """
    stdin, stdout = pipes(process)
    request = {"arguments": arguments, "out": str(home), "seconds": SECONDS}
    stdin.write(json.dumps(request) + "\n")
    stdin.flush()
    answer = stdout.readline()
    if not answer:
        raise RuntimeError("the Python that forks for exports ended")
    code = int(json.loads(answer)["code"])
    output = [(home / name).read_text("utf-8", "replace") for name in ("stdout", "stderr")]
    return EndedCommand(code, output[0], output[1], SECONDS if code == -9 else 0.0, 0)


def pipes(process: "subprocess.Popen[str]") -> tuple[IO[str], IO[str]]:
    """Returns its stdin and stdout."""
    assert process.stdin is not None
    assert process.stdout is not None
    return process.stdin, process.stdout


def end_python(process: "subprocess.Popen[str]") -> None:
    """Ends one process."""
    pipes(process)[0].close()
    process.wait()
