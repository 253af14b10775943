"""Runs every command of the README and the further pages as a reader would, in one directory.

Commands that are too long for a test, or need the network, are in LONG with the reason; they parse
their own options. A new command in one of PAGES is run, or must be added to LONG. Each page and its
Chinese one have the same commands.
"""

import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.python.conftest import ROOT
from tests.python.publishers import publisher
from tests.python.test_build import TOKENS

PAGES = (
    "README.md",
    "docs/from-hugging-face.md",
    "docs/training.md",
    "docs/parity.md",
    "docs/native.md",
    "docs/collection.md",
    "docs/bench.md",
)
"""Whose commands are run, in the order in which a reader comes to them."""
CHINESE = ".zh-CN.md"
PROGRAM = r"(?:npm|nox|node|python|echo|cat|\.nox/\S+|\.venv/\S+)"
PYTHON = ".nox/python/bin/python -m "
NETWORK = "needs the network; test_repository_export.py runs it against a hub of its own"
LONG = {
    "npm start": "the whole project, in minutes; the workflow runs it",
    "npm test": "these tests",
    "npm pack": "package.test.js runs it",
    "npm install ./bert-bridge-0.1.0.tgz": "package.test.js does what it does, without a network",
    "npm ci": "takes Node's packages away while others use them; the workflow runs it",
    "nox -s export": "the fixture `embedded` runs what it runs",
    "nox -s parity": "minutes; the workflow runs it, test_parity_command.py a smaller one",
    "nox -s parity -- --bundle ./my_bundle --model ./my_model --texts dev.jsonl "
    "--classifier ./my_classifier --out ./my_report": "a minute; see test_parity_command.py",
    "nox -s parity -- --tokenizer-proof full": "five minutes",
    "nox -s export -- model hf:hfl/rbt3 --out ./my_bundle": NETWORK,
    "nox -s export -- inspect hf:hfl/rbt3": NETWORK,
    "nox -s export -- build hf:hfl/rbt3 --out ./my_model": NETWORK,
    "nox -s export -- build ./rbt3 --out ./my_model": "what ModelScope's program downloaded; "
    "test_checkpoint_layouts.py reads such a directory",
    "nox -s finetune": "a quarter of an hour; test_finetune.py runs a smaller one",
    "nox -s pretrain": "2.5 hours; test_pretrain.py runs the short form",
    "nox -s pretrain -- --minutes 30": "half an hour of the same",
    "nox -s pretrain -- --evaluate": "an hour; test_pretrain_evaluation.py has its parts",
    "nox -s native": "needs a compiler; the workflow runs it",
    "nox -s conformance": "an hour; test_conformance.py runs rows of it",
    "nox -s faults": "half an hour and more; test_fault_injection.py runs a part",
    "nox -s faults -- --sensitivity": "two minutes; test_fault_injection.py has its parts",
    "nox -s attack": "an hour; test_attack.py runs a part",
    "nox -s bench": "38 minutes; test_bench.py runs rows of it",
    "nox -s tests": "these tests",
    "nox -s quick": "a part of these tests",
    "nox -s lint": "the workflow runs it",
    PYTHON + "parity_tests.tokenizer": "a minute; test_tokenizer_proof.py runs a part",
    PYTHON + "parity_tests.tokenizer.disagreements": "35,123 reviews by two libraries",
}
ROOMS = {
    "export": "export",
    "parity": "parity_tests",
    "finetune": "parity_tests.finetune",
    "conformance": "parity_tests.conformance",
    "faults": "fault_injection",
    "attack": "tests.hostile",
    "bench": "bench",
    "pretrain": "pretrain",
    "native": "native",
}
PLAIN_SESSIONS = ("tests", "quick", "lint")
"""Sessions of several programs, without options of their own."""
PLACEHOLDERS = {
    "B": "artifacts/bundle/albert_tiny",
    "F.safetensors": "out.safetensors",
    "HANDLE": "./my_albert",
}
CLASSIFIER, NEW = "artifacts/classifier", "./my_tokenizer"
"""What DIR stands for: of node a classifier that is there, of nox a new directory."""
NODE_COMMANDS = ("train", "predict", "evaluate", "encode", "tokenize", "verify")
TEXTS = "这本书很好\n房间很小\n"
PROGRAM_START = "    import { Bundle, Classifier"


def commands(text: str) -> list[str]:
    """Every command of a page in order: in code blocks, tables and running text."""
    found = []
    for line in text.splitlines():
        if re.match(f"    {PROGRAM} ", line):
            found.append(line.split("  # ")[0].strip())
        else:
            found += [c for c in re.findall(r"`([^`]+)`", line) if re.match(f"{PROGRAM} ", c)]
    return list(dict.fromkeys(found))


def page(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def chinese(name: str) -> str:
    """The Chinese page beside an English one."""
    return name.removesuffix(".md") + CHINESE


def pairs() -> list[str]:
    """The English page of each pair: PAGES, and what else in docs/ has a Chinese page."""
    others = sorted((ROOT / "docs").glob(f"*{CHINESE}"))
    names = [f"docs/{path.name.removesuffix(CHINESE)}.md" for path in others]
    return list(dict.fromkeys([*PAGES, *names]))


def all_commands() -> list[str]:
    """Every command of PAGES in their order, each once."""
    return commands("\n".join(page(name) for name in PAGES))


def filled(command: str) -> str:
    """A command with its placeholders filled in."""
    words = PLACEHOLDERS | {"DIR": NEW if command.startswith("nox ") else CLASSIFIER}
    return " ".join(words.get(word, word) for word in command.split(" "))


@pytest.fixture(scope="module")
def project(embedded, tmp_path_factory):
    """The project as a reader has it, with small data and a small checkpoint of theirs."""
    place = tmp_path_factory.mktemp("readme")
    shutil.copytree(ROOT / "node_bridge", place / "node_bridge")
    shutil.copytree(ROOT / "schemas", place / "schemas")
    allowed = Path("export", "source", "allowed_ops.txt")
    (place / allowed).parent.mkdir(parents=True)
    shutil.copy(ROOT / allowed, place / allowed)
    shutil.copy(ROOT / "package.json", place)
    (place / "node_modules").symlink_to(ROOT / "node_modules")
    (place / "artifacts" / "data").mkdir(parents=True)
    (place / "artifacts" / "bundle").symlink_to(embedded.bundle.parent)
    lines = (embedded.data / "train.jsonl").read_text("utf-8").split("\n")
    for file in ("artifacts/data/train.jsonl", "train.jsonl", "reviews.jsonl", "T.jsonl"):
        (place / file).write_text("".join(f"{line}\n" for line in lines[:24]), "utf-8")
    for file in ("artifacts/data/dev.jsonl", "dev.jsonl"):
        (place / file).write_text("".join(f"{line}\n" for line in lines[40:52]), "utf-8")
    (place / "texts.txt").write_text(TEXTS, "utf-8")
    checkpoint = publisher("bert", "hf").write(place / "chinese_roberta_wwm_ext")
    vocab = "".join(f"{token}\n" for token in TOKENS)
    (checkpoint / "vocab.txt").write_text(vocab, "utf-8", newline="\n")
    config = {"tokenizer_class": "BertTokenizer", "do_lower_case": True}
    (checkpoint / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")
    (place / "vocab.txt").write_text(vocab, "utf-8", newline="\n")
    return place


def run(command: str, project: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Runs a command in the project; fails where it does."""
    typed = filled(command)
    if typed.startswith("nox -s export -- "):
        if "./my_albert" in typed and not (project / "my_albert").exists():
            shutil.copytree(project / "my_model", project / "my_albert")
        # In this process, which has TensorFlow already; test_nox.py has nox itself.
        code = call("export", typed.split(" -- ")[1])
        assert code == 0, f"{typed}: exit code {code}\n{capfd.readouterr().err}"
        return
    assert re.match(r"(echo \S+ \| )?node node_bridge/", typed), f"who runs `{command}`?"
    done = subprocess.run(
        typed,
        shell=True,
        cwd=project,
        input=TEXTS,
        capture_output=True,
        text=True,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert done.returncode == 0, f"{typed}: exit code {done.returncode}\n{done.stderr}"
    assert done.stdout or "--out" in typed, f"{typed} gave nothing"


def call(room: str, options: str) -> int:
    """The exit code of a Python command in this process."""
    try:
        return int(importlib.import_module(f"{room}.__main__").main(shlex.split(options)))
    except SystemExit as ended:
        return int(ended.code or 0)


@pytest.mark.parametrize("name", pairs())
def test_english_and_chinese_pages_have_the_same_commands(name):
    assert commands(page(name)) == commands(page(chinese(name)))


def test_the_compared_pages_have_many_commands():
    assert len(commands(page(PAGES[0]))) > 20
    assert len(all_commands()) > 25


def test_every_command_of_the_pages_runs_in_the_readers_order(project, monkeypatch, capfd):
    monkeypatch.chdir(project)
    short = [command for command in all_commands() if command not in LONG]
    assert sum(command.startswith("node ") for command in short) >= 7
    for command in short:
        run(command, project, capfd)


def test_long_commands_are_in_the_pages_with_valid_options(monkeypatch, capfd):
    monkeypatch.chdir(ROOT)
    found = all_commands()
    assert [command for command in LONG if command not in found] == []
    menu = subprocess.run(
        [sys.executable, "-m", "nox", "-l"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    sessions = set(re.findall(r"^[*-] (\S+)", menu.stdout, re.MULTILINE))
    package = json.loads((ROOT / "package.json").read_text("utf-8"))
    scripts, version = package["scripts"], package["version"]
    for command in LONG:
        head, _, options = command.partition(" -- ")
        if head.startswith("npm "):
            of_npm = ("ci", "pack", f"install ./bert-bridge-{version}.tgz")
            assert head.removeprefix("npm ") in (*of_npm, *scripts)
            continue
        if head.startswith(PYTHON):
            module = head.removeprefix(PYTHON)
            assert importlib.util.find_spec(module) is not None
            assert (ROOT / ".nox" / "python").exists()
            continue
        session = head.removeprefix("nox -s ")
        assert session in sessions, command
        if session not in PLAIN_SESSIONS:
            # --help comes last: what is before it is parsed first.
            assert call(ROOMS[session], f"{options} --help") == 0, capfd.readouterr().err
    named = {word for script in scripts.values() for word in script.split()[2:]}
    assert named and named <= sessions


def test_the_program_in_the_pages_runs(project):
    found = [name for name in pairs() if PROGRAM_START in page(name)]
    assert len(found) == 1
    for name in (found[0], chinese(found[0])):
        text = page(name)
        start = text.index(PROGRAM_START)
        lines = re.match(r"(?:(?:    .*)?\n)+", text[start:])
        assert lines is not None
        program = lines[0].replace(") …", ") console.log(label, text);")
        (project / "program.mjs").write_text(
            f"async function* reviews() {{ yield '很好'; yield '一般'; }}\n{program}\n"
            "console.log(vector.length, tokens.join(' '), ids.length === offsets.length);\n"
            "process.exit();\n",
            "utf-8",
        )
        node = shutil.which("node") or "node"
        done = subprocess.run(
            [node, "program.mjs"], cwd=project, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{name}: {done.stderr}"
        assert done.stdout.split("\n")[-2].startswith("312 [CLS] 这 本 书 很 好 [SEP] true")


@pytest.mark.parametrize("script", NODE_COMMANDS)
def test_the_examples_of_help_run(script, project, capfd):
    shown = subprocess.run(
        ["node", f"node_bridge/{script}.js", "--help"], cwd=project, capture_output=True, text=True
    )
    whole_lines = re.sub(r" \\\n *", " ", shown.stdout)
    examples = re.findall(r"^  ((?:echo|node) .*)$", whole_lines, re.MULTILINE)
    assert examples
    if not (project / CLASSIFIER).exists():
        run("node node_bridge/train.js", project, capfd)
    for command in examples:
        run(command, project, capfd)


@pytest.mark.parametrize("room", [*ROOMS.values(), "parity_tests.tokenizer"])
def test_the_examples_of_pythons_help_have_valid_options(room, capfd):
    module = importlib.import_module(f"{room}.__main__")
    examples = module.EXAMPLE + getattr(module, "BUILD_EXAMPLE", "")
    form = re.compile(r"  (?:python -m (\S+)|nox -s (\w+)(?: --)?) ?(.*?)(?:   .*)?$")
    commands = [found for line in examples.splitlines() if (found := form.match(line))]
    assert commands
    for typed in commands:
        assert room == (typed[1] or ROOMS[typed[2]])
        assert call(room, f"{typed[3]} --help") == 0, f"{typed[0]}\n{capfd.readouterr().err}"
