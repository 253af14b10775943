"""Runs the examples in docstrings."""

import doctest
import importlib

import pytest

from tests.python.conftest import ROOT

ROOMS = (
    "bench",
    "export",
    "fault_injection",
    "launcher",
    "native",
    "numerics",
    "parity_tests",
    "pretrain",
    "support",
)
MODULES = [
    path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")
    for room in ROOMS
    for path in sorted((ROOT / room).rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]


def test_there_are_docstring_examples() -> None:
    assert len(MODULES) > 20


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples_hold(name: str) -> None:
    failed, tried = doctest.testmod(importlib.import_module(name))
    assert tried > 0
    assert failed == 0
