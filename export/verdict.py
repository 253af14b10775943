"""Whether a signature can be exported, and as which contract of the collection."""

from dataclasses import dataclass

from export.quiet import silent_stderr

SIGNATURE = "serving_default"
INTEGERS = {"int32", "int64"}


@dataclass(frozen=True)
class Tensor:
    """One input or output; `shape` is None where even the rank is free."""

    name: str
    dtype: str
    shape: list[int | None] | None

    @property
    def rank(self) -> int | None:
        """The number of axes, if it is known."""
        return None if self.shape is None else len(self.shape)


@dataclass(frozen=True)
class Verdict:
    """`contract` is one of the catalog's, or None; `reason` says why in a line."""

    exportable: bool
    contract: str | None
    reason: str


def verdict_of(
    signatures: dict[str, tuple[list[Tensor], list[Tensor]]], refused: str | None
) -> Verdict:
    """The verdict on a model, by its signatures and by what vetting said."""
    if refused:
        return Verdict(False, None, refused)
    if SIGNATURE not in signatures and len(signatures) != 1:
        got = ", ".join(signatures) or "none"
        return Verdict(False, None, f"got signatures {got}, expected one called {SIGNATURE}")
    name = SIGNATURE if SIGNATURE in signatures else next(iter(signatures))
    return by_inputs(*signatures[name])


def by_inputs(inputs: list[Tensor], outputs: list[Tensor]) -> Verdict:
    """The contract that the inputs and outputs fit."""
    if len(inputs) == 1 and inputs[0].dtype == "string":
        only = inputs[0]
        if all(output.dtype in INTEGERS for output in outputs) and only.rank in (1, None):
            return Verdict(True, "tokenizer", f"texts in as {only.name}, integers out")
        if only.rank in (2, None):
            contract = f"tokens-{len(outputs)}"
            return Verdict(True, contract, f"a matrix of tokens in as {only.name}")
    odd = [t for t in inputs if t.dtype != "int32" or t.rank not in (2, None)]
    if odd:
        got = ", ".join(f"{t.name} {t.dtype} of rank {t.rank}" for t in odd)
        return Verdict(
            False, None, f"got {got}, expected int32[batch, sequence] or one matrix of strings"
        )
    # The names are told where the exporter has them; that room may import TensorFlow.
    with silent_stderr():
        from export.roles import INPUT_NAMES, role_of
    roles = [role_of(tensor.name, INPUT_NAMES) for tensor in inputs]
    if "input_ids" not in roles or len(set(roles)) != len(roles) or set(roles) - set(INPUT_NAMES):
        got = ", ".join(tensor.name for tensor in inputs) or "none"
        return Verdict(
            False, None, f"got inputs {got}, expected {', '.join(INPUT_NAMES)} or aliases of these"
        )
    return Verdict(True, "named", "ids in, as " + ", ".join(tensor.name for tensor in inputs))
