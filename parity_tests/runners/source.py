"""Runs a SavedModel from Python as its makers meant it: through its signature.

The role of an input comes from its name, by another rule than the exporter's, and from the bundle's
contract only where names do not say it. Inputs are token ids, or token strings for older models;
sizes are free or fixed; a model has one to three inputs.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.python.framework import tensor_util

from export.source.signature_choice import DEFAULT_SIGNATURE
from parity_tests.cases import TextCase
from parity_tests.runners.lookup_table import MASKED_PADDING_ID, read_signature_table
from parity_tests.runners.python_tokenizer import Encoded, PythonTokenizer
from support.errors import UserError

Batch = dict[str, NDArray[Any]]
DEFAULT_POSITIONS = 512
IDS, MASK, TYPES = "input_ids", "attention_mask", "token_type_ids"
ROLES = (IDS, MASK, TYPES)


def guess_role(name: str) -> str:
    """Returns the role of an input by its name: `input_word_ids` is ids, `input_type_ids` types.

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
    """Returns the name of each role's input.

    Args:
        names: of the signature's inputs.
        recorded: role by name, as the contract has it, for names that do not say it.

    Raises:
        UserError: neither names nor contract give each input a role of its own.
    """
    roles = {name: guess_role(name) for name in names}
    if len(set(roles.values())) < len(names):
        roles = {name: recorded.get(name, name) for name in names}
    by_role = {role: name for name, role in roles.items()}
    if IDS not in by_role or not set(by_role) <= set(ROLES) or len(by_role) < len(names):
        raise UserError(
            f"the model's inputs are {', '.join(names) or 'none'}, expected ids, and perhaps a "
            "mask and token types, each once"
        )
    return by_role


def choose_signature(model: Any, recorded: str | None) -> Any:
    """Returns the exported signature: the recorded one, else `serving_default`, else the only one.

    Raises:
        UserError: the model has none of these.
    """
    signatures = dict(getattr(model, "signatures", {}))
    for name in (recorded, DEFAULT_SIGNATURE):
        if name in signatures:
            return signatures[name]
    if len(signatures) == 1:
        return next(iter(signatures.values()))
    raise UserError(
        f"the model has the signatures {', '.join(sorted(signatures)) or '(none)'}, expected "
        f"{recorded or f'{DEFAULT_SIGNATURE}, or one alone'}"
    )


class SourceModel:
    """Runs a loaded model's signature on padded batches by role.

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
            model: a loaded SavedModel; stored, since a signature does not keep its variables alive.
            tokenizer: of the model.
            name: of the exported signature, where the contract has it.
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
        """Returns the most positions of a text: the position embedding's, or fewer if they fail.

        RoBERTa counts from the id of [PAD] + 1, so a table of 514 rows takes texts of 512.
        """
        most = _count_positions(self.signature)
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
        """The roles of the model's inputs."""
        return set(self._inputs)

    def encode(self, cases: list[TextCase], added: bool) -> list[Encoded]:
        """Encodes each case to ids and types, cut to the model's positions."""
        return self._tokenizer.encode(cases, added, self.positions)

    def batch(self, encoded: list[Encoded], width: int = 1) -> Batch:
        """Pads texts to the longest, or to the model's fixed length.

        Texts without any token get one masked position: a model cannot run on none.

        Args:
            encoded: ids and types of each text.
            width: the least number of positions.

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
        """Runs a padded batch; returns every output of the signature by name, float32 or int32.

        The signature runs as in TensorFlow for Node. Called as an object, the same model is
        optimised as another graph, and its last bits differ (1.7e-6 in albert_tiny).

        Raises:
            UserError: the model does not take these ids, types or lengths.
        """

        def one(feeds: Mapping[str, Any]) -> Batch:
            outputs = self.signature(**feeds)
            return {name: _to_tfjs_dtype(outputs[name].numpy()) for name in self._outputs}

        answers = self.run_with(one, batch)
        width = batch[IDS].shape[1]
        self._seen = {name: (value.shape, width) for name, value in answers.items()}
        return answers

    def run_with(self, one: Callable[[Mapping[str, Any]], Batch], batch: Batch) -> Batch:
        """Runs a function of the signature's inputs, as many rows at a time as the model takes.

        Args:
            one: takes the inputs by name, returns arrays by name, with a row for each text.
            batch: a padded batch, by role.

        Raises:
            UserError: see `run`.
        """
        size = len(batch[IDS])
        step = self.rows or size
        answers = []
        try:
            for start in range(0, size, step):
                part = {role: rows[start : start + step] for role, rows in batch.items()}
                # A last part that is too short is padded with its own last row.
                missing = ((0, step - len(part[IDS])), (0, 0))
                whole = {role: np.pad(rows, missing, "edge") for role, rows in part.items()}
                outputs = one(self.feeds(whole))
                answers.append({n: v[: len(part[IDS])] for n, v in outputs.items()})
        except (tf.errors.InvalidArgumentError, tf.errors.OutOfRangeError, IndexError) as error:
            raise UserError(
                "the model does not take what its tokenizer gives (are tokenizer and vocab its "
                f"own?): {str(error).splitlines()[0]}"
            ) from None
        return {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}

    def feeds(self, batch: Batch) -> dict[str, Any]:
        """Returns the signature's inputs by name, in its dtypes, from a batch by role."""
        if self._strings is not None:
            shown = batch[MASK] == 1
            if self.padding == "attended":
                # Padding is `''`, whatever its id in the table.
                shown = batch[IDS] != self._tokenizer.special["[PAD]"]
            tokens = np.array(self._tokenizer.tokens, object)[batch[IDS]]
            return {self._strings: tf.constant(np.where(shown, tokens, ""), tf.string)}
        return {
            name: tf.cast(tf.constant(batch[role]), self._specs[name].dtype)
            for role, name in self._inputs.items()
        }

    def facts(self) -> dict[str, Any]:
        """Returns what a contract must say of the model and its tokenizer.

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
        """Returns an output's shape, None for a free axis.

        Where a TF1 graph leaves a fixed size open, the size comes from the latest answer.
        """
        shape = self.signature.structured_outputs[name].shape
        seen, width = self._seen.get(name, ((), 0))
        sizes: list[int | None] = [None] * len(seen) if shape.rank is None else shape.as_list()
        for axis, size in enumerate(seen):
            if axis > 1 and sizes[axis] is None and size != width:
                sizes[axis] = size
        return sizes


def _to_tfjs_dtype(value: NDArray[Any]) -> NDArray[Any]:
    """Converts an output to its dtype in TF.js: float32 or int32.

    >>> [_to_tfjs_dtype(np.zeros(1, dtype)).dtype.name for dtype in ("float16", "int64", "bool")]
    ['float32', 'int32', 'int32']
    """
    return value.astype(np.int32 if value.dtype.kind in "iub" else np.float32, copy=False)


def _count_positions(signature: Any) -> int:
    """Returns the rows of the model's position embedding.

    It is a variable, or in a frozen model a constant, with `position` in its name; 512 without one.
    The exporter guesses by the same name, so that both can be wrong in the same way. That is no
    check of the guess: only the runs of `_longest_text` are.
    """
    graph = signature.graph
    tables = [v.shape for v in graph.variables if "position" in v.name and len(v.shape) == 2]
    if not tables:
        nodes = [n for n in graph.as_graph_def().node if n.op == "Const" and "position" in n.name]
        shapes = [tensor_util.MakeNdarray(n.attr["value"].tensor).shape for n in nodes]
        tables = [shape for shape in shapes if len(shape) == 2]
    return int(tables[0][0]) if tables else DEFAULT_POSITIONS
