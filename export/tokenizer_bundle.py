"""`python -m export vocab`: a bundle of a tokenizer alone."""

from collections.abc import Callable
from pathlib import Path

from export import golden
from export.bundle import CONTRACT, Contract, appearing, refuse_another, refuse_overlap, seal
from export.tokenizer import library_versions, reference, write_tokenizer
from export.tokenizer_choice import TokenizerChoice, described
from export.versions import versions

MAX_LENGTH = 512


def export_tokenizer(
    choice: TokenizerChoice, out: Path, say: Callable[[str], None], replace: bool = False
) -> None:
    """Writes the bundle.

    `replace` allows another tokenizer's bundle, or a model's, to be replaced. The same tokenizer
    is the same algorithm with the same options, and the same vocab or tokenizer model's name.

    Raises:
        UserError: see `TokenizerChoice.choose`, `refuse_overlap` and `refuse_another`.
        EnvironmentProblem: see `appearing` and `reference`.
    """
    refuse_overlap(out, choice.local_files())
    provenance = choice.provenance() | {"versions": versions()}
    name = Path(choice.model or choice.vocab or "tokenizer").stem
    chosen = choice.choose(None, str(choice.vocab or name), say)
    provenance["tokenizer"] = library_versions(chosen.spec.algorithm, choice.python)
    this = {
        "architecture": None,
        "tokenizer": {"algorithm": chosen.spec.algorithm, "options": chosen.spec.options},
        "provenance": provenance,
    }
    refuse_another(out, this, f"the tokenizer {described(chosen.spec)} of {name}", replace)
    with appearing(out, CONTRACT) as directory:
        say(f"reading the tables of tokenizer {chosen.spec.algorithm}")
        ids = reference(chosen.spec, chosen.vocab, choice.python).encode(
            golden.TEXTS, special_tokens=True, max_length=MAX_LENGTH
        )
        pad = chosen.vocab.special["pad"].id
        golden.write(golden.batch(ids, pad, "masked"), {}, directory)
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
                directory,
                chosen.vocab,
                chosen.spec,
                adds_special_tokens=chosen.adds_special_tokens,
                python=choice.python,
            ),
            provenance=provenance,
        )
        seal(directory, contract)
