"""The steps of action.yml do as a shell what docs/ci.md says."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from support import ROOT
from tests.python.test_workflows import PINNED

pytestmark = pytest.mark.quick

ACTION = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
STEPS: list[dict[str, Any]] = ACTION["runs"]["steps"]
EXPRESSION = re.compile(r"\$\{\{ *([\w.-]+) *\}\}")
NODE = """#!/bin/sh
case "$1" in
  -e) printf %s "$VERDICT" ;;
  *)
    printf '%s\\n' "$@" >> "$CALLS"
    [ "$2" = parity ] || exit 0
    if [ -n "$VERDICT" ]; then mkdir -p "$OUT"; echo {} > "$OUT/report.json"; fi
    exit "$CODE" ;;
esac
"""


def run_step(
    identity: str, place: Path, given: dict[str, str], environment: dict[str, str]
) -> tuple[int, dict[str, str]]:
    """Runs one step as GitHub does.

    Args:
        identity: its `id`, or its `name`.
        place: the workspace.
        given: inputs by name.
        environment: further variables.

    Returns:
        the exit code, and the outputs.
    """
    step = next(s for s in STEPS if identity in (s.get("id"), s.get("name")))
    values = {f"inputs.{name}": one.get("default", "") for name, one in ACTION["inputs"].items()}
    values |= {f"inputs.{name}": value for name, value in given.items()}
    values |= {"github.action_path": str(ROOT), "runner.temp": str(place / "temp")}
    variables = {
        name: EXPRESSION.sub(lambda found: str(values[found[1]]), value)
        for name, value in step.get("env", {}).items()
    }
    outputs = place / "outputs"
    outputs.write_text("", "utf-8")
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        cwd=place,
        env=os.environ | variables | {"GITHUB_OUTPUT": str(outputs)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    pairs = [line.partition("=") for line in outputs.read_text("utf-8").splitlines()]
    return done.returncode, {name: value for name, _, value in pairs}


def compare(
    place: Path, verdict: str = "pass", code: int = 0, **given: str
) -> tuple[int, dict[str, str], list[str]]:
    """Runs the step `parity` with a `node` that notes its arguments."""
    programs = place / "bin"
    programs.mkdir()
    (programs / "node").write_text(NODE, "utf-8")
    (programs / "node").chmod(0o755)
    calls = place / "calls"
    environment = {"PATH": f"{programs}:{os.environ['PATH']}", "CALLS": str(calls)}
    environment |= {"VERDICT": verdict, "CODE": str(code)}
    inputs = {name.replace("_", "-"): value for name, value in given.items()}
    ended, outputs = run_step("parity", place, inputs, environment)
    return ended, outputs, calls.read_text("utf-8").splitlines()


def test_each_used_action_is_pinned_and_no_input_is_put_into_a_script() -> None:
    text = (ROOT / "action.yml").read_text("utf-8")
    used = re.findall(r"uses: (.+)", text)
    assert len(used) == 4
    assert all(PINNED.match(one) for one in used)
    for step in STEPS:
        assert "${{" not in step.get("run", "")
        assert "run" not in step or step["shell"] == "bash"


def test_inputs_become_arguments_whatever_is_in_them(tmp_path: Path) -> None:
    runners = "a=node 'my app.js'\n\nb=python x.py\n"
    code, outputs, calls = compare(
        tmp_path,
        bundle="my bundle",
        model="$(touch owned)",
        texts="a;b.jsonl",
        runners=runners,
        arguments="--vocab\nmy vocab.txt\n",
    )
    launcher = str(ROOT / "launcher" / "bert-bridge.js")
    assert calls == [
        *(launcher, "parity", "--out", "parity-report"),
        *("--bundle", "my bundle", "--model", "$(touch owned)", "--texts", "a;b.jsonl"),
        *("--runner", "a=node 'my app.js'", "--runner", "b=python x.py"),
        *("--vocab", "my vocab.txt"),
    ]
    assert not (tmp_path / "owned").exists()
    assert (code, outputs) == (0, {"verdict": "pass", "report": "parity-report/report.html"})


def test_drift_fails_the_step_and_is_an_output(tmp_path: Path) -> None:
    code, outputs, _ = compare(tmp_path, "drift", 1, bundle="b", model="m", out="my report")
    assert (code, outputs) == (1, {"verdict": "drift", "report": "my report/report.html"})


def test_a_mistake_keeps_its_exit_code(tmp_path: Path) -> None:
    code, outputs, _ = compare(tmp_path, "", 2, bundle="b")
    assert code == 2
    assert outputs["verdict"] == ""


def test_without_inputs_the_embedded_default_is_made_first(tmp_path: Path) -> None:
    _, _, calls = compare(tmp_path)
    launcher = str(ROOT / "launcher" / "bert-bridge.js")
    assert calls == [launcher, "export", launcher, "parity", "--out", "parity-report"]


def test_the_key_of_the_cache_follows_the_locks(tmp_path: Path) -> None:
    code, outputs = run_step("locks", tmp_path, {}, {})
    assert code == 0
    assert re.fullmatch(r"[0-9a-f]{16}", outputs["hash"])
    cached = next(step for step in STEPS if step.get("uses", "").startswith("actions/cache"))
    assert "${{ steps.locks.outputs.hash }}" in cached["with"]["key"]
    assert (ROOT / "launcher" / "bert-bridge.js").is_file()


def test_the_pages_name_every_input() -> None:
    for page in ("ci.md", "ci.zh-CN.md"):
        text = (ROOT / "docs" / page).read_text("utf-8")
        named = set(re.findall(r"`([a-z-]+)`", text))
        assert set(ACTION["inputs"]) <= named, page


def test_the_example_workflow_uses_inputs_that_exist() -> None:
    text = (ROOT / "examples" / "github" / "parity.yml").read_text("utf-8")
    workflow = yaml.safe_load(text)
    step = workflow["jobs"]["parity"]["steps"][-1]
    assert step["uses"].startswith("OWNER/bert-bridge@")
    assert set(step["with"]) <= set(ACTION["inputs"])
    assert workflow["permissions"] == {"contents": "read"}
    assert json.dumps(workflow)
