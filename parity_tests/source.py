"""A model and its tokenizer as their makers meant them to be used from Python."""

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from parity_tests.errors import UserError

Batch = dict[str, NDArray[Any]]
DEFAULT_POSITIONS = 512


def role_of(name: str) -> str:
    """What an input means, by its name: `input_word_ids` is ids, `input_type_ids` types.

    >>> [role_of(name) for name in ("input_word_ids", "input_mask", "segment_ids")]
    ['input_ids', 'attention_mask', 'token_type_ids']
    """
    if "mask" in name:
        return "attention_mask"
    if "type" in name or "segment" in name:
        return "token_type_ids"
    return "input_ids"


class Source:
    """The tokenizer is called with a list of str, the model with what that gives.

    Padding is masked, as the models with named inputs want it.
    """

    def __init__(self, model: Any, tokenizer: Any, special: dict[str, int]) -> None:
        """Takes two loaded SavedModels, and what `special_ids` gives.

        Raises:
            UserError: the model has no signature, or not the three inputs.
        """
        signature = getattr(model, "signatures", {}).get("serving_default")
        if signature is None:
            raise UserError("the model has no signature serving_default, which names its outputs")
        self.signature = signature
        self._tokenizer = tokenizer
        self._inputs = {role_of(name): name for name in signature.structured_input_signature[1]}
        if set(self._inputs) != {"input_ids", "attention_mask", "token_type_ids"}:
            raise UserError(
                f"the model's inputs are {', '.join(self._inputs.values())}, "
                "expected ids, a mask and token types"
            )
        self._outputs = sorted(signature.structured_outputs)
        self._positions = positions(model)
        self._special = special

    def encode(self, texts: list[str], added: bool, limit: int | None = None) -> Batch:
        """A padded batch: `input_ids`, `attention_mask`, `token_type_ids`, int32[batch, sequence].

        Without special tokens it is the tokenizer's own answer, at most cut to the positions the
        model has, or to `limit`; with them, its ids stand between [CLS] and [SEP], which count.
        """
        most = self._positions if limit is None else min(limit, self._positions)
        answer = {role_of(name): value.numpy() for name, value in self._tokenizer(texts).items()}
        if not added:
            return self.at_least_one_position(
                {role: value[:, :most] for role, value in answer.items()}
            )
        rows = []
        for ids, mask in zip(answer["input_ids"], answer["attention_mask"], strict=True):
            inner = ids[mask == 1][: most - 2]
            rows.append([self._special["[CLS]"], *inner, self._special["[SEP]"]])
        width = max(map(len, rows))
        shape = (len(rows), width)
        batch = {"input_ids": np.full(shape, self._special["[PAD]"], np.int32)}
        batch["attention_mask"] = np.zeros(shape, np.int32)
        batch["token_type_ids"] = np.zeros(shape, np.int32)
        for row, ids in enumerate(rows):
            batch["input_ids"][row, : len(ids)] = ids
            batch["attention_mask"][row, : len(ids)] = 1
        return batch

    def at_least_one_position(self, batch: Batch) -> Batch:
        """Texts without any token still get one position, masked: a model cannot run on none."""
        if batch["input_ids"].shape[1]:
            return batch
        shape = (len(batch["input_ids"]), 1)
        zeros = {role: np.zeros(shape, np.int32) for role in batch}
        return zeros | {"input_ids": np.full(shape, self._special["[PAD]"], np.int32)}

    def run(self, batch: Batch) -> Batch:
        """Every output of the signature by its name, float32, from a padded batch.

        The signature itself runs, as TensorFlow for Node runs it. Called as an object, the same
        model is optimised as another graph, and its last bits differ (1.7e-6 in albert_tiny).
        """
        outputs = self.signature(**self.feeds(batch))
        return {name: outputs[name].numpy() for name in self._outputs}

    def feeds(self, batch: Batch) -> dict[str, Any]:
        """The signature's inputs by name, from a batch by role."""
        return {name: tf.constant(batch[role]) for role, name in self._inputs.items()}

    def facts(self) -> dict[str, Any]:
        """What a contract has to say of the model and its tokenizer, as they themselves have it.

        `inputs`: role by name; `outputs`: dtype and shape (None where free) by name; `max_length`;
        `padding`; `special_tokens`: id by token.
        """
        outputs = self.signature.structured_outputs
        return {
            "inputs": {name: role for role, name in self._inputs.items()},
            "outputs": {n: [outputs[n].dtype.name, outputs[n].shape.as_list()] for n in outputs},
            "max_length": self._positions,
            "padding": "masked",
            "special_tokens": self._special,
        }


def positions(model: Any) -> int:
    """How many positions the model has: the rows of its position embedding."""
    variables = getattr(model, "variables", [])
    tables = [v for v in variables if "position" in v.name and len(v.shape) == 2]
    return int(tables[0].shape[0]) if tables else DEFAULT_POSITIONS
