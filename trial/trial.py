"""The trial itself: clean bundles first, then faults, two at a time."""

import shutil
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, TextIO

from trial.court import Court
from trial.material import LANES
from trial.patient import Patient
from trial.places import Clean
from trial.plan import Task
from trial.progress import Progress
from trial.record import Record

BACKENDS = ("wasm", "cpu")
Row = dict[str, Any]
Judge = Callable[[Any, Path], Row]


class Trial:
    """Puts faults in and asks the court; what is known is not asked again."""

    def __init__(self, court: Court, record: Record, home: Path, stream: TextIO) -> None:
        self.court = court
        self.record = record
        self.home = home
        self.stream = stream
        shutil.rmtree(home, ignore_errors=True)

    def cleans(self, cleans: Iterable[Clean]) -> list[Row]:
        """The verdict on each clean bundle, on both backends; `detected` is a false alarm."""
        return self.each(
            "clean bundles", {f"clean/{clean.name}": clean for clean in cleans}, self.clean
        )

    def faults(self, tasks: Iterable[Task]) -> list[Row]:
        """The verdict on each fault."""
        return self.each("faults", {task.id: task for task in tasks}, self.fault)

    def each(self, name: str, wanted: dict[str, Any], judge: Judge) -> list[Row]:
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

    def timed(self, judge: Judge, item: Any, place: Path, key: str) -> Row:
        """A verdict with its name and its seconds; the place is gone afterwards."""
        start = time.monotonic()
        try:
            row = judge(item, place)
        finally:
            shutil.rmtree(place, ignore_errors=True)
        return {"id": key} | row | {"seconds": round(time.monotonic() - start, 2)}

    def clean(self, clean: Clean, place: Path) -> Row:
        """The verdict on a clean bundle."""
        verdict = self.court.judge(clean, clean.path, BACKENDS, place / "out", clean.head, None)
        return {
            "bundle": clean.name,
            "backends": list(BACKENDS),
            "got": verdict.stage,
            "detected": verdict.stage is not None or verdict.broken,
            "message": verdict.message,
        }

    def fault(self, task: Task, place: Path) -> Row:
        """Puts a fault in, and the verdict on it."""
        patient = Patient(task.clean, place)
        change = task.kind.inject(patient, task.chooser())
        backends = (task.backend,)
        verdict = self.court.judge(
            task.clean,
            patient.bundle_path,
            backends,
            place / "out",
            patient.head_path,
            patient.program,
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
