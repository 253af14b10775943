"""Writes a folder for each failure, with the least that reproduces it on both sides.

`repro.json` says what drifted, with the bundle's hash, the versions and two command lines, Python's
and Node's, that print the value in question (to be run in the project's root). `case.jsonl` has the
shortest text found that fails. `python.safetensors` and `node.safetensors` have all tensors of both
sides for it.
"""

import json
import re
import shlex
import shutil
import time
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

from parity_tests import cases
from parity_tests.cases import TextCase
from parity_tests.checks import stages
from parity_tests.checks.compare import Problem
from parity_tests.checks.stages import StageRow
from parity_tests.checks.stored_parts import PartResult
from parity_tests.reference import Rerun
from parity_tests.runners.runs import TAPS
from support.command_names import python_command
from support.contracts import CONTRACT, MODEL_FILE, TABLES_FILE, VOCAB_FILE

MAX_PIECES = 100
"""Pieces of a text that are tried at most, all in one run of each side."""
MAX_SECONDS = 60
"""That this run may take at most, estimated from the whole text's own run."""
DOCUMENT = "repro.json"
TENSOR_NAMES = {stages.IDS_STAGE: "input_ids", stages.LABEL: "labels"}
INDEX_AT_END = re.compile(r" at \[([\d, ]+)\]\]?$")


def write_repro_folders(
    rerun: Rerun, rows: list[StageRow], parts: dict[str, PartResult], picked: list[TextCase]
) -> list[Path]:
    """Writes the folders under `rerun.out`, and removes those of an earlier run.

    There is one for each stored part that drifted, else one for each backend: of its first row
    that drifted.

    Args:
        rerun: runs both sides rerun.
        rows: of all backends.
        parts: the results of the stored parts by stage.
        picked: all cases.

    Returns:
        the folders.
    """
    for earlier in rerun.out.glob(f"*/{DOCUMENT}"):
        shutil.rmtree(earlier.parent, ignore_errors=True)
    folders = []
    for stage, part in parts.items():
        if part.status == "drift":
            folder = rerun.out / stage
            folder.mkdir(parents=True)
            message = part.failures[0]
            failure = {"stage": stage, "message": message}
            _write_repro_json(
                folder, rerun, failure, *_stored_part_commands(stage, message, folder, rerun)
            )
            folders.append(folder)
    if folders:
        # The outputs drifted because of these parts.
        return folders
    on_texts = [row for row in rows if row.comparison == stages.ON_TEXTS]
    off = [row for row in on_texts if row.status == "drift" and row.failing]
    for row in {row.backend: row for row in reversed(off)}.values():
        name = f"{row.backend}.{row.special_tokens}.{row.stage.removeprefix(TAPS)}"
        folder = rerun.out / name.replace("/", ".")
        folders.append(_write_row_folder(replace(rerun, out=folder), row, picked))
    return folders


def _write_row_folder(rerun: Rerun, row: StageRow, picked: list[TextCase]) -> Path:
    """Writes the folder of one row's first failing text.

    Args:
        rerun: runs both sides rerun; its `out` is the folder.
        row: with a failing text.
        picked: all cases.
    """

    def failing(tried: list[TextCase], together: bool = False) -> StageRow | None:
        numbered = [replace(case, case=i) for i, case in enumerate(tried)]
        rows = rerun.judge(row.backend, numbered, together)
        same = (r for r in rows if (r.special_tokens, r.stage) == (row.special_tokens, row.stage))
        return next((r for r in same if r.failing), None)

    first = next(case for case in picked if case.case in row.failing)
    started = time.monotonic()
    alone = failing([first])
    took = time.monotonic() - started
    if alone is None:
        # It fails only together with the others of its batch.
        least = [case for case in picked if case.batch == first.batch]
    else:
        tried = affordable_cases(shorter_cases(first), case_size(first), took)
        fails = failing(tried) if tried else None
        least = [min((tried[i] for i in fails.failing), key=case_size) if fails else first]
    failed = failing(least, True) or row
    case, problem = failed.problems[0]
    shown = least[case or 0]
    failure = {"stage": row.stage.removeprefix(TAPS), "backend": row.backend}
    failure |= {"special_tokens": row.special_tokens, "text": shown.text}
    failure |= {} if shown.pair is None else {"pair": shown.pair}
    failure["message"] = problem.message
    _write_repro_json(rerun.out, rerun, failure, *_flow_commands(rerun, row, case or 0, problem))
    return rerun.out


def affordable_cases(tried: list[TextCase], characters: int, took: float) -> list[TextCase]:
    """Returns the first cases that run in MAX_SECONDS together.

    For a large model on a slow backend that may be none; the text is then not shortened.

    Args:
        tried: the cases.
        characters: of a case that was run.
        took: its seconds.
    """
    most = characters * MAX_SECONDS / max(took, 1e-3)
    total, affordable = 0, []
    for case in tried:
        total += case_size(case)
        if total > most:
            break
        affordable.append(case)
    return affordable


def case_size(case: TextCase) -> int:
    """Returns the characters of a text and its pair."""
    return len(case.text) + len(case.pair or "")


def shorter_cases(case: TextCase) -> list[TextCase]:
    """Returns the case with pieces of its text; of a pair also of the second text, or of both."""
    texts = [replace(case, text=piece) for piece in _text_pieces(case.text)]
    if case.pair is None:
        return texts
    parts = _text_pieces(case.pair)
    seconds = [replace(case, pair=piece) for piece in parts]
    both = [
        replace(case, text=one, pair=two)
        for one, two in zip(_text_pieces(case.text), parts, strict=False)
    ]
    mixed = zip_longest(both, texts, seconds)
    return [one for group in mixed for one in group if one is not None][:MAX_PIECES]


def _text_pieces(text: str) -> list[str]:
    """Returns halves, quarters and so on of a text, down to single characters, each once.

    >>> _text_pieces("abcd")
    ['ab', 'cd', 'a', 'b', 'c', 'd']
    """
    pieces: dict[str, None] = {}
    size = len(text) // 2
    while size:
        pieces |= dict.fromkeys(text[i : i + size] for i in range(0, len(text), size))
        size //= 2
    return [piece for piece in pieces if piece.strip() and piece != text][:MAX_PIECES]


def _flow_commands(rerun: Rerun, row: StageRow, case: int, problem: Problem) -> tuple[str, str]:
    """Returns the commands that print the drifted value, in Python and in Node.

    Args:
        rerun: names bundle, model and tokenizer.
        row: of the stage.
        case: its number in `case.jsonl`.
        problem: whose message has the index.
    """
    match = INDEX_AT_END.search(problem.message)
    index = f"{case},{match[1].replace(' ', '')}" if match else str(case)
    name = TENSOR_NAMES.get(row.stage, row.stage)
    more = f"--cases {rerun.out / 'case.jsonl'}"
    if row.stage.startswith(TAPS):
        more += " --taps 0"
    return _runner_commands(rerun, f"{row.special_tokens}.b000.{name}[{index}]", row.backend, more)


def _stored_part_commands(stage: str, message: str, folder: Path, rerun: Rerun) -> tuple[str, str]:
    """Returns the commands that print a stored part, in Python and in Node.

    Args:
        stage: of the part.
        message: of the failure.
        folder: for a case file.
        rerun: names bundle, model and tokenizer.
    """
    weight = re.search(r"\[weight (\S+) at \[([\d, ]+)\]", message)
    if stage == "weights" and weight:
        cases.write_cases(folder / "case.jsonl", [TextCase(0, 0, "好")])
        show = f"weights/{weight[1]}[{weight[2].replace(' ', '')}]"
        return _runner_commands(rerun, show, "wasm", f"--cases {folder / 'case.jsonl'}")
    bundle, fresh = rerun.contract.path, rerun.reference.tokenizer or rerun.contract.path
    names = {"contract": CONTRACT, "tables": TABLES_FILE, "vocab": VOCAB_FILE}
    name = names.get(stage, MODEL_FILE)
    line = re.search(r"\[line (\d+)", message)
    own, other = str(bundle / name), str(fresh / name)
    if line:
        at = int(line[1]) - 1
        python = f"print(open({other!r}, 'rb').read().split(b'\\n')[{at}].decode())"
        node = f"fs.readFileSync({own!r}, 'utf8').split('\\n')[{at}]"
    else:
        python = f"import hashlib as h; print(h.sha256(open({other!r}, 'rb').read()).hexdigest())"
        node = f"crypto.createHash('sha256').update(fs.readFileSync({own!r})).digest('hex')"
    return f"python -c {shlex.quote(python)}", f"node -p {shlex.quote(node)}"


def _runner_commands(rerun: Rerun, show: str, backend: str, more: str) -> tuple[str, str]:
    """Returns the commands of both runners for one value.

    Args:
        rerun: names bundle, model and tokenizer.
        show: the value of --show.
        backend: of TF.js.
        more: further options.
    """
    bundle, reference, value = rerun.contract.path, rerun.reference, shlex.quote(show)
    python = f"{python_command()} -m parity_tests.runners.run_python --model {reference.model}"
    python += f" {shlex.join(reference.tokenizer_source.arguments())} {more} --show {value}"
    python += f" --contract {bundle / 'bundle.json'}"
    if rerun.stored:
        python += f" --stored {reference.stored_weights(bundle)}"
    runner = rerun.side.runner
    node = f"node {runner} --bundle {bundle} --backend {backend} {more} --show {value}"
    if rerun.side.classifier is not None:
        node += f" --classifier {rerun.side.classifier}"
    return python, node


def _write_repro_json(
    folder: Path, rerun: Rerun, failure: dict[str, Any], python: str, node: str
) -> None:
    """Writes `repro.json`.

    Args:
        folder: for the file.
        rerun: names the bundle.
        failure: what drifted.
        python: the command line of Python.
        node: the command line of Node.
    """
    document = failure | {
        "bundle": str(rerun.contract.path),
        "bundle_sha256": rerun.contract.sha256,
        "versions": rerun.reference.run.versions,
        "python": python,
        "node": node,
    }
    text = json.dumps(document, ensure_ascii=False, indent=1)
    (folder / DOCUMENT).write_text(text + "\n", encoding="utf-8")
