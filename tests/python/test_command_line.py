"""A mistake in the options of any Python command: one line, the nearest name, exit code 2."""

import importlib
import re

import pytest

EXPORT, PARITY = "export", "parity_tests"
MISTAKES = [
    (EXPORT, "--trian 5", "There is no option --trian; did you mean --train?"),
    (EXPORT, "--train abc", "expected a positive whole number, got abc"),
    (EXPORT, "--train 0", "expected a positive whole number, got 0"),
    (EXPORT, "--seed x", "expected a whole number, got 'x'"),
    (EXPORT, "--seed 1 --seed 2", "Got --seed twice, expected it once"),
    (EXPORT, "modle x --out y", "did you mean model?"),
    (EXPORT, "model x --out y --vocb v", "There is no option --vocb; did you mean --vocab?"),
    # argparse alone would accept the beginning of an option.
    (EXPORT, "model x --out y --with", "did you mean --with-saved-model?"),
    (EXPORT, "model x --out", "expected one argument"),
    (EXPORT, "model x y --out z", "Expected options only, got `y`"),
    (EXPORT, "vocab v --tokenizer brt --out y", "did you mean bert?"),
    (EXPORT, "vocab v --force-it --out y", "There is no option --force-it; try --help"),
    (EXPORT, "vocab v --tokenizer tf-text --keep-accents --out y", "takes no --keep-accents"),
    (EXPORT, "vocab v --tokenizer chars --cased --out y", "takes no --cased"),
    (EXPORT, "vocab v --tokenizer tf-text --no-split-chinese --out y", "no --no-split-chinese"),
    (EXPORT, "catalog --jsn", "did you mean --json?"),
    (EXPORT, "inspect x --jsn", "did you mean --json?"),
    (PARITY, "--bundel x", "There is no option --bundel; did you mean --bundle?"),
    (PARITY, "--tokenizer_proof full", "did you mean --tokenizer-proof?"),
    (PARITY, "--tokenizer-proof ful", "did you mean full?"),
    (PARITY, "x", "Expected options only, got `x`; try --help"),
    (PARITY, "--backends wsam:4", "--backends: got wsam, expected each of wasm, cpu, native once"),
    (PARITY, "--backends cpu:4,cpu:5", "--backends: got cpu, expected each of wasm, cpu, native"),
    ("parity_tests.tokenizer", "--ful", "did you mean --full?"),
    ("parity_tests.finetune", "--text 3", "did you mean --texts?"),
    ("parity_tests.conformance", "--row x", "did you mean --rows?"),
    ("fault_injection", "--kind sign_bit", "did you mean --kinds?"),
    ("fault_injection", "faults", "Expected options only, got `faults`"),
    ("bench", "--quik", "did you mean --quick?"),
    (
        "fault_injection",
        "--kinds sign_bitt",
        "--kinds: got sign_bitt (did you mean sign_bit?), expected of ",
    ),
    ("bench", "tokeniser.ids", "no row is called tokeniser.ids (did you mean tokenizer.ids"),
    ("parity_tests.conformance", "--rows albert_tny", "no albert_tny (did you mean albert_tiny?)"),
    ("native", "--force", "There is no option --force; try --help"),
]


@pytest.mark.parametrize(("folder", "typed", "said"), MISTAKES, ids=lambda value: str(value))
def test_a_wrong_option_gives_one_error_line_with_a_suggestion(folder, typed, said, capsys):
    main = importlib.import_module(f"{folder}.__main__").main
    try:
        code = main(typed.split())
    except SystemExit as ended:
        code = ended.code
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert re.fullmatch(r"error: [^\n]+\n", err)
    assert said in err


def test_list_option_may_be_repeated():
    from parity_tests.__main__ import parse_options

    options = parse_options(["--bundle", "a", "--bundle", "b", "--model", "m"])
    assert [str(path) for path in options.bundle] == ["a", "b"]
