"""The trial itself: clean bundles first, then faults, two at a time."""

import json
import shutil
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, TextIO

from fault_injection.evaluator import Evaluator
from fault_injection.material import LANES
from fault_injection.registry import Task
from fault_injection.sources import CleanBundle
from fault_injection.target import Target

# How far a trial is: a bar on a terminal, a line now and then in a log.

LINE_EVERY_S = 10.0


class Progress:
    """Counts verdicts; one of its kind at a time."""

    def __init__(self, name: str, total: int, stream: TextIO) -> None:
        self.name = name
        self.total = total
        self.stream = stream
        self.done = 0
        self.started = self.said = time.monotonic()
        self.bar: Any = None
        if stream.isatty():
            from tqdm import tqdm

            self.bar = tqdm(total=total, desc=name, file=stream, leave=False)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        """Closes the bar, and says how long it took."""
        if self.bar is not None:
            self.bar.close()
        if self.done:
            self.say(f"in {time.monotonic() - self.started:.0f} s")

    def step(self) -> None:
        """One more is done."""
        self.done += 1
        if self.bar is not None:
            self.bar.update()
        elif time.monotonic() - self.said >= LINE_EVERY_S:
            self.said = time.monotonic()
            self.say("…")

    def say(self, more: str) -> None:
        """A line."""
        print(f"{self.name}: {self.done} of {self.total} {more}", file=self.stream, flush=True)


# Verdicts that are known, kept line by line, so that a trial that was stopped goes on.


class VerdictRecord:
    """JSON lines under the hash of all code that a verdict depends on."""

    def __init__(self, home: Path, key: str) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self.path = home / f"verdicts.{key[:16]}.jsonl"
        for stale in home.glob("verdicts.*.jsonl"):
            if stale != self.path:
                stale.unlink()
        self.known: dict[str, dict[str, Any]] = {}
        text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        # The last line may be cut off.
        for line in text.split("\n")[:-1]:
            row = json.loads(line)
            self.known[row["id"]] = row
        if not text.endswith("\n") and text:
            self.path.write_text(text[: text.rfind("\n") + 1], encoding="utf-8")

    def keep(self, row: dict[str, Any]) -> None:
        """Adds a verdict."""
        self.known[row["id"]] = row
        with self.path.open("a", encoding="utf-8", newline="\n") as stream:
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")


BACKENDS = ("wasm", "cpu")
VerdictRow = dict[str, Any]
JudgeItem = Callable[[Any, Path], VerdictRow]


class FaultRun:
    """Puts faults in and asks the evaluator; what is known is not asked again."""

    def __init__(
        self, evaluator: Evaluator, record: VerdictRecord, home: Path, stream: TextIO
    ) -> None:
        self.evaluator = evaluator
        self.record = record
        self.home = home
        self.stream = stream
        shutil.rmtree(home, ignore_errors=True)

    def cleans(self, cleans: Iterable[CleanBundle]) -> list[VerdictRow]:
        """The verdict on each clean bundle, on both backends; `detected` is a false alarm."""
        return self.each(
            "clean bundles", {f"clean/{clean.name}": clean for clean in cleans}, self.clean
        )

    def faults(self, tasks: Iterable[Task]) -> list[VerdictRow]:
        """The verdict on each fault."""
        return self.each("faults", {task.id: task for task in tasks}, self.fault)

    def each(self, name: str, wanted: dict[str, Any], judge: JudgeItem) -> list[VerdictRow]:
        """Rows in the order of `wanted`; finished ones are kept when it is interrupted."""
        new = {key: item for key, item in wanted.items() if key not in self.record.known}
        pool = ThreadPoolExecutor(LANES)
        try:
            with Progress(name, len(new), self.stream) as progress:
                waiting = {
                    pool.submit(self.timed, judge, item, self.home / key.replace("/", "."), key)
                    for key, item in new.items()
                }
                for done in as_completed(waiting):
                    self.record.keep(done.result())
                    progress.step()
        finally:
            pool.shutdown(cancel_futures=True)
        return [self.record.known[key] for key in wanted]

    def timed(self, judge: JudgeItem, item: Any, place: Path, key: str) -> VerdictRow:
        """A verdict with its name and its seconds; the place is gone afterwards."""
        start = time.monotonic()
        try:
            row = judge(item, place)
        finally:
            shutil.rmtree(place, ignore_errors=True)
        return {"id": key} | row | {"seconds": round(time.monotonic() - start, 2)}

    def clean(self, clean: CleanBundle, place: Path) -> VerdictRow:
        """The verdict on a clean bundle."""
        verdict = self.evaluator.judge(clean, clean.path, BACKENDS, place / "out", clean.head, None)
        return {
            "bundle": clean.name,
            "backends": list(BACKENDS),
            "got": verdict.stage,
            "detected": verdict.stage is not None or verdict.broken,
            "message": verdict.message,
        }

    def fault(self, task: Task, place: Path) -> VerdictRow:
        """Puts a fault in, and the verdict on it."""
        target = Target(task.clean, place)
        change = task.kind.inject(target, task.chooser())
        backends = (task.backend,)
        verdict = self.evaluator.judge(
            task.clean,
            target.bundle_path,
            backends,
            place / "out",
            target.head_path,
            target.program,
        )
        return {
            "kind": task.kind.name,
            "target": task.kind.target,
            "what": change.what,
            "bundle": task.clean.name,
            "backends": list(backends),
            "stages": list(change.stages),
            "got": verdict.stage,
            "detected": verdict.stage is not None,
            "attributed": verdict.stage in change.stages,
            "without_effect": change.without_effect or None,
            "message": verdict.message,
        }
