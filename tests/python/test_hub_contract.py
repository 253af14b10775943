"""The contract of the collection's newest models, on the embedded default."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub
import tensorflow_text  # noqa: F401  registers the ops of the tokenizer
import tf_keras

from tests.python.conftest import Embedded

HIDDEN = 312
# ALBERT: 5 in the embeddings, 2 in the projection, 16 in the shared layer, 2 in the pooler.
WEIGHTS = 25


def inputs(ids: list[list[int]]) -> dict[str, tf.Tensor]:
    tensor = tf.constant(ids, tf.int32)
    return {
        "input_ids": tensor,
        "attention_mask": tf.ones_like(tensor),
        "token_type_ids": tf.zeros_like(tensor),
    }


def test_tokenizer_output_is_the_encoder_input(embedded: Embedded) -> None:
    tokenizer = hub.load(str(embedded.tokenizer_model))
    albert = hub.load(str(embedded.model))
    out = albert(tokenizer(["你好"]))
    assert out["sequence_output"].shape == (1, 2, HIDDEN)
    assert out["pooled_output"].shape == (1, HIDDEN)


def test_tokenizer_pads_with_a_mask_and_adds_no_special_tokens(embedded: Embedded) -> None:
    vocab = embedded.vocab.read_text(encoding="utf-8").split("\n")
    batch = hub.load(str(embedded.tokenizer_model))(["你好", "好"])
    you, good = vocab.index("你"), vocab.index("好")
    assert batch["input_ids"].numpy().tolist() == [[you, good], [good, vocab.index("[PAD]")]]
    assert batch["attention_mask"].numpy().tolist() == [[1, 1], [1, 0]]
    assert batch["token_type_ids"].numpy().tolist() == [[0, 0], [0, 0]]
    assert {tensor.dtype for tensor in batch.values()} == {tf.int32}


@pytest.mark.parametrize(("trainable", "exposed"), [(True, WEIGHTS), (False, 0)])
def test_keras_layer_loads_and_trains_it(embedded: Embedded, trainable: bool, exposed: int) -> None:
    layer = hub.KerasLayer(str(embedded.model), trainable=trainable)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(inputs([[2, 7, 3]]))["pooled_output"])
    assert len(layer.trainable_variables) == exposed
    gradients = tape.gradient(loss, layer.trainable_variables)
    assert all(gradient is not None for gradient in gradients)
    if trainable:
        norms = [float(tf.norm(tf.convert_to_tensor(gradient))) for gradient in gradients]
        # A key's bias shifts all scores of a row equally, which does not change the softmax.
        assert sum(norm == 0.0 for norm in norms) <= 1
        assert all(np.isfinite(norms))


def test_every_loader_gives_the_same_numbers(embedded: Embedded) -> None:
    path = str(embedded.model)
    batch = inputs([[2, 7, 9, 3], [2, 8, 3, 0]])
    loaders = (hub.load, hub.KerasLayer, tf_keras.models.load_model)
    first, *others = [load(path)(batch)["sequence_output"].numpy() for load in loaders]
    for other in others:
        np.testing.assert_allclose(other, first, rtol=0, atol=1e-6)


def test_masked_positions_do_not_matter(embedded: Embedded) -> None:
    albert = hub.load(str(embedded.model))
    alone = albert(inputs([[2, 7, 3]]))["sequence_output"]
    padded = inputs([[2, 7, 3, 0, 0]])
    padded["attention_mask"] = tf.constant([[1, 1, 1, 0, 0]], tf.int32)
    np.testing.assert_allclose(albert(padded)["sequence_output"][:, :3], alone, rtol=0, atol=1e-5)
