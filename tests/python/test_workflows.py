"""The workflows run only reviewed code, without write permissions."""

import re

import pytest

from support import ROOT

pytestmark = pytest.mark.quick

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.y*ml"))
USES = re.compile(r"^\s*(?:-\s+)?[\"']?uses[\"']?\s*:\s*(.+)$", re.MULTILINE)
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+(\.\d+)*$")
"""By commit, with the release in a comment."""
RUN = re.compile(r"^\s*(?:-\s+)?run\s*:\s*(.+)$", re.MULTILINE)


def faults_of(workflow: str) -> list[str]:
    """Returns what is wrong with a workflow."""
    faults = [f"not pinned: {used}" for used in USES.findall(workflow) if not PINNED.match(used)]
    if not re.search(r"^permissions:\n  contents: read\n(?!  )", workflow, re.MULTILINE):
        faults.append("no `permissions:` with `contents: read` alone")
    if re.search(r"^[ ]+permissions:", workflow, re.MULTILINE):
        faults.append("a job takes other permissions")
    checkouts = workflow.count("uses: actions/checkout@")
    if workflow.count("persist-credentials: false") != checkouts:
        faults.append("a checkout that keeps the credentials")
    if re.search(r"^\s*(- )?pull_request_target", workflow, re.MULTILINE):
        faults.append("pull_request_target runs a stranger's code with rights")
    faults += [
        f"text of others in a shell: {line}" for line in RUN.findall(workflow) if "${{" in line
    ]
    return faults


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_and_permissions_are_minimal(path):
    assert faults_of(path.read_text("utf-8")) == []


def test_there_are_workflows():
    assert WORKFLOWS


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("@11bd71901bbe5b1630ceea73d27597364c9af683 # v4.2.2", "@v4", "not pinned"),
        ("@11bd71901bbe5b1630ceea73d27597364c9af683", "@11bd719", "not pinned"),
        (" # v4.2.2", "", "not pinned"),
        ("permissions:\n  contents: read\n", "", "no `permissions:`"),
        ("contents: read", "contents: write", "no `permissions:`"),
        ("contents: read\n", "contents: read\n  packages: write\n", "no `permissions:`"),
        ("        with:\n          persist-credentials: false\n", "", "credentials"),
        ("  pull_request:", "  pull_request_target:", "rights"),
        ("run: npm start", "run: echo ${{ github.event.pull_request.title }}", "in a shell"),
        ("    runs-on:", "    permissions: write-all\n    runs-on:", "other permissions"),
    ],
)
def test_a_lax_workflow_is_found(old, new, fault):
    sound = (ROOT / ".github" / "workflows" / "parity.yml").read_text("utf-8")
    assert old in sound
    faults = faults_of(sound.replace(old, new, 1))
    assert any(fault in found for found in faults), faults
