"""`--tokenizer-python`: tables and ids come from another interpreter's library."""

import ast
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from tokenizers import __version__ as own_version

from export.__main__ import main
from export.tokenizer import TokenizerSpec, libraries, library_versions, make_reference
from export.tokenizer.interpreter import shared_interpreter
from export.tokenizer.texts import ALL_EDGES
from export.tokenizer.vocab import SPECIAL_TOKENS
from parity_tests.tokenizer.material import vocab_from_lines
from support.errors import EnvironmentProblem, UserError
from tests.python.conftest import OTHER_PYTHON

OTHER = "0.21.4"
VOCAB = vocab_from_lines(
    [*SPECIAL_TOKENS.values(), "a", "##b", "A", "é", "e", "中", "文", "，", ",", "\u2028"]
)
TEXTS = ["", "a中文b", "É，\u2028a[MASK]", *(ALL_EDGES[i : i + 9] for i in range(0, 90, 9))]
HERE = Path(sys.executable)


@pytest.fixture(scope="session")
def other_tokenizers() -> Path:
    """A Python with another version of the package `tokenizers`, installed once."""
    tag = f"{OTHER}-py{sys.version_info[0]}{sys.version_info[1]}"
    home = Path(tempfile.gettempdir()) / f"bert-bridge-tokenizers-{tag}"
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not (home / "done").exists():
        # The package needs its dependency only for downloads, which nothing here does.
        install = [str(python), "-m", "pip", "install", "-q", "--no-deps", f"tokenizers=={OTHER}"]
        subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True)
        done = subprocess.run(install, capture_output=True, text=True, check=False)
        if done.returncode:
            assert "Retrying" in done.stderr, done.stderr
            pytest.skip(f"{OTHER_PYTHON}: PyPI is unreachable")
        (home / "done").touch()
    return python


@pytest.mark.parametrize("algorithm", ["bert", "tf-text", "tf-text-fast", "chars"])
def test_this_interpreter_answers_the_same_through_the_pipe(algorithm: str) -> None:
    spec = TokenizerSpec(algorithm)
    near, far = make_reference(spec, VOCAB), make_reference(spec, VOCAB, HERE)
    assert far.encode(TEXTS) == near.encode(TEXTS)
    np.testing.assert_array_equal(far.flat(TEXTS).splits, near.flat(TEXTS).splits)
    for limit in (None, 2, 7):
        for special_tokens in (True, False):
            arguments = (TEXTS, TEXTS[::-1], special_tokens, limit)
            assert far.encode_with_types(*arguments) == near.encode_with_types(*arguments)
    assert far.encode(TEXTS, TEXTS, True, 5, "joined") == near.encode(
        TEXTS, TEXTS, True, 5, "joined"
    )
    framed = [f"a{text}b".replace("\n", "") for text in ALL_EDGES]
    for method in ("split", "normalize", "count_words", "fold"):
        if hasattr(near.library, method):
            mine, theirs = getattr(near.library, method), getattr(far.library, method)
            assert theirs(framed) == mine(framed)
    assert library_versions(algorithm, HERE) == library_versions(algorithm, None)


def test_a_lone_surrogate_is_refused_by_another_interpreter_too() -> None:
    with pytest.raises(UnicodeEncodeError):
        make_reference(TokenizerSpec("bert"), VOCAB, HERE).encode(["a\ud800"])


def test_another_version_of_the_library_is_named_in_the_contract(
    other_tokenizers: Path, tmp_path: Path
) -> None:
    vocab, out = tmp_path / "vocab.txt", tmp_path / "out"
    vocab.write_bytes(VOCAB.raw)
    command = ["vocab", str(vocab), "--tokenizer", "bert", "--cased", "--out", str(out)]
    assert main([*command, "--tokenizer-python", str(other_tokenizers)]) == 0
    text = (out / "bundle.json").read_text(encoding="utf-8")
    made_by = json.loads(text)["provenance"]["tokenizer"]
    assert made_by == {"python": ".".join(map(str, sys.version_info[:3])), "tokenizers": OTHER}
    assert str(other_tokenizers.parent.parent) not in text
    assert own_version != OTHER
    spec = TokenizerSpec("bert", lower_case=False)
    expected = make_reference(spec, VOCAB, other_tokenizers).encode(TEXTS, special_tokens=True)
    tokenize = ["node", "node_bridge/tokenize.js", "--bundle", str(out), "--jsonl"]
    lines = "".join(json.dumps({"text": one}) + "\n" for one in TEXTS)
    done = subprocess.run(tokenize, input=lines, capture_output=True, text=True, check=True)
    assert [json.loads(line)["ids"] for line in done.stdout.splitlines()] == expected


def script(place: Path, text: str) -> Path:
    """Writes a program that pretends to be an interpreter."""
    file = place / "python"
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return file


def test_output_of_the_interpreter_is_ignored(tmp_path: Path) -> None:
    noisy = script(tmp_path, f'echo welcome; echo "[1]"; exec "{sys.executable}" "$@"')
    assert library_versions("bert", noisy) == library_versions("bert", None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('cat "$@"', "does not answer as Python 3.8 or newer would"),
        ("exit 0", "does not answer as Python"),
        ("echo 'SyntaxError: invalid syntax' >&2; exit 1", r"\(SyntaxError: invalid syntax\)"),
        ("yes", "does not answer as Python"),
        ('echo "$@"', "does not answer as Python"),
    ],
)
def test_a_program_that_is_no_python_gives_one_error_line(
    tmp_path: Path, text: str, said: str
) -> None:
    program = script(tmp_path, text)
    with pytest.raises(UserError, match=said) as caught:
        library_versions("bert", program)
    assert "\n" not in str(caught.value) and str(program) in str(caught.value)


@pytest.mark.parametrize("name", ["none", "folder", "text"])
def test_missing_program_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "text").write_text("no program")
    with pytest.raises(UserError, match="--tokenizer-python .*: (got|does not start)"):
        library_versions("bert", tmp_path / name)


def test_interpreter_without_the_library_is_an_error(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    bare = tmp_path / "venv" / "bin" / "python"
    for algorithm, package in [("bert", "tokenizers"), ("tf-text", "tensorflow_text")]:
        with pytest.raises(UserError, match=f"it has no package {package}; install it there"):
            make_reference(TokenizerSpec(algorithm), VOCAB, bare)
        with pytest.raises(UserError, match=f"it has no package {package}"):
            library_versions(algorithm, bare)


def test_failing_library_is_an_error(tmp_path: Path) -> None:
    """The import of the library fails, or ends the interpreter."""
    for code, said in [("1 / 0", "failed: ZeroDivisionError"), ("exit(7)", r"exit code 7")]:
        place = tmp_path / said[:4]
        (place / "lib").mkdir(parents=True)
        code = code.replace("exit", "import os; print('last words', file=os.sys.stderr); os._exit")
        (place / "lib" / "tokenizers.py").write_text(code)
        program = script(place, f'PYTHONPATH="{place}/lib" exec "{sys.executable}" "$@"')
        with pytest.raises(EnvironmentProblem, match=said) as caught:
            make_reference(TokenizerSpec("bert"), VOCAB, program)
        assert "\n" not in str(caught.value)


def test_killed_interpreter_is_an_error() -> None:
    python = HERE.parent / "." / HERE.name
    running = shared_interpreter(python)
    running._process.kill()
    running._process.wait()
    with pytest.raises(EnvironmentProblem, match="the interpreter ended"):
        running.ask("versions", "bert")
    shared_interpreter.cache_clear()


def test_a_python_interpreter_and_a_tokenizer_model_exclude_each_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--tokenizer-model", str(tmp_path), "--tokenizer-python", sys.executable]
    assert main(["vocab", "--out", str(tmp_path / "out"), *arguments]) == 2
    assert "--tokenizer-model and --tokenizer-python, expected one" in capsys.readouterr().err


def test_the_script_is_for_python_3_8_and_needs_no_package() -> None:
    source = Path(libraries.__file__).read_text(encoding="utf-8")
    tree = ast.parse(source, feature_version=(3, 8))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {
        name.split(".")[0]
        for node in imports
        for name in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
        )
    }
    assert names and names <= {*sys.stdlib_module_names, "__future__"}
