"""Writes the vocab in the lookup table of a model that takes token strings.

python -m parity_tests.runners.lookup_table MODEL OUT
"""

import sys
from pathlib import Path
from typing import Any

import tensorflow as tf

from export.source.vetting import load_saved_model
from export.tokenizer import hub_tokenizer
from support.command_line import command
from support.errors import UserError

MASKED_PADDING_ID = -1
"""The id of `''` in such a table where the model masks its padding."""


def read_signature_table(signature: Any) -> dict[str, int] | None:
    """Reads the string table that a signature uses: ids by token; None without a table.

    Raises:
        UserError: it uses several tables that differ.
    """
    handles = [tensor for tensor in signature.captured_inputs if tensor.dtype == tf.resource]
    found = [entries for entries in map(read_table_entries, handles) if entries]
    if any(entries != found[0] for entries in found):
        raise UserError(f"the model has {len(found)} lookup tables of tokens, expected one")
    return found[0] if found else None


def read_table_entries(handle: Any) -> dict[str, int] | None:
    """Reads a table from strings to integers; None where it is another kind of table."""
    found = hub_tokenizer.read_table(handle)
    if found is None:
        return None
    return {key.decode("utf-8", errors="replace"): number for key, number in found.items()}


def tokens_by_id(entries: dict[str, int]) -> list[str]:
    """Returns the tokens of a table in the order of their ids, without the padding `''`."""
    known = {token: number for token, number in entries.items() if token}
    return sorted(known, key=lambda token: known[token])


@command()
def main(arguments: list[str] | None = None) -> int:
    """Writes the vocab; exit code 0, or 2 with one line where the model has none."""
    model, out = map(Path, arguments or sys.argv[1:])
    loaded = load_saved_model(model)
    tables = [read_signature_table(signature) for signature in loaded.signatures.values()]
    entries = next((table for table in tables if table), None)
    if entries is None:
        raise UserError(f"{model} carries no vocab, neither in its assets nor in a table")
    out.write_text("".join(f"{token}\n" for token in tokens_by_id(entries)), "utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
