"""The vocab that a tokenizer SavedModel carries among its assets."""

from pathlib import Path

from parity_tests.errors import UserError

SPECIAL = ("[PAD]", "[CLS]", "[SEP]")


def special_ids(directory: Path) -> dict[str, int]:
    """The ids of [PAD], [CLS] and [SEP] in a tokenizer SavedModel; errors as of `vocab_of`."""
    vocab = vocab_of(directory)
    return {token: vocab.index(token) for token in SPECIAL}


def vocab_of(directory: Path) -> list[str]:
    """The tokens by id, from the vocab among a tokenizer SavedModel's assets.

    Raises:
        UserError: it carries no vocab with [PAD], [CLS] and [SEP].
    """
    for path in sorted((directory / "assets").glob("*")):
        lines = lines_of(path.read_bytes())
        if set(SPECIAL) <= set(lines):
            return lines
    raise UserError(f"{directory}/assets holds no vocab with {', '.join(SPECIAL)}")


def lines_of(data: bytes) -> list[str]:
    r"""The lines of a vocab; only \n ends one, and a last one need not be ended.

    >>> lines_of("a\u2028\n##b\r\n".encode())
    ['a\u2028', '##b']
    """
    lines = data.decode("utf-8", errors="replace").removesuffix("\n").split("\n")
    return [line.removesuffix("\r") for line in lines]
