"""Writes the result for CI: JUnit XML, with a suite for each backend, and GitHub annotations."""

import os
import re
import xml.etree.ElementTree as ET
from pathlib import Path

from parity_tests.checks.invariances import STAGE
from parity_tests.checks.stages import ON_TEXTS
from parity_tests.checks.stored_parts import PartResult
from parity_tests.reports.report import FailureEntry, ParityReport, RowEntry
from parity_tests.tokenizer.proof import ProofRow
from parity_tests.training.judgement import TrainingResult
from support.printing import escape_markdown, fence_code, printable, printable_line

NO_CHARACTER = re.compile("[\ufffe\uffff]")
"""Printable, but not in XML 1.0."""
SPECIAL_TOKEN_GROUPS = {"added": "special_tokens", "none": "no_special_tokens"}


def write_junit(path: Path, report: ParityReport) -> None:
    """Writes `report.xml`."""
    suites = ET.Element("testsuites", name="parity")
    not_answered = {one.name: one.not_answered for one in report.own_programs}
    for backend in report.backends():
        rows = [row for row in report.rows if row.backend == backend]
        skipped = not_answered.get(backend, [])
        off = sum(row.status != "pass" for row in rows)
        suite = ET.SubElement(suites, "testsuite", name=f"parity.{backend}")
        suite.set("tests", str(len(rows) + len(skipped)))
        suite.set("failures", str(off))
        suite.set("skipped", str(len(skipped)))
        for row in rows:
            _add_row_case(suite, row, report.failures)
        for stage in skipped:
            case = ET.SubElement(suite, "testcase", classname=f"{suite.get('name')}.texts")
            case.set("name", stage)
            ET.SubElement(case, "skipped", message="the program does not answer it")
    _add_stored_parts(suites, report.stored_parts)
    if report.tokenizers is not None:
        _add_tokenizers(suites, report.tokenizers.rows)
    if report.training is not None:
        _add_training(suites, report.training)
    for element in suites.iter():
        # Names of outputs and nodes come from outside too.
        for name, value in element.attrib.items():
            element.set(name, _clean_line(value))
    ET.indent(suites)
    ET.ElementTree(suites).write(path, encoding="utf-8", xml_declaration=True)


def _add_row_case(suite: ET.Element, row: RowEntry, failures: list[FailureEntry]) -> None:
    """Adds one row; its failure has the messages.

    Args:
        suite: of the backend.
        row: of the report.
        failures: of the report.
    """
    on_texts = row.comparison == ON_TEXTS
    group = SPECIAL_TOKEN_GROUPS[row.special_tokens] if on_texts else row.comparison
    if row.stage == STAGE:
        group = STAGE
    case = ET.SubElement(suite, "testcase", classname=f"{suite.get('name')}.{group}")
    case.set("name", row.comparison if row.stage == STAGE else row.stage)
    if row.status == "pass":
        return
    messages = [failure.message for failure in failures if failure.key == row.key]
    failure = ET.SubElement(case, "failure", type=row.status)
    failure.set("message", _clean_line(messages[0] if messages else "drift"))
    failure.text = "\n".join(map(_clean_line, messages))


def _add_stored_parts(suites: ET.Element, parts: dict[str, PartResult]) -> None:
    """Adds a case for each stored part; skipped where the source has nothing to compare with."""
    suite = ET.SubElement(suites, "testsuite", name="parity.stored_parts", tests=str(len(parts)))
    statuses = [part.status for part in parts.values()]
    suite.set("failures", str(statuses.count("drift")))
    suite.set("skipped", str(statuses.count("none")))
    for stage, part in parts.items():
        case = ET.SubElement(suite, "testcase", classname="parity.stored_parts", name=stage)
        if part.status == "drift":
            messages = [_clean_line(message) for message in part.failures]
            failure = ET.SubElement(case, "failure", type="drift", message=messages[0])
            failure.text = "\n".join(messages)
        elif part.status == "none":
            message = part.note or "the source has none"
            ET.SubElement(case, "skipped", message=_clean_line(message))


def _add_tokenizers(suites: ET.Element, rows: list[ProofRow]) -> None:
    """Adds the tokenizer proof: a case for each tokenizer and group of texts."""
    suite = ET.SubElement(suites, "testsuite", name="parity.tokenizers", tests=str(len(rows)))
    suite.set("failures", str(sum(row.different > 0 for row in rows)))
    for row in rows:
        case = ET.SubElement(suite, "testcase", classname=f"parity.tokenizers.{row.tokenizer}")
        case.set("name", row.group)
        if row.different:
            messages = [_clean_line(str(difference)) for difference in row.differences]
            failure = ET.SubElement(case, "failure", type="drift", message=messages[0])
            failure.text = "\n".join(messages)


def _add_training(suites: ET.Element, training: TrainingResult) -> None:
    """Adds the head's training: a case for each quantity of each backend and of Keras."""
    suite = ET.SubElement(suites, "testsuite", name="parity.training")
    rows = [(name, row) for name, side in training.sides().items() for row in side.quantities]
    if training.status == "none":
        case = ET.SubElement(suite, "testcase", classname="parity.training", name="training")
        ET.SubElement(case, "skipped", message=_clean_line(training.message))
    suite.set("tests", str(len(suite) + len(rows)))
    suite.set("skipped", str(len(suite)))
    suite.set("failures", str(sum(row.status != "pass" for _, row in rows)))
    for name, row in rows:
        case = ET.SubElement(suite, "testcase", classname=f"parity.training.{name}")
        case.set("name", row.quantity)
        if row.status != "pass":
            failure = ET.SubElement(case, "failure", type="drift")
            failure.set("message", _clean_line(row.message))


def _clean_line(text: str) -> str:
    """Returns a line without characters that XML cannot have or that control a terminal."""
    return NO_CHARACTER.sub("\ufffd", printable_line(text, longest=None))


# GitHub: annotations in the log, and a summary on the run's page.

MAX_ANNOTATIONS = 8
"""GitHub shows only ten annotations of a step."""


def annotate(report: ParityReport, table: str) -> list[str]:
    """Returns the workflow commands for a result; also appends to the summary where there is one.

    Returns nothing outside of GitHub Actions.
    """
    if os.environ.get("GITHUB_ACTIONS") != "true":
        return []
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(
                f"### Parity of {escape_markdown(report.bundle.name)}\n\n{fence_code(table)}\n"
            )
    if report.verdict == "pass":
        return [_workflow_command("notice", "parity", "Node gives what Python gives")]
    stored = [
        (stage, message)
        for stage, part in report.stored_parts.items()
        for message in part.failures[:1]
        if part.status == "drift"
    ]
    flow = [(f.stage, f.message) for f in report.failures if f.status == "drift"]
    if report.training is not None:
        flow += [("training", message) for message in report.training.failures]
    first = f"the first stage that is off is {report.first_stage_off}"
    lines = [("parity", first), *stored, *flow]
    return [
        _workflow_command("error", stage, message) for stage, message in lines[:MAX_ANNOTATIONS]
    ]


def _workflow_command(level: str, title: str, message: str) -> str:
    """Returns one workflow command.

    >>> _workflow_command("error", "layer_0/output: off", "50 %")
    '::error title=layer_0/output%3A off::50 %25'
    """
    name = _escape_command(printable(title)).replace(":", "%3A").replace(",", "%2C")
    return f"::{level} title={name}::{_escape_command(printable(message))}"


def _escape_command(text: str) -> str:
    """Percent-encodes the characters that a workflow command cannot have."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
