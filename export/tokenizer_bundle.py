"""`python -m export vocab`: a bundle of a tokenizer alone."""

from collections.abc import Callable
from pathlib import Path

from export.bundle import Contract, appearing, seal
from export.tokenizer import write_tokenizer
from export.tokenizer_choice import TokenizerChoice
from export.versions import versions

MAX_LENGTH = 512


def export_tokenizer(choice: TokenizerChoice, out: Path, say: Callable[[str], None]) -> None:
    """Writes the bundle.

    Raises:
        UserError: see `TokenizerChoice.choose`.
        EnvironmentProblem: see `appearing`.
    """
    provenance = choice.provenance() | {"versions": versions()}
    name = Path(choice.model or choice.vocab or "tokenizer").stem
    chosen = choice.choose(None, name, say)
    with appearing(out) as directory:
        say(f"reading the tables of tokenizer {chosen.spec.algorithm}")
        contract = Contract(
            name=name,
            architecture=None,
            trained=None,
            weight_dtype=None,
            inputs=[],
            outputs=[],
            padding="masked",
            max_length=MAX_LENGTH,
            tokenizer=write_tokenizer(
                directory, chosen.vocab, chosen.spec, chosen.adds_special_tokens
            ),
            provenance=provenance,
        )
        seal(directory, contract)
