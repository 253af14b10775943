"""The verdict where GitHub shows it: annotations in the log, a summary on the run's page."""

import os
from pathlib import Path
from typing import Any

from printing import fenced, markdown, printable

TOLD = 8
"""GitHub shows ten annotations of a step."""


def annotate(result: dict[str, Any], table: str) -> list[str]:
    """The workflow commands for a result; also appends to the summary where there is one.

    Empty outside of GitHub Actions.
    """
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return []
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(f"### Parity of {markdown(result['bundle']['name'])}\n\n{fenced(table)}\n")
    if result["verdict"] == "pass":
        return [command("notice", "parity", "Node gives what Python gives")]
    still = [
        (stage, message)
        for stage, part in result["still"].items()
        for message in part["failures"][:1]
        if part["status"] == "drift"
    ]
    flow = [(f["stage"], f["message"]) for f in result["failures"] if f["status"] == "drift"]
    flow += [("training", message) for message in (result["training"] or {}).get("failures", [])]
    first = f"the first stage that is off is {result['first_stage_off']}"
    lines = [("parity", first), *still, *flow]
    return [command("error", stage, message) for stage, message in lines[:TOLD]]


def command(level: str, title: str, message: str) -> str:
    """One workflow command.

    >>> command("error", "layer_0/output: off", "50 %")
    '::error title=layer_0/output%3A off::50 %25'
    """
    name = escaped(printable(title)).replace(":", "%3A").replace(",", "%2C")
    return f"::{level} title={name}::{escaped(printable(message))}"


def escaped(text: str) -> str:
    """What a workflow command cannot hold, percent-encoded."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
