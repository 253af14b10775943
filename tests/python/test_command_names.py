"""Messages name commands as the person types them."""

import sys

import pytest

from support.command_line import OptionParser
from support.command_names import LAUNCHER_VARIABLE, as_typed, python_command
from support.printing import say
from tests.python.conftest import ROOT

pytestmark = pytest.mark.quick

MESSAGES = [
    ("make one with `nox -s export`", "make one with `npx bert-bridge export`"),
    ("nox -s export -- build ./x --out ./y", "npx bert-bridge build ./x --out ./y"),
    ("nox -s export -- model ./x", "npx bert-bridge export model ./x"),
    ("`nox -s export -- …`", "`npx bert-bridge export …`"),
    ("python -m export inspect ./x", "npx bert-bridge inspect ./x"),
    ("python -m export sign ./x", "npx bert-bridge export sign ./x"),
    ("python -m export", "npx bert-bridge export"),
    ("python -m parity_tests --bundle b", "npx bert-bridge parity --bundle b"),
    ("python -m parity_tests.bisect", "python -m parity_tests.bisect"),
    ("`nox -s native` builds it", "`npx bert-bridge native` builds it"),
    ("nox -s conformance", "nox -s conformance"),
    ("node node_bridge/train.js --help", "npx bert-bridge train --help"),
    ("what train.js wrote", "what npx bert-bridge train wrote"),
    ("./train.js or my-train.js or train.json", "./train.js or my-train.js or train.json"),
]


@pytest.mark.parametrize(("clone", "installed"), MESSAGES)
def test_message_in_a_clone_and_from_a_package(
    clone: str, installed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(LAUNCHER_VARIABLE, raising=False)
    assert as_typed(clone) == clone
    monkeypatch.setenv(LAUNCHER_VARIABLE, "npx bert-bridge")
    assert as_typed(clone) == installed
    assert as_typed(installed) == installed


def test_help_and_messages_are_translated(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(LAUNCHER_VARIABLE, "bert-bridge")
    shown = OptionParser(prog="python -m export build", epilog="see verify.js").format_help()
    assert shown.startswith("usage: bert-bridge build ")
    assert "see bert-bridge verify" in shown
    say("run `nox -s parity`")
    assert capsys.readouterr().err == "run `bert-bridge parity`\n"


def test_pythons_program_of_a_command_to_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(LAUNCHER_VARIABLE, raising=False)
    assert python_command() == "python"
    monkeypatch.setenv(LAUNCHER_VARIABLE, "bert-bridge")
    assert python_command() == f"PYTHONSAFEPATH=1 PYTHONPATH={ROOT} {sys.executable}"
