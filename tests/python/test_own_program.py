"""A program of the user's is compared on what it answers; a broken protocol is refused."""

import json
import os
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from numerics.budgets import Cost
from parity_tests.cases import TextCase
from parity_tests.checks.budgets import Budgets
from parity_tests.checks.decisions import decide_each, decide_label
from parity_tests.checks.own_program import OwnProgramResult, judge_own_program
from parity_tests.runners.own_answers import AnswerNames
from parity_tests.runners.own_program import OwnProgram, parse_program, run_own_program
from parity_tests.runners.runs import RunOutput
from support.errors import UserError

pytestmark = pytest.mark.quick

CASES = [
    TextCase(0, 0, " "),
    TextCase(1, 0, "你\u2028好"),
    TextCase(2, 1, "一", "二", max_length=6),
]
LABELS = ("good", "bad")
NAMES = AnswerNames({"pooled_output": "pooled", "pooled": "pooled", "seq": "seq"}, LABELS)
COST = Cost(1.25e-6, 1.0, 1)
"""Eight times that is 1e-5."""
BUDGETS = Budgets(dict.fromkeys(("pooled", "seq", "probabilities"), COST))
RIGHT: list[dict[str, Any]] = [
    {"id": 0, "ids": [2, 3], "pooled_output": [0.5, -1], "probabilities": [0.75, 0.25]},
    {"id": 1, "ids": [2, 7, 8, 3], "pooled_output": [1, 1], "probabilities": [0.25, 0.75]},
    {"id": 2, "ids": [2, 7, 3, 8, 3], "pooled_output": [2, 1], "probabilities": [1, 0]},
]


def python_side() -> RunOutput:
    """Python's answers to CASES: in batches, padded."""

    def batch(rows: list[dict[str, Any]]) -> dict[str, Any]:
        width = max(len(row["ids"]) for row in rows)
        padded = [row["ids"] + [0] * (width - len(row["ids"])) for row in rows]
        mask = [[int(at < len(row["ids"])) for at in range(width)] for row in rows]
        return {
            "input_ids": np.array(padded, np.int32),
            "attention_mask": np.array(mask, np.int32),
            "token_type_ids": np.zeros((len(rows), width), np.int32),
            "pooled": np.array([row["pooled_output"] for row in rows], np.float32),
            "seq": np.array(padded, np.float32)[..., None] * np.ones(3, np.float32),
            "probabilities": np.array([row["probabilities"] for row in rows], np.float32),
        }

    rows = [RIGHT[:2], RIGHT[2:]]
    batches = {("added", number): batch(some) for number, some in enumerate(rows)}
    tokens = {
        ("added", number): [list(map(str, row["ids"])) for row in some]
        for number, some in enumerate(rows)
    }
    decisions = {
        ("added", number): [
            [decide_label(np.array(row["probabilities"], np.float32), LABELS)] for row in some
        ]
        for number, some in enumerate(rows)
    }
    return RunOutput(batches, {}, tokens, decisions=decisions)


def program(tmp_path: Path, script: str, time_limit: float = 20) -> OwnProgram:
    """Makes a program in Python; `read()` reads a request."""
    file = tmp_path / "program.py"
    head = "import json, sys, os, time\n"
    head += "def say(answer): print(json.dumps(answer), flush=True)\n"
    file.write_text(head + script, encoding="utf-8")
    return OwnProgram("mine", (sys.executable, str(file)), time_limit)


def saying(tmp_path: Path, answers: list[Any], time_limit: float = 20) -> OwnProgram:
    """Makes a program that reads all of stdin and then writes these answers."""
    lines = "".join(
        (one if isinstance(one, str) else json.dumps(one, ensure_ascii=False)) + "\n"
        for one in answers
    )
    (tmp_path / "answers").write_text(lines, encoding="utf-8")
    script = f"sys.stdin.read()\nsys.stdout.buffer.write(open({str(tmp_path / 'answers')!r}, 'rb')"
    return program(tmp_path, script + ".read())\n", time_limit)


def judge(tmp_path: Path, answers: list[Any], several: bool = False) -> OwnProgramResult:
    one = saying(tmp_path, answers)
    found = run_own_program(one, CASES, 8, NAMES)
    side = python_side()
    if several:
        decisions = {
            key: [decide_each(row, LABELS, 0.5) for row in batch["probabilities"]]
            for key, batch in side.batches.items()
        }
        side = RunOutput(side.batches, {}, side.tokens, decisions=decisions)
    return judge_own_program(one, found, side, CASES, BUDGETS, LABELS if several else ())


def changed(number: int, **fields: Any) -> list[dict[str, Any]]:
    """Returns the right answers with some fields of one of them replaced."""
    return [answer | (fields if answer["id"] == number else {}) for answer in RIGHT]


def statuses(result: OwnProgramResult) -> dict[str, str]:
    return {row.stage: row.status for row in result.rows}


def test_the_command_is_split_as_a_shell_splits_it() -> None:
    assert parse_program("a.b-1=node 'my app.js' --x=1").command == ("node", "my app.js", "--x=1")
    for bad in ("mine", "=x", "mine=", "a b=x", "wasm=x", "mine='", "-x=y", "a\x1b=x"):
        with pytest.raises(UserError):
            parse_program(bad)


def test_the_program_gets_each_text_with_its_limit(tmp_path: Path) -> None:
    script = "rows = [json.loads(line) for line in sys.stdin.buffer]\n"
    script += f"open({str(tmp_path / 'got')!r}, 'w').write(json.dumps(rows))\n"
    script += "for row in rows: say({'id': row['id'], 'ids': [1]})\n"
    run_own_program(program(tmp_path, script), CASES, 8, NAMES)
    assert json.loads((tmp_path / "got").read_text()) == [
        {"id": 0, "text": " ", "max_length": 8},
        {"id": 1, "text": "你\u2028好", "max_length": 8},
        {"id": 2, "text": "一", "pair": "二", "max_length": 6},
    ]


def test_right_answers_pass_and_the_rest_is_named(tmp_path: Path) -> None:
    result = judge(tmp_path, RIGHT)
    assert statuses(result) == {"ids": "pass", "pooled": "pass", "probabilities": "pass"}
    assert result.not_answered == ["tokens", "seq", "label"]
    assert [row.measures.compared for row in result.rows] == [11, 6, 6]


def test_everything_can_be_answered(tmp_path: Path) -> None:
    answers = [
        {
            "id": row["id"],
            "tokens": list(map(str, row["ids"])),
            "ids": row["ids"],
            "seq": [[value] * 3 for value in row["ids"]],
            "pooled": row["pooled_output"],
            "probabilities": dict(zip(LABELS, row["probabilities"], strict=True)),
            "label": LABELS[row["probabilities"].index(max(row["probabilities"]))],
        }
        for row in RIGHT
    ]
    result = judge(tmp_path, answers)
    assert set(statuses(result).values()) == {"pass"}
    assert result.not_answered == []
    assert result.rows[-1].decisions is not None
    assert result.rows[-1].decisions.texts == 3


def test_arrays_may_come_as_safetensors(tmp_path: Path) -> None:
    answers = []
    for row in RIGHT:
        file = tmp_path / f"{row['id']}.safetensors"
        save_file(
            {
                "ids": np.array(row["ids"], np.int64),
                "pooled": np.array(row["pooled_output"], np.float32),
            },
            file,
        )
        answers.append({"id": row["id"], "safetensors": str(file)})
    assert statuses(judge(tmp_path, answers)) == {"ids": "pass", "pooled": "pass"}


@pytest.mark.parametrize(
    ("answers", "stage", "word"),
    [
        (changed(1, ids=[2, 7, 9, 3]), "ids", "got 9, but should be 8"),
        (changed(1, ids=[2, 7, 8, 3, 0]), "ids", "got [5], but should be [4]"),
        (changed(2, pooled_output=[2, 1.0001]), "pooled", "1.0001"),
        (changed(2, pooled_output=[2]), "pooled", "got [1], but should be [2]"),
        (changed(0, pooled_output=[float("nan"), -1]), "pooled", "nan"),
        (changed(0, pooled_output=[1e300, -1]), "pooled", "inf"),
        (changed(0, probabilities=[0.25, 0.75]), "probabilities", "0.25"),
    ],
)
def test_a_wrong_value_drifts_at_its_stage(
    tmp_path: Path, answers: list[Any], stage: str, word: str
) -> None:
    result = judge(tmp_path, answers)
    drifted = [row for row in result.rows if row.status == "drift"]
    assert [row.stage for row in drifted] == [stage]
    assert word in drifted[0].problems[0][1].message


def test_a_flipped_label_drifts_and_a_label_of_several_is_compared_one_by_one(
    tmp_path: Path,
) -> None:
    labels = ["good", "bad", "good"]
    right = [{"id": i, "label": label} for i, label in enumerate(labels)]
    assert statuses(judge(tmp_path, right)) == {"label": "pass"}
    right[1]["label"] = "good"
    assert statuses(judge(tmp_path, right)) == {"label": "drift"}
    several: list[Any] = [{"id": i, "labels": [label]} for i, label in enumerate(labels)]
    assert statuses(judge(tmp_path, several, several=True)) == {"label": "pass"}
    several[0]["labels"] = ["good", "bad"]
    assert statuses(judge(tmp_path, several, several=True)) == {"label": "drift"}
    several[0]["labels"] = ["good", "unknown"]
    assert statuses(judge(tmp_path, several, several=True)) == {"label": "drift"}


def test_a_skipped_text_is_said_and_not_compared(tmp_path: Path) -> None:
    result = judge(tmp_path, [*RIGHT[:2], {"id": 2, "skip": "takes no \x1b pairs"}])
    assert result.skipped == {2: "takes no \\u001b pairs"}
    assert set(statuses(result).values()) == {"pass"}
    assert [row.measures.compared for row in result.rows] == [6, 4, 4]


BROKEN: list[tuple[list[Any], str]] = [
    ([RIGHT[1], RIGHT[0], RIGHT[2]], "expected the id 0"),
    (RIGHT[:2], "after 2 of 3 answers"),
    ([*RIGHT, RIGHT[2]], "after the last answer"),
    ([*RIGHT, "done"], "after the last answer"),
    (["loading the model …", *RIGHT], "write everything else to stderr"),
    (["[1, 2]", *RIGHT[1:]], "expected a line with a JSON object"),
    (["[" * 100_000, *RIGHT[1:]], "expected a line with a JSON object"),
    ([{"id": 0, "error": "out of memory"}], "is an error: out of memory"),
    ([{"id": "0", "ids": [1]}], "expected the id 0"),
    ([{"id": 0, "ids": [[1]]}], "ids are no list of whole numbers"),
    ([{"id": 0, "ids": [1.5]}], "ids are no list of whole numbers"),
    ([{"id": 0, "ids": [2**40]}], "beyond int32"),
    ([{"id": 0, "pooled": [None, 1]}], "nested lists of numbers"),
    ([{"id": 0, "pooled": [[1], [1, 2]]}], "nested lists of numbers"),
    ([{"id": 0, "pooled": "x"}], "nested lists of numbers"),
    ([{"id": 0, "polled": [1]}], "has 'polled'; expected some of id, ids, tokens"),
    ([{"id": 0, "tokens": ["a", 1]}], "something else than text"),
    ([{"id": 0, "label": "a", "labels": ["a"]}], "expected one of them"),
    ([{"id": 0, "probabilities": {"good": 1, "other": 0}}], "expected of 'bad', 'good'"),
    ([{"id": 0, "safetensors": "no_such_file"}], "cannot be read as safetensors"),
    ([{"id": 0, "safetensors": 1}], "expected a path"),
    ([{"id": 0, "skip": "x", "ids": [1]}], "nothing but the id and skip"),
    ([{"id": i} for i in range(3)], "have nothing to compare"),
    ([{"id": i, "skip": "no"} for i in range(3)], "have nothing to compare"),
    ([*RIGHT[:2], {"id": 2, "ids": [2, 7, 3, 8, 3]}], "2 of 3 answers have pooled"),
]


@pytest.mark.parametrize(("answers", "message"), BROKEN, ids=[message for _, message in BROKEN])
def test_a_broken_protocol_is_one_clear_line(
    tmp_path: Path, answers: list[Any], message: str
) -> None:
    with pytest.raises(UserError) as caught:
        judge(tmp_path, answers)
    text = str(caught.value)
    assert text.startswith("--runner mine: ")
    assert message in text
    assert "\n" not in text
    assert len(text) < 1000


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("time.sleep(60)", "no answer to text 0 in 1 s; --runner-time-limit allows more"),
        ("raise ValueError('no such model')", "exit code 1 after 0 of 3 answers: ValueError: no"),
        ("os.kill(os.getpid(), 9)", "was killed (signal 9) after 0 of 3 answers"),
        ("sys.exit(0)", "ended with exit code 0 after 0 of 3 answers"),
        (
            "for i in range(3): say({'id': i, 'ids': [1]})\nsys.exit(4)",
            "all texts are answered, but the program ended with exit code 4",
        ),
        (
            "for i in range(3): say({'id': i, 'ids': [1]})\nos.close(1)\ntime.sleep(60)",
            "does not end, although its stdin has",
        ),
    ],
)
def test_a_program_that_hangs_or_dies_is_one_clear_line(
    tmp_path: Path, script: str, message: str
) -> None:
    started = time.monotonic()
    with pytest.raises(UserError) as caught:
        run_own_program(program(tmp_path, script, 1.0), CASES, 8, NAMES)
    assert message in str(caught.value)
    assert time.monotonic() - started < 30


def test_a_missing_program_is_one_clear_line() -> None:
    with pytest.raises(UserError, match="no_such_program cannot be started"):
        run_own_program(OwnProgram("mine", ("no_such_program",)), CASES, 8, NAMES)


def test_no_process_of_the_program_is_left(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    child = f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(300)"
    script = "import subprocess\n"
    script += f"subprocess.Popen([sys.executable, '-c', {child!r}])\n"
    script += f"while not os.path.exists({str(pid)!r}) or not open({str(pid)!r}).read(): pass\n"
    script += "time.sleep(300)\n"
    with pytest.raises(UserError, match="no answer"):
        run_own_program(program(tmp_path, script, 5.0), CASES, 8, NAMES)
    deadline = time.monotonic() + 20
    while _is_alive(int(pid.read_text())) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _is_alive(int(pid.read_text()))


def _is_alive(process: int) -> bool:
    """Returns whether a process runs; one that ended and was not waited for does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):
        return False


def test_a_large_request_and_a_large_answer_do_not_block_each_other(tmp_path: Path) -> None:
    many = [TextCase(i, 0, "好" * 500) for i in range(400)]
    script = "for line in sys.stdin: say({'id': json.loads(line)['id'], 'seq': [[0.5] * 3] * 999})"
    found = run_own_program(program(tmp_path, script), many, 8, NAMES)
    assert len(found) == 400
    assert found[0].tensors["seq"].shape == (999, 3)


def test_a_shell_takes_the_command_as_we_do() -> None:
    text = "python -c 'print(1)' a\\ b"
    assert parse_program(f"mine={text}").command == tuple(shlex.split(text))
    assert os.sep not in parse_program("mine=x").command[0]
