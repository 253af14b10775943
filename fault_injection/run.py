"""Judges clean bundles and faults, two at a time, and saves the verdicts."""

import json
import shutil
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from fault_injection.evaluator import Evaluator
from fault_injection.material import LANES
from fault_injection.registry import Task
from fault_injection.sources import CleanBundle
from fault_injection.target import Target
from support import printing
from support.progress import Progress


class VerdictRecord:
    """Saved verdicts, so that an interrupted run goes on.

    They are JSON lines in a file named by the hash of all code that a verdict depends on.
    """

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

    def add(self, row: dict[str, Any]) -> None:
        """Saves a verdict."""
        self.known[row["id"]] = row
        with self.path.open("a", encoding="utf-8", newline="\n") as stream:
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")


BACKENDS = ("wasm", "cpu")
VerdictRow = dict[str, Any]
JudgeItem = Callable[[Any, Path], VerdictRow]


class FaultRun:
    """Injects faults and judges them; saved verdicts are not judged again."""

    def __init__(
        self, evaluator: Evaluator, record: VerdictRecord, home: Path, stream: TextIO
    ) -> None:
        """Prepares a run.

        Args:
            evaluator: runs the judge.
            record: of the saved verdicts.
            home: a directory to work in; it is emptied.
            stream: for the progress.
        """
        self.evaluator = evaluator
        self.record = record
        self.home = home
        self.stream = stream
        shutil.rmtree(home, ignore_errors=True)

    def judge_clean_bundles(self, cleans: Iterable[CleanBundle]) -> list[VerdictRow]:
        """Judges each clean bundle on both backends; `detected` is a false alarm."""
        return self.judge_each(
            "clean bundles", {f"clean/{clean.name}": clean for clean in cleans}, self.judge_clean
        )

    def judge_faults(self, tasks: Iterable[Task]) -> list[VerdictRow]:
        """Judges each fault."""
        return self.judge_each("faults", {task.id: task for task in tasks}, self.judge_fault)

    def judge_each(self, name: str, wanted: dict[str, Any], judge: JudgeItem) -> list[VerdictRow]:
        """Judges what has no saved verdict; returns rows in the order of `wanted`."""
        new = {key: item for key, item in wanted.items() if key not in self.record.known}
        pool = ThreadPoolExecutor(LANES)
        try:
            say = partial(printing.say, stream=self.stream)
            with Progress(name, len(new), say=say, stream=self.stream) as progress:
                waiting = {
                    pool.submit(
                        self.judge_timed, judge, item, self.home / key.replace("/", "."), key
                    )
                    for key, item in new.items()
                }
                for done in as_completed(waiting):
                    self.record.add(done.result())
                    progress.add()
        finally:
            pool.shutdown(cancel_futures=True)
        return [self.record.known[key] for key in wanted]

    def judge_timed(self, judge: JudgeItem, item: Any, directory: Path, key: str) -> VerdictRow:
        """Adds name and seconds to a verdict.

        Args:
            judge: returns the row of an item.
            item: to judge.
            directory: to work in; removed afterwards.
            key: the name of the verdict.
        """
        start = time.monotonic()
        try:
            row = judge(item, directory)
        finally:
            shutil.rmtree(directory, ignore_errors=True)
        return {"id": key} | row | {"seconds": round(time.monotonic() - start, 2)}

    def judge_clean(self, clean: CleanBundle, directory: Path) -> VerdictRow:
        """Judges a clean bundle."""
        verdict = self.evaluator.judge(
            clean, clean.path, BACKENDS, directory / "out", clean.head, None
        )
        return {
            "bundle": clean.name,
            "backends": list(BACKENDS),
            "got": verdict.stage,
            "detected": verdict.stage is not None or verdict.broken,
            "message": verdict.message,
        }

    def judge_fault(self, task: Task, directory: Path) -> VerdictRow:
        """Injects a fault and judges it."""
        target = Target(task.clean, directory)
        change = task.kind.inject(target, task.chooser())
        backends = (task.backend,)
        verdict = self.evaluator.judge(
            task.clean,
            target.bundle_path,
            backends,
            directory / "out",
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
