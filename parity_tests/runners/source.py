"""A model as its makers meant it to be used from Python: its signature, fed as it asks.

What an input means is told by its name, by another rule than the exporter's; only where names tell
nothing does the bundle's contract say it. Token ids, or token strings for models of the older kind;
free sizes or fixed ones; any number of the three usual inputs.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.python.framework import tensor_util

from parity_tests.cases import TextCase
from parity_tests.runners.lookup_table import MASKED_PADDING_ID, read_signature_table
from parity_tests.runners.python_tokenizer import Encoded, PythonTokenizer
from support.errors import UserError

Batch = dict[str, NDArray[Any]]
DEFAULT_POSITIONS = 512
IDS, MASK, TYPES = "input_ids", "attention_mask", "token_type_ids"
ROLES = (IDS, MASK, TYPES)


def guess_role(name: str) -> str:
    """What an input means, by its name: `input_word_ids` is ids, `input_type_ids` types.

    >>> [guess_role(name) for name in ("input_word_ids", "input_mask", "Input-Segment")]
    ['input_ids', 'attention_mask', 'token_type_ids']
    """
    lower = name.lower()
    if "mask" in lower:
        return MASK
    if "type" in lower or "segment" in lower:
        return TYPES
    return IDS


def assign_roles(names: list[str], recorded: Mapping[str, str]) -> dict[str, str]:
    """The name of each role's input.

    Args:
        names: the signature's inputs.
        recorded: role by name, as the contract has it, for names that tell nothing.

    Raises:
        UserError: neither tells the inputs apart, or one is none of the three.
    """
    told = {name: guess_role(name) for name in names}
    if len(set(told.values())) < len(names):
        told = {name: recorded.get(name, name) for name in names}
    found = {role: name for name, role in told.items()}
    if IDS not in found or not set(found) <= set(ROLES) or len(found) < len(names):
        raise UserError(
            f"the model's inputs are {', '.join(names) or 'none'}, expected ids, and perhaps a "
            "mask and token types, each once"
        )
    return found


def choose_signature(model: Any, recorded: str | None) -> Any:
    """The signature that was exported: the recorded one, else `serving_default`, else the only one.

    Raises:
        UserError: the model has none of these.
    """
    signatures = dict(getattr(model, "signatures", {}))
    for name in (recorded, "serving_default"):
        if name in signatures:
            return signatures[name]
    if len(signatures) == 1:
        return next(iter(signatures.values()))
    raise UserError(
        f"the model has the signatures {', '.join(sorted(signatures)) or '(none)'}, expected "
        f"{recorded or 'serving_default, or one alone'}"
    )


class SourceModel:
    """A loaded model's signature, run on padded batches by role.

    Attributes:
        signature: the concrete function.
        positions: how many positions a text may have.
        length: the length that the signature fixes; None where it is free.
        rows: the batch size that the signature fixes; None where it is free.
        padding: `masked`, or `attended` where a model of token strings does not mask.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: PythonTokenizer,
        name: str | None = None,
        recorded: Mapping[str, str] | None = None,
    ) -> None:
        """Finds the signature.

        Args:
            model: a loaded SavedModel; kept, since a signature does not keep its variables.
            tokenizer: gives its ids.
            name: of the signature that was exported, where the contract has recorded it.
            recorded: the roles of its inputs by name, as the contract has them.

        Raises:
            UserError: no such signature, or inputs that are not ids, a mask and token types.
        """
        self._model = model
        self.signature = signature = choose_signature(model, name)
        self._tokenizer = tokenizer
        self._specs: dict[str, Any] = dict(signature.structured_input_signature[1])
        self._outputs = sorted(signature.structured_outputs)
        strings = [name for name, spec in self._specs.items() if spec.dtype == tf.string]
        self._strings = strings[0] if strings and len(self._specs) == 1 else None
        self.padding = "masked"
        if self._strings is None:
            self._inputs = assign_roles(list(self._specs), recorded or {})
            sizes = self._specs[self._inputs[IDS]].shape
        else:
            masked = (read_signature_table(signature) or {}).get("") == MASKED_PADDING_ID
            self.padding = "masked" if masked else "attended"
            self._inputs = {role: role for role in ((IDS, MASK) if masked else (IDS,))}
            sizes = self._specs[self._strings].shape
        self.rows: int | None = sizes[0] if sizes.rank == 2 else None
        self.length: int | None = sizes[1] if sizes.rank == 2 else None
        self._seen: dict[str, tuple[tuple[int, ...], int]] = {}
        self.positions = self._longest_text()

    def _longest_text(self) -> int:
        """The most positions of a text: what the position embedding has, or fewer if more fail.

        RoBERTa counts from the id of [PAD] + 1, so a table of 514 rows takes texts of 512.
        """
        most = count_positions(self.signature)
        most = most if self.length is None else min(most, self.length)
        unknown = self._tokenizer.special["[UNK]"]

        def fails(count: int) -> bool:
            try:
                self.run(self.batch([([unknown] * count, [0] * count)]))
            except UserError:
                return True
            return False

        if not fails(most):
            return most
        return bisect_left(range(1, most), True, key=fails) or most

    @property
    def roles(self) -> set[str]:
        """What the model is given."""
        return set(self._inputs)

    def encode(self, cases: list[TextCase], added: bool) -> list[Encoded]:
        """The ids and types of each case, cut to the positions that the model has."""
        return self._tokenizer.encode(cases, added, self.positions)

    def batch(self, encoded: list[Encoded], width: int = 1) -> Batch:
        """Texts padded to the longest, or to the model's fixed length.

        Texts without any token still get one position, masked: a model cannot run on none.

        Args:
            encoded: ids and types of each text.
            width: positions to pad to, where that is more.

        Returns:
            `input_ids`, `attention_mask`, `token_type_ids`, int32[batch, sequence].
        """
        longest = max(len(ids) for ids, _ in encoded)
        shape = (len(encoded), self.length or max(longest, width))
        batch = {
            IDS: np.full(shape, self._tokenizer.special["[PAD]"], np.int32),
            MASK: np.full(shape, int(self.padding == "attended"), np.int32),
            TYPES: np.zeros(shape, np.int32),
        }
        for row, (ids, types) in enumerate(encoded):
            batch[IDS][row, : len(ids)] = ids
            batch[MASK][row, : len(ids)] = 1
            batch[TYPES][row, : len(ids)] = types
        return batch

    def run(self, batch: Batch) -> Batch:
        """Every output of the signature by its name, float32, from a padded batch.

        The signature itself runs, as TensorFlow for Node runs it. Called as an object, the same
        model is optimised as another graph, and its last bits differ (1.7e-6 in albert_tiny).

        Raises:
            UserError: the model does not take these ids, types or lengths.
        """

        def one(feeds: Mapping[str, Any]) -> Batch:
            outputs = self.signature(**feeds)
            return {name: to_tfjs_dtype(outputs[name].numpy()) for name in self._outputs}

        answers = self.run_with(one, batch)
        width = batch[IDS].shape[1]
        self._seen = {name: (value.shape, width) for name, value in answers.items()}
        return answers

    def run_with(self, one: Callable[[Mapping[str, Any]], Batch], batch: Batch) -> Batch:
        """What a function of the signature's inputs gives, as many rows at a time as it takes.

        Args:
            one: takes the inputs by name, gives arrays by name, with a row for each text.
            batch: a padded batch, by role.

        Raises:
            UserError: as of `run`.
        """
        size = len(batch[IDS])
        step = self.rows or size
        answers = []
        try:
            for start in range(0, size, step):
                part = {role: rows[start : start + step] for role, rows in batch.items()}
                # A last part that is short is filled with its own last row.
                missing = ((0, step - len(part[IDS])), (0, 0))
                whole = {role: np.pad(rows, missing, "edge") for role, rows in part.items()}
                found = one(self.feeds(whole))
                answers.append({n: v[: len(part[IDS])] for n, v in found.items()})
        except (tf.errors.InvalidArgumentError, tf.errors.OutOfRangeError, IndexError) as error:
            raise UserError(
                "the model does not take what its tokenizer gives (are tokenizer and vocab its "
                f"own?): {str(error).splitlines()[0]}"
            ) from None
        return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}

    def feeds(self, batch: Batch) -> dict[str, Any]:
        """The signature's inputs by name, of its dtypes, from a batch by role."""
        if self._strings is not None:
            shown = batch[MASK] == 1
            if self.padding == "attended":
                # What stands for padding is `''`, whatever the table makes of it.
                shown = batch[IDS] != self._tokenizer.special["[PAD]"]
            tokens = np.array(self._tokenizer.tokens, object)[batch[IDS]]
            return {self._strings: tf.constant(np.where(shown, tokens, ""), tf.string)}
        return {
            name: tf.cast(tf.constant(batch[role]), self._specs[name].dtype)
            for role, name in self._inputs.items()
        }

    def facts(self) -> dict[str, Any]:
        """What a contract has to say of the model and its tokenizer, as they themselves have it.

        `inputs`: role by name; `outputs`: dtype and shape (None where free) by name; `max_length`;
        `length`: None where it is free; `padding`; `special_tokens`: id by token; `vocab`: the
        tokens by their ids.
        """
        outputs = self.signature.structured_outputs
        return {
            "inputs": {name: role for role, name in self._inputs.items()},
            "outputs": {n: [outputs[n].dtype.name, self._shape_of(n)] for n in outputs},
            "max_length": self.positions,
            "length": self.length,
            "padding": self.padding,
            "special_tokens": self._tokenizer.special,
            "vocab": self._tokenizer.tokens,
        }

    def _shape_of(self, name: str) -> list[int | None]:
        """An output's shape, None where it is free.

        What a TF1 graph leaves open though it does not vary is taken from the latest answer.
        """
        shape = self.signature.structured_outputs[name].shape
        given, width = self._seen.get(name, ((), 0))
        sizes: list[int | None] = [None] * len(given) if shape.rank is None else shape.as_list()
        for axis, size in enumerate(given):
            if axis > 1 and sizes[axis] is None and size != width:
                sizes[axis] = size
        return sizes


def to_tfjs_dtype(value: NDArray[Any]) -> NDArray[Any]:
    """An output in the dtype that TF.js carries it in: float32, or int32.

    >>> [to_tfjs_dtype(np.zeros(1, dtype)).dtype.name for dtype in ("float16", "int64", "bool")]
    ['float32', 'int32', 'int32']
    """
    return value.astype(np.int32 if value.dtype.kind in "iub" else np.float32, copy=False)


def count_positions(signature: Any) -> int:
    """How many positions the model has: the rows of its position embedding.

    It is a variable, or in a frozen model a constant, whose name says so; 512 where none does.
    """
    graph = signature.graph
    tables = [v.shape for v in graph.variables if "position" in v.name and len(v.shape) == 2]
    if not tables:
        nodes = [n for n in graph.as_graph_def().node if n.op == "Const" and "position" in n.name]
        shapes = [tensor_util.MakeNdarray(n.attr["value"].tensor).shape for n in nodes]
        tables = [shape for shape in shapes if len(shape) == 2]
    return int(tables[0][0]) if tables else DEFAULT_POSITIONS
