"""Makes clean models and bundles, and caches them by the hash of what made them."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

from fault_injection.sources import SOURCES, SOURCES_WITH_HEAD, CleanMaterial
from support import ROOT, contracts
from support.atomic import new_directory
from support.errors import EnvironmentProblem, UserError
from support.node import find_node
from support.printing import Say
from support.sha256 import code_sha256, file_sha256

CODE_FOLDERS = ("export", "node_bridge", "numerics", "support")
CODE_FILES = (
    "fault_injection/build.py",
    "fault_injection/material.py",
    "fault_injection/sources.py",
)
LOCKS = ("locks/python.txt", "package-lock.json")
LANES = 2
"""Processes at a time."""
TRAINING_TEXTS = 300
GOLDEN_TEXTS = 16
"""Texts of a head's golden predictions."""


def code_hash(folders: Iterable[str], files: Iterable[str] = ()) -> str:
    """Hashes all code in some folders and files of the project."""
    found = [ROOT / file for file in files]
    for folder in folders:
        there = sorted(p for p in (ROOT / folder).rglob("*") if p.is_file())
        found += [p for p in there if "__pycache__" not in p.parts]
    return code_sha256(ROOT, found)


def make_material(artifacts: Path, say: Say) -> CleanMaterial:
    """Returns everything clean: cached, or made in two processes in two minutes.

    Raises:
        UserError: the embedded default's vocab or data is missing.
        EnvironmentProblem: a process that makes it failed.
    """
    vocab, data = artifacts / contracts.VOCAB_FILE, artifacts / "data" / "train.jsonl"
    for file in (vocab, data):
        if not file.is_file():
            raise UserError(f"{file} does not exist; make it with `nox -s export`")
    hashes = [file_sha256(file) for file in (vocab, data)]
    key = hashlib.sha256(
        "".join([code_hash(CODE_FOLDERS, [*CODE_FILES, *LOCKS]), *hashes]).encode()
    )
    home = artifacts / "fault_injection"
    made = CleanMaterial(home / f"material.{key.hexdigest()[:16]}")
    for stale in home.glob("material.*"):
        if stale != made.root:
            shutil.rmtree(stale)
    made.root.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(LANES) as pool:
        list(
            pool.map(
                lambda names: build_missing(made.root, vocab, names, say), _share_out_missing(made)
            )
        )
        list(pool.map(lambda name: train_head(made, name, data, say), SOURCES_WITH_HEAD))
    return made


def _share_out_missing(made: CleanMaterial) -> list[list[str]]:
    """Returns the names of missing parts, shared out among the processes."""
    parts = {f"tokenizer:{name}": made.root / "tokenizers" / name for name in ("lower", "cased")}
    parts |= {f"tables:{name}": made.tables(name) for name in ("bert", "fast", "lower", "cased")}
    missing = [name for name, path in parts.items() if not path.exists()]
    bundles: dict[str, list[Path]] = {}
    for clean in made.cleans():
        bundles.setdefault(clean.source.name, []).append(clean.path)
    missing += [s.name for s in SOURCES if not all(path.exists() for path in bundles[s.name])]
    shares = [missing[lane::LANES] for lane in range(LANES)]
    return [share for share in shares if share]


def build_missing(out: Path, vocab: Path, names: list[str], say: Say) -> None:
    """Runs one process of fault_injection/build.py.

    Args:
        out: the directory of the clean models and bundles.
        vocab: of all sources.
        names: of the parts to build.
        say: prints progress.
    """
    say(f"making {', '.join(names)}")
    run_command([sys.executable, "-m", "fault_injection.build", str(out), str(vocab), *names], say)


def train_head(
    made: CleanMaterial, name: str, data: Path, say: Say, texts: int = TRAINING_TEXTS
) -> None:
    """Trains a head, with golden predictions.

    Args:
        made: the clean models and bundles.
        name: of the source.
        data: the file of the texts.
        say: prints progress.
        texts: how many to train on.
    """
    out = made.head(name)
    if out.exists():
        return
    with data.open(encoding="utf-8", newline="\n") as stream:
        lines = list(islice(stream, texts))
    few = made.root / f"{name}.jsonl"
    few.write_text("".join(lines), encoding="utf-8", newline="\n")
    bundle = next(c.path for c in made.cleans() if c.name == f"{name}.float32")
    command = [find_node(), str(ROOT / "node_bridge" / "train.js"), "--bundle", str(bundle)]
    command += ["--train", str(few), "--dev", str(few), "--epochs", "3", "--max-length", "40"]
    with new_directory(out) as directory:
        run_command([*command, "--out", str(directory)], say)
        _write_golden(directory, bundle, lines[:GOLDEN_TEXTS])
    few.unlink()
    say(f"trained a head on {name}")


def _write_golden(head: Path, bundle: Path, lines: list[str]) -> None:
    """Adds `golden` to a classifier without it."""
    document = contracts.read_classifier(head)
    if "golden" in document:
        return
    texts = [json.loads(line)["text"] for line in lines]
    command = [
        find_node(),
        str(ROOT / "node_bridge" / "predict.js"),
        "--model",
        str(head),
        "--jsonl",
    ]
    stdin = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    answers = run_command(
        [*command, "--bundle", str(bundle)], lambda line: None, stdin
    ).splitlines()
    keys = ("text", "label", "probabilities")
    predictions: list[dict[str, Any]] = [json.loads(line) for line in answers]
    document["golden"] = [{key: row[key] for key in keys} for row in predictions]
    (head / contracts.DESCRIPTION).write_bytes(contracts.seal_description(document))


def run_command(command: list[str], say: Say, stdin: str = "") -> str:
    """Runs a command; returns its stdout.

    Args:
        command: the program and its arguments.
        say: gets the lines of stderr that begin with `made`.
        stdin: what the command reads.

    Raises:
        EnvironmentProblem: it failed; the message has its last line.
    """
    done = subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    with done:
        assert done.stdin and done.stdout and done.stderr
        done.stdin.write(stdin)
        done.stdin.close()
        with ThreadPoolExecutor(1) as pool:
            output = pool.submit(done.stdout.read)
            last = ""
            for line in done.stderr:
                last = line.strip() or last
                if line.startswith("made "):
                    say(last)
            answer = output.result()
    if done.returncode:
        raise EnvironmentProblem(f"{' '.join(command[:4])} … failed: {last}")
    return answer
