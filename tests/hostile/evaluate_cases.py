"""Data files of `evaluate.js`, for each kind of classifier."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from tests.hostile import toys
from tests.hostile.case import HostileCase
from tests.hostile.data_cases import DEEP, FILES, GOOD, LABELS, LINES, SPECIAL_FILES
from tests.hostile.deciding import DECISIONS, write_deciding_bundle
from tests.hostile.decision_cases import evaluate, page_is_safe

HUGE = 17 << 20
"""More bytes than a line may have."""
LONG = 3 << 20
"""Characters of a text that is long and allowed."""
NOISE = "\x1b[31m\x07\u202e\u2028::error::x</td><script>alert(1)</script><img src=x>##[error]x"
ROWS: dict[str, dict[str, Any]] = {
    "single_label": {"text": "好", "label": "a"},
    "multi_label": {"text": "好", "label": ["a"]},
    "regression": {"text": "好", "label": 1.5},
    "token_labels": {"text": "好", "spans": [{"start": 0, "end": 1, "label": "X"}]},
}
"""A sound row for each task of `deciding.py`."""
WRONG_ROWS: dict[str, dict[str, dict[str, Any]]] = {
    "single_label": {
        "an unknown label": {"text": "好", "label": NOISE},
        "a label called __proto__": {"text": "好", "label": "__proto__"},
    },
    "multi_label": {
        "an unknown label": {"text": "好", "label": ["a", NOISE]},
        "labels that are an object": {"text": "好", "label": {"__proto__": 1, "a": 1}},
        "labels in labels": {"text": "好", "label": [["a"]]},
        "null among the labels": {"text": "好", "label": ["a", None]},
        "no label field": {"text": "好"},
    },
    "regression": {
        "a text for a number": {"text": "好", "label": NOISE},
        "too many numbers": {"text": "好", "label": [1, 2]},
        "a very large number": {"text": "好", "label": 1e308},
        "an object without the label": {"text": "好", "label": {"__proto__": 1}},
        "true for a number": {"text": "好", "label": True},
        "a number in hexadecimal": {"text": "好", "label": "0x10"},
    },
    "token_labels": {
        "an unknown type": {"text": "好", "spans": [{"start": 0, "end": 1, "label": NOISE}]},
        "a span beyond": {"text": "好", "spans": [{"start": 0, "end": 1e9, "label": "X"}]},
        "a negative span": {"text": "好", "spans": [{"start": -1, "end": 1, "label": "X"}]},
        "half a position": {"text": "好", "spans": [{"start": 0.5, "end": 1, "label": "X"}]},
        "half a character": {"text": "😀", "spans": [{"start": 0, "end": 1, "label": "X"}]},
        "equal spans": {"text": "好", "spans": [{"start": 0, "end": 1, "label": "X"}] * 2},
        "a span that is a list": {"text": "好", "spans": [[0, 1, "X"]]},
        "spans that are a text": {"text": "好", "spans": NOISE},
        "an unknown tag": {"tokens": ["好"], "tags": [NOISE]},
        "fewer tags": {"tokens": ["好", "书"], "tags": ["O"]},
        "an empty token": {"tokens": [""], "tags": ["O"]},
        "tokens in tokens": {"tokens": [["好"]], "tags": [["O"]]},
        "neither": {"text": "好", NOISE: "a"},
    },
}
"""Rows that do not fit, by task."""
COLUMNS: dict[str, bytes] = {
    "one column": b"\xe5\xa5\xbd\n",
    "an unknown tag in a column": b"\xe5\xa5\xbd\tB-\x1b[31m\n",
    "no token": b" O\n",
    "half a character in a column": b"\xe5\xa5 O\n",
    "zeros among columns": b"\xe5\xa5\xbd O\n" + bytes(5000),
}
"""Files of columns that are refused."""


SOUND_BYTES = (
    "a byte order mark", "line ends of Windows", "blank lines", "no last line end", "a JSON array"
)  # fmt: skip
"""Kinds of files that are read as they are."""


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    """Writes JSON lines."""
    path.write_text("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows), "utf-8")


def evaluate_file(task: str, content: bytes, workdir: Path) -> list[str]:
    """Writes a data file and a bundle of a task; returns the command."""
    (workdir / "data").write_bytes(content)
    made = write_deciding_bundle(workdir / "b", DECISIONS[task])
    return evaluate(made, workdir / "data", "--out", str(workdir / "out"))


def evaluate_rows(task: str, rows: list[dict[str, Any]], workdir: Path) -> list[str]:
    """Writes rows and a bundle of a task; returns the command."""
    command = evaluate_file(task, b"", workdir)
    write_rows(workdir / "data", rows)
    return command


def evaluate_trained(content: bytes, workdir: Path) -> list[str]:
    """Writes a data file and a classifier of `train.js`; returns the command."""
    (workdir / "data").write_bytes(content)
    made = toys.write_classifier(workdir / "c", toys.write_bundle(workdir / "b"))
    return evaluate(made, workdir / "data", "--out", str(workdir / "out"))


def evaluate_special(kind: str, task: str, workdir: Path) -> list[str]:
    """Makes the data a special file; returns the command."""
    command = evaluate_file(task, b"", workdir)
    (workdir / "data").unlink()
    SPECIAL_FILES[kind](workdir / "data")
    return command


def in_other_bytes(task: str, kind: str) -> bytes:
    """Returns a sound file of a task with a byte order mark, other line ends, or in UTF-16."""
    lines = f"{json.dumps(ROWS[task], ensure_ascii=False)}\n" * 2
    return {
        "a byte order mark": b"\xef\xbb\xbf" + lines.encode(),
        "line ends of Windows": lines.replace("\n", "\r\n").encode(),
        "blank lines": f"\n \n{lines}\n\t\n".encode(),
        "no last line end": lines.rstrip("\n").encode(),
        "a JSON array": f"[{lines.strip().replace(chr(10), ',')}]".encode(),
        "UTF-16": lines.encode("utf-16"),
    }[kind]


def nothing_is_written(workdir: Path) -> str:
    """Checks that a refusal leaves no directory and no unfinished one."""
    left = [path.name for path in workdir.iterdir() if path.name.startswith(("out", ".out"))]
    return f"it left {left}" if left else ""


def cases() -> Iterator[HostileCase]:
    """Yields wrong rows and files for each task, and sound ones with odd content."""
    refused = partial(HostileCase, check=nothing_is_written)
    for name, (line, says) in LINES.items():
        make = partial(evaluate_trained, GOOD + line + b"\n")
        yield refused(f"evaluate: {name}", make, says=says)
    for name, label in LABELS.items():
        make = partial(evaluate_trained, GOOD + b'{"text":"a","label":' + label + b"}\n")
        yield refused(f"evaluate: a label that is {name}", make, says="data:3")
    for number, (name, content) in enumerate(FILES.items()):
        if name == "one label":
            continue  # it is sound here
        yield refused(f"evaluate: {name}", partial(evaluate_trained, content), says="data")
        task = [*ROWS][1 + number % 3]
        make = partial(evaluate_file, task, content)
        yield refused(f"evaluate: {name}, {task}", make, says="data")
    for task, wrong in WRONG_ROWS.items():
        for name, row in wrong.items():
            make = partial(evaluate_rows, task, [ROWS[task], row])
            yield refused(f"evaluate: {name}, {task}", make, says="data:2")
    for name, content in COLUMNS.items():
        make = partial(evaluate_file, "token_labels", content)
        yield refused(f"evaluate: {name}", make, says="data")
    for task, row in ROWS.items():
        yield from cases_of_task(task, row)


def cases_of_task(task: str, row: dict[str, Any]) -> Iterator[HostileCase]:
    """Yields special files, other bytes, and odd texts.

    Args:
        task: of the bundle.
        row: a sound one of that task.
    """
    refused = partial(HostileCase, check=nothing_is_written)
    survived = partial(HostileCase, expect="survived", check=page_is_safe)
    for kind in SPECIAL_FILES:
        make = partial(evaluate_special, kind, task)
        yield refused(f"evaluate: {kind} as data, {task}", make, seconds=60)
    line = json.dumps(row).encode() + b"\n"
    deep = line[:-2] + b',"x":' + DEEP + b"}\n"
    yield refused(
        f"evaluate: a deep field beside, {task}",
        partial(evaluate_file, task, line + deep),
        says="broken JSON",
    )
    huge = line[:-2] + b',"x":"' + b"x" * HUGE + b'"}\n'
    yield refused(
        f"evaluate: a huge line, {task}",
        partial(evaluate_file, task, line + huge),
        says="data:2",
    )
    for kind in SOUND_BYTES:
        make = partial(evaluate_file, task, in_other_bytes(task, kind))
        yield survived(f"evaluate: {kind}, {task}", make)
    make = partial(evaluate_file, task, in_other_bytes(task, "UTF-16"))
    yield refused(f"evaluate: UTF-16 without its option, {task}", make, says="--encoding utf-16")
    for name, text in {
        "a text of noise": f"好{NOISE}",
        "a long text": "好" * LONG,
        "an empty text": "好" if task == "token_labels" else "",
        "a text of spaces": "好\u3000" if task == "token_labels" else " \t\u3000",
        "a text of combining marks": "好" + "\u0301" * 10_000,
    }.items():
        make = partial(evaluate_rows, task, [row | {"text": text}])
        yield survived(f"evaluate: {name}, {task}", make)
