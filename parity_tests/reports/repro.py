"""A folder for each failure: the least that shows it again, on both sides.

`repro.json` says what is off, with the bundle's hash, the versions and two command lines, Python's
and Node's, that print the value in question (to be run in the project's root); `case.jsonl` has the
text, made as short as still fails; `python.safetensors` and `node.safetensors` have all tensors of
both sides for it.
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
from parity_tests.reference import Rerun
from parity_tests.runners.runs import SPECIALS, TAPS

MAX_PIECES = 100
"""As many pieces of a text are tried at the most, all of them in one run of each side."""
MAX_SECONDS = 60
"""That run may take so long, as far as the whole text's own run tells."""
DOCUMENT = "repro.json"
TENSOR_NAMES = {stages.IDS_STAGE: "input_ids", stages.LABEL: "labels"}
INDEX_AT_END = re.compile(r" at \[([\d, ]+)\]\]?$")


def write_repro_folders(
    again: Rerun, rows: list[StageRow], parts: dict[str, dict[str, Any]], picked: list[TextCase]
) -> list[Path]:
    """Writes the folders under `again.out`, without those of an earlier run; returns them.

    One for each still part that is off, else one for each backend: of the first row that is.
    """
    for earlier in again.out.glob(f"*/{DOCUMENT}"):
        shutil.rmtree(earlier.parent, ignore_errors=True)
    folders = []
    for stage, part in parts.items():
        if part["status"] == "drift":
            folder = again.out / stage
            folder.mkdir(parents=True)
            message = part["failures"][0]
            told = {"stage": stage, "message": message}
            write_repro_json(
                folder, again, told, *stored_part_commands(stage, message, folder, again)
            )
            folders.append(folder)
    if folders:
        # What flows through parts that are off is off because of them.
        return folders
    off = [row for row in rows if row.status == "drift" and row.special in SPECIALS and row.failing]
    for row in {row.backend: row for row in reversed(off)}.values():
        name = f"{row.backend}.{row.special}.{row.stage.removeprefix(TAPS)}".replace("/", ".")
        folders.append(write_row_folder(replace(again, out=again.out / name), row, picked))
    return folders


def write_row_folder(again: Rerun, row: StageRow, picked: list[TextCase]) -> Path:
    """The folder of one row's first failing text."""

    def failing(tried: list[TextCase], together: bool = False) -> StageRow | None:
        numbered = [replace(case, case=i) for i, case in enumerate(tried)]
        rows = again.judge(row.backend, numbered, together)
        found = (r for r in rows if (r.special, r.stage) == (row.special, row.stage))
        return next((r for r in found if r.failing), None)

    first = next(case for case in picked if case.case in row.failing)
    started = time.monotonic()
    alone = failing([first])
    took = time.monotonic() - started
    if alone is None:
        # Alone it holds: it takes the others of its batch.
        least = [case for case in picked if case.batch == first.batch]
    else:
        tried = affordable_cases(shorter_cases(first), case_size(first), took)
        fails = failing(tried) if tried else None
        least = [min((tried[i] for i in fails.failing), key=case_size) if fails else first]
    found = failing(least, True) or row
    case, problem = found.problems[0]
    shown = least[case or 0]
    told = {"stage": row.stage.removeprefix(TAPS), "backend": row.backend}
    told |= {"special_tokens": row.special, "text": shown.text}
    told |= {} if shown.pair is None else {"pair": shown.pair}
    told["message"] = problem.message
    write_repro_json(again.out, again, told, *flow_commands(again, row, case or 0, problem))
    return again.out


def affordable_cases(tried: list[TextCase], characters: int, took: float) -> list[TextCase]:
    """The first cases that run in SECONDS, where one of so many characters took so long.

    Of a large model on a slow backend that may be none: then the text stays as long as it is.
    """
    room = characters * MAX_SECONDS / max(took, 1e-3)
    total, kept = 0, []
    for case in tried:
        total += case_size(case)
        if total > room:
            break
        kept.append(case)
    return kept


def case_size(case: TextCase) -> int:
    """Characters of a text and its pair."""
    return len(case.text) + len(case.pair or "")


def shorter_cases(case: TextCase) -> list[TextCase]:
    """A case with pieces of its text; of a pair also of the second, or of both."""
    texts = [replace(case, text=piece) for piece in text_pieces(case.text)]
    if case.pair is None:
        return texts
    parts = text_pieces(case.pair)
    seconds = [replace(case, pair=piece) for piece in parts]
    both = [
        replace(case, text=one, pair=two)
        for one, two in zip(text_pieces(case.text), parts, strict=False)
    ]
    mixed = zip_longest(both, texts, seconds)
    return [one for group in mixed for one in group if one is not None][:MAX_PIECES]


def text_pieces(text: str) -> list[str]:
    """Halves, quarters and so on of a text, down to single characters, the first of each.

    >>> text_pieces("abcd")
    ['ab', 'cd', 'a', 'b', 'c', 'd']
    """
    found: dict[str, None] = {}
    size = len(text) // 2
    while size:
        found |= dict.fromkeys(text[i : i + size] for i in range(0, len(text), size))
        size //= 2
    return [piece for piece in found if piece.strip() and piece != text][:MAX_PIECES]


def flow_commands(again: Rerun, row: StageRow, case: int, problem: Problem) -> tuple[str, str]:
    """What prints the value that is off, in Python and in Node."""
    found = INDEX_AT_END.search(problem.message)
    place = f"{case},{found[1].replace(' ', '')}" if found else str(case)
    name = TENSOR_NAMES.get(row.stage, row.stage)
    more = f"--cases {again.out / 'case.jsonl'}"
    if row.stage.startswith(TAPS):
        more += " --taps 0"
    return runner_commands(again, f"{row.special}.b000.{name}[{place}]", row.backend, more)


def stored_part_commands(stage: str, message: str, folder: Path, again: Rerun) -> tuple[str, str]:
    """What prints a still part, in Python and in Node."""
    weight = re.search(r"\[weight (\S+) at \[([\d, ]+)\]", message)
    if stage == "weights" and weight:
        cases.write_cases(folder / "case.jsonl", [TextCase(0, 0, "好")])
        show = f"weights/{weight[1]}[{weight[2].replace(' ', '')}]"
        return runner_commands(again, show, "wasm", f"--cases {folder / 'case.jsonl'}")
    bundle, fresh = again.contract.path, again.reference.tokenizer or again.contract.path
    names = {"contract": "bundle.json", "tables": "tokenizer_tables.bin", "vocab": "vocab.txt"}
    name = names.get(stage, "model.json")
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


def runner_commands(again: Rerun, show: str, backend: str, more: str) -> tuple[str, str]:
    """Both runners, asked for one value."""
    bundle, reference, asked = again.contract.path, again.reference, shlex.quote(show)
    python = f"python -m parity_tests.runners.run_python --model {reference.model}"
    python += f" {shlex.join(reference.tokenizer_source.arguments())} {more} --show {asked}"
    python += f" --contract {bundle / 'bundle.json'}"
    if again.stored:
        python += f" --stored {reference.stored(bundle)}"
    runner = again.side.runner
    node = f"node {runner} --bundle {bundle} --backend {backend} {more} --show {asked}"
    if again.side.classifier is not None:
        node += f" --classifier {again.side.classifier}"
    return python, node


def write_repro_json(
    folder: Path, again: Rerun, told: dict[str, Any], python: str, node: str
) -> None:
    """Writes `repro.json`."""
    document = told | {
        "bundle": str(again.contract.path),
        "bundle_sha256": again.contract.sha256,
        "versions": again.reference.run.versions,
        "python": python,
        "node": node,
    }
    text = json.dumps(document, ensure_ascii=False, indent=1)
    (folder / DOCUMENT).write_text(text + "\n", encoding="utf-8")
