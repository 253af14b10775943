"""Flips bytes of sound files, by seed, and sees that no wrong number passes.

Six subjects, each of which is the input of a command:

- `saved_model` and `checkpoint`: an export. A checkpoint has no checksums, and of a SavedModel only
  the variables have them, so a flip may give another model; its bundle is then held against the
  model that it was made from, by the export itself.
- `bundle` and `classifier`: a copy that was damaged on its way. verify.js and predict.js refuse it,
  or give what the sound one gives.
- `resealed_bundle` and `resealed_classifier`: sizes and hashes were written anew after the damage,
  so only golden cases and the checksums beside them can find it.
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
"""Of all flips; an export takes three times as long as a check in Node."""
SECONDS = 120.0


@dataclass(frozen=True)
class Flip:
    """One byte that was changed, and what came of it.

    Attributes:
        name: the subject, the file and the place in it.
        end: `refused`, `found` by a check, `same` numbers as the sound files, or `another model`.
        line: the last that was said on stderr.
        fault: what is wrong with that end; "" where nothing is.
    """

    name: str
    end: str
    line: str
    fault: str


def run_fuzz(place: Path, flips: int, seed: int, jobs: int) -> list[Flip]:
    """Tries so many flips of all subjects.

    Args:
        place: a directory to work in.
        flips: how many in all.
        seed: of which byte becomes what.
        jobs: how many commands run at once.
    """
    from tests.hostile.__main__ import run_at_once

    if flips == 0:
        return []
    with exporter() as first:
        files = sound.make_sound_files(place / "sound", first)
    counts = {subject: max(1, round(flips * share)) for subject, share in SHARES.items()}
    pool = ExporterPool(jobs)
    work: list[Callable[[], Flip]] = []
    for subject, count in counts.items():
        chance = random.Random(f"{seed}:{subject}")
        for at in range(count):
            spot = place / f"{subject}-{at}"
            work.append(partial(attempt_flip, files, subject, spot, chance.random(), pool))
    try:
        found: list[Flip] = run_at_once(work, jobs, "flips")
    finally:
        pool.close()
    return found


def tally_flips(flips: list[Flip]) -> dict[str, dict[str, int]]:
    """For each subject how often each end came."""
    found: dict[str, Counter[str]] = {}
    for flip in flips:
        found.setdefault(flip.name.split(" ")[0], Counter())[flip.end] += 1
    return {subject: dict(ends) for subject, ends in found.items()}


def attempt_flip(
    files: sound.SoundFiles, subject: str, spot: Path, chance: float, pool: "ExporterPool"
) -> Flip:
    """Changes one byte of a copy and runs the subject's command on it.

    Args:
        files: the sound ones.
        subject: a key of SHARES.
        spot: a directory to make and to remove.
        chance: from 0 to 1; decides which byte becomes what.
        pool: of Pythons for exports.
    """
    kind = subject.removeprefix("resealed_")
    copy, home = spot / "copy", spot / "home"
    home.mkdir(parents=True)
    shutil.copytree(files.of(kind), copy)
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
    """Changes one byte of one file, each file as likely as another; says which."""
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
    """Exports a changed model; the end, the last line on stderr, and the fault.

    Args:
        files: the sound ones.
        kind: `saved_model` or `checkpoint`.
        copy: the changed one.
        home: for files of the moment.
        pool: of Pythons.
    """
    out = home / "bundle"
    for arguments in files.exports(kind, copy, out):
        ended = pool.export(arguments, home)
        if ended.code != 0:
            break
    if ended.code < 0 and ended.code != -9:
        # In real life this was the confined process, and its parent says one line.
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
    """Verifies and uses a changed bundle or classifier; see `export_changed`."""
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
    """Runs a command as a case is run."""
    return run_command(command, home, home, HostileCase("", lambda _: [], seconds=SECONDS))


class ExporterPool:
    """Pythons that have TensorFlow loaded; each thread takes one of its own."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self.own = threading.local()
        self.started: list[subprocess.Popen[str]] = []

    def export(self, arguments: list[str], home: Path) -> EndedCommand:
        """`python -m export ARGUMENTS`, with what it said."""
        if not hasattr(self.own, "process"):
            self.own.process = start_python()
            self.started.append(self.own.process)
        return ask_for_export(self.own.process, arguments, home)

    def close(self) -> None:
        """Ends them."""
        for process in self.started:
            end_python(process)


@contextmanager
def exporter() -> Iterator[Callable[[list[str], Path], EndedCommand]]:
    """One such Python, as a function of arguments and a directory for what it says."""
    process = start_python()
    try:
        yield lambda arguments, home: ask_for_export(process, arguments, home)
    finally:
        end_python(process)


def start_python() -> "subprocess.Popen[str]":
    """Starts one."""
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
    """Has one export done.

    Raises:
        RuntimeError: the Python itself ended.
    """
    stdin, stdout = pipes(process)
    asked = {"arguments": arguments, "out": str(home), "seconds": SECONDS}
    stdin.write(json.dumps(asked) + "\n")
    stdin.flush()
    answer = stdout.readline()
    if not answer:
        raise RuntimeError("the Python that forks for exports ended")
    code = int(json.loads(answer)["code"])
    said = [(home / name).read_text("utf-8", "replace") for name in ("stdout", "stderr")]
    return EndedCommand(code, said[0], said[1], SECONDS if code == -9 else 0.0, 0)


def pipes(process: "subprocess.Popen[str]") -> tuple[IO[str], IO[str]]:
    """Its stdin and stdout."""
    assert process.stdin is not None
    assert process.stdout is not None
    return process.stdin, process.stdout


def end_python(process: "subprocess.Popen[str]") -> None:
    """Ends one."""
    pipes(process)[0].close()
    process.wait()
