"""`python -m export vocab`: a bundle of a tokenizer alone."""

from collections.abc import Callable
from pathlib import Path

from export.bundle import Contract, appearing, digest, seal
from export.tokenizer import TokenizerSpec, read_vocab, write_tokenizer
from export.versions import versions

MAX_LENGTH = 512


def export_tokenizer(
    path: Path, spec: TokenizerSpec, out: Path, say: Callable[[str], None]
) -> None:
    """Writes the bundle.

    Raises:
        UserError: see `read_vocab`.
        EnvironmentProblem: see `appearing`.
    """
    vocab = read_vocab(path, notice=say)
    with appearing(out) as directory:
        say(f"reading the tables of tokenizer {spec.algorithm}")
        contract = Contract(
            name=path.stem,
            architecture=None,
            trained=None,
            weight_dtype=None,
            inputs=[],
            outputs=[],
            padding="masked",
            max_length=MAX_LENGTH,
            tokenizer=write_tokenizer(directory, vocab, spec),
            provenance={"vocab": {"sha256": digest(path)}, "versions": versions()},
        )
        seal(directory, contract)
