"""Small SavedModels of every tool, dtype and shape that an export may get.

Each is a small transformer-like encoder: an embedding with positions, one masked attention, a layer
norm and a pooler.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tf_keras

tf1 = tf.compat.v1

VOCAB, HIDDEN, POSITIONS = 12, 4, 24
TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "你", "好", "这", "本", "书", "很", "，"]
FREE = (None, None)


def seeded_values(name: str, *shape: int) -> Any:
    """Returns random values, seeded by the name."""
    seed = sum(map(ord, name))
    return np.random.default_rng(seed).normal(0, 0.5, shape).astype(np.float32)


def run_encoder(
    get: Callable[..., Any], ids: Any, mask: Any, types: Any = None, counted: bool = False
) -> tuple[Any, Any]:
    """Runs the encoder and returns its two outputs.

    Args:
        get: returns a weight for a name and a shape.
        ids: the ids.
        mask: the attention mask.
        types: the token types, if any.
        counted: whether positions are counted from the id of [PAD] + 1 and [PAD] has none, as in
            RoBERTa.
    """
    words = get("word_embeddings", VOCAB, HIDDEN)
    x = tf1.nn.embedding_lookup(words, ids)
    positions = tf.convert_to_tensor(get("position_embeddings", POSITIONS, HIDDEN))
    if counted:
        shown = tf.cast(ids != 0, tf.int32)
        x += tf.gather(positions, tf.cumsum(shown, axis=1) * shown)
    else:
        x += positions[: tf.shape(ids)[1]]
    if types is not None:
        x += tf.gather(tf.convert_to_tensor(get("token_type_embeddings", 2, HIDDEN)), types)
    scores = tf.matmul(x, x, transpose_b=True) / np.float32(np.sqrt(HIDDEN))
    scores += (1.0 - tf.cast(mask, tf.float32)[:, None, :]) * -10000.0
    x += tf.matmul(tf.nn.softmax(scores), x)
    mean, variance = tf.nn.moments(x, -1, keepdims=True)
    x = (x - mean) * tf.math.rsqrt(variance + 1e-6)
    kernel = tf.convert_to_tensor(get("pooler/dense/kernel", HIDDEN, HIDDEN))
    return x, tf.tanh(tf.matmul(x[:, 0], kernel))


class Weights(tf.Module):  # type: ignore[misc]
    """Weights by name, as TF2 variables."""

    def __init__(self) -> None:
        super().__init__()
        self.by_name: dict[str, tf.Variable] = {}
        self.resource: Any = None

    def get(self, name: str, *shape: int) -> tf.Variable:
        if name not in self.by_name:
            self.by_name[name] = tf.Variable(seeded_values(name, *shape), name=name)
        return self.by_name[name]


def tf2(
    out: Path,
    shape: tuple[int | None, int | None] = FREE,
    dtypes: tuple[tf.DType, tf.DType] = (tf.int32, tf.int32),
    change: Callable[[Any, Any], Any] = lambda x, ids: x,
    names: tuple[str, str] = ("input_ids", "attention_mask"),
    outputs: tuple[str, str] = ("sequence_output", "pooled_output"),
    signatures: tuple[str, ...] = ("serving_default",),
    counted: bool = False,
    resource: Any = None,
) -> Path:
    """Saves a plain `tf.Module`.

    Args:
        out: the directory.
        shape: the shape of the inputs.
        dtypes: the dtypes of ids and mask.
        change: changes the sequence output.
        names: the names of ids and mask.
        outputs: the names of the outputs.
        signatures: the names of the signatures.
        counted: see `run_encoder`.
        resource: a resource that the module owns.
    """
    module = Weights()
    module.resource = resource
    with tf.init_scope():
        run_encoder(module.get, tf.zeros([1, 2], tf.int32), tf.ones([1, 2], tf.int32))

    def serve(**placeholders: Any) -> dict[str, Any]:
        ids = tf.cast(placeholders[names[0]], tf.int32)
        x, pooled = run_encoder(module.get, ids, placeholders[names[1]], counted=counted)
        return {outputs[0]: change(x, ids), outputs[1]: pooled}

    specs = {n: tf.TensorSpec(shape, d, n) for n, d in zip(names, dtypes, strict=True)}
    functions = {}
    for name in signatures:
        functions[name] = tf.function(serve).get_concrete_function(**specs)
    tf.saved_model.save(module, str(out), signatures=functions or None)
    return out


def keras3(out: Path, length: int | None = None) -> Path:
    """Saves with Keras 3's `export` a model with a list of outputs, which Keras numbers."""
    layers = keras.layers
    ids = keras.Input((length,), dtype="int32", name="input_ids")
    mask = keras.Input((length,), dtype="int32", name="attention_mask")
    x = layers.Embedding(VOCAB, HIDDEN)(ids)
    seen = layers.Lambda(lambda m: keras.ops.cast(m, "bool")[:, None, :])(mask)
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 2)(x, x, attention_mask=seen))
    model = keras.Model([ids, mask], [x, layers.Dense(HIDDEN, activation="tanh")(x[:, 0])])
    model.export(str(out), verbose=False)
    return out


def bert4keras(out: Path) -> Path:
    """Saves with Keras 2, with the inputs' names of keras-bert and bert4keras, in float32."""
    layers = tf_keras.layers
    ids, types = (tf_keras.Input((None,), name=f"Input-{n}") for n in ("Token", "Segment"))
    x = layers.Embedding(VOCAB, HIDDEN)(ids) + layers.Embedding(2, HIDDEN)(types)
    x = layers.LayerNormalization(name="sequence_output", epsilon=1e-12)(
        x + layers.Attention()([x, x])
    )
    tf_keras.Model([ids, types], x).save(str(out))
    return out


def model_garden(out: Path) -> Path:
    """Saves as Model Garden does: one encoder layer, whose outputs Keras numbers.

    `default` and `pooled_output` are one tensor, and so are the last of the layers' outputs and
    `sequence_output`: Keras calls them bert_encoder, bert_encoder_1 and so on.
    """
    module = Weights()
    with tf.init_scope():
        run_encoder(module.get, tf.zeros([1, 2], tf.int32), tf.ones([1, 2], tf.int32))
        module.get("second", HIDDEN, HIDDEN)

    def serve(input_word_ids: Any, input_mask: Any, input_type_ids: Any) -> dict[str, Any]:
        first, _ = run_encoder(module.get, input_word_ids, input_mask)
        first += 0.01 * tf.cast(input_type_ids, tf.float32)[..., None]
        last = first + tf.tanh(tf.matmul(first, module.get("second")))
        pooled = last[:, 0] * 0.5
        outputs = [pooled, first, last, pooled, last]
        return {f"bert_encoder{f'_{i}' if i else ''}": x for i, x in enumerate(outputs)}

    names = ("input_word_ids", "input_mask", "input_type_ids")
    signature = [tf.TensorSpec(FREE, tf.int32, name) for name in names]
    module.serve = tf.function(serve, input_signature=signature)
    tf.saved_model.save(module, str(out), signatures={"serving_default": module.serve})
    return out


def string_table(file: Path | None) -> Any:
    """Makes TF1's lookup table of the tokens, from a file as an asset, or from a constant."""
    if file is None:
        keys = tf.constant(TOKENS)
        values = tf.range(VOCAB, dtype=tf.int64)
        initial = tf.lookup.KeyValueTensorInitializer(keys, values)
    else:
        file.write_text("\n".join(TOKENS) + "\n", encoding="utf-8")
        line = tf.lookup.TextFileIndex
        initial = tf.lookup.TextFileInitializer(
            str(file), tf.string, line.WHOLE_LINE, tf.int64, line.LINE_NUMBER
        )
    return tf.lookup.StaticHashTable(initial, 1)


def tf1_graph(resource: bool = False, parts: int | None = None) -> tuple[dict[str, Any], ...]:
    """Adds the encoder to the current TF1 graph; returns placeholders and outputs by name."""

    def get(name: str, *shape: int) -> Any:
        partitioned = parts is not None and name == "word_embeddings"

        def initial(size: Any, dtype: Any = None, partition_info: Any = None) -> Any:
            start = partition_info.var_offset[0] if partition_info else 0
            return tf.constant(seeded_values(name, *shape)[start : start + size[0]])

        return tf1.get_variable(
            name,
            shape,
            initializer=initial,
            use_resource=resource,
            partitioner=tf1.fixed_size_partitioner(parts) if partitioned else None,
        )

    names = ("input_ids", "input_mask", "segment_ids")
    placeholders = {name: tf1.placeholder(tf.int32, FREE, name) for name in names}
    with tf1.variable_scope("bert", reuse=tf1.AUTO_REUSE):
        x, pooled = run_encoder(get, *placeholders.values())
    return placeholders, {"sequence_output": x, "pooled_output": pooled}


def tf1_simple(out: Path, resource: bool = False, parts: int | None = None) -> Path:
    """Saves new variables with `simple_save`."""
    with tf.Graph().as_default(), tf1.Session() as session:
        placeholders, outputs = tf1_graph(resource, parts)
        session.run(tf1.global_variables_initializer())
        tf1.saved_model.simple_save(session, str(out), placeholders, outputs)
    return out


def tf1_restored(out: Path) -> Path:
    """Saves variables of a checkpoint, with two savers and `init_from_checkpoint`, as is usual."""
    checkpoint = str(out.with_name(f"{out.name}.ckpt"))
    with tf.Graph().as_default(), tf1.Session() as session:
        placeholders, outputs = tf1_graph()
        session.run(tf1.global_variables_initializer())
        saver = tf1.train.Saver()
        tf1.add_to_collection(tf1.GraphKeys.SAVERS, saver)
        saver.save(session, checkpoint)
        tf1.train.Saver(sharded=True)
        names = {v.op.name: v.op.name for v in tf1.trainable_variables()}
        tf1.train.init_from_checkpoint(checkpoint, names)
        saver.restore(session, checkpoint)
        tf1.saved_model.simple_save(session, str(out), placeholders, outputs)
    return out


def tf1_strings(out: Path, asset: bool = False) -> Path:
    """Saves a model of token strings with a table that the loader must initialise."""
    file = out.with_name(f"{out.name}.vocab.txt") if asset else None
    with tf.Graph().as_default(), tf1.Session() as session:
        tokens = tf1.placeholder(tf.string, FREE, "tokens")
        ids = tf.cast(string_table(file).lookup(tokens), tf.int32)
        ids = tf.where(tf.equal(tokens, ""), tf.zeros_like(ids), ids)

        def get(name: str, *shape: int) -> Any:
            return tf1.get_variable(
                name, initializer=seeded_values(name, *shape), use_resource=False
            )

        with tf1.variable_scope("bert"):
            x, pooled = run_encoder(get, ids, tf.ones_like(ids))
        session.run([tf1.global_variables_initializer(), tf1.tables_initializer()])
        outputs = {"sequence_output": x, "pooled_output": pooled}
        init = tf1.tables_initializer()
        tf1.saved_model.simple_save(session, str(out), {"tokens": tokens}, outputs, init)
    return out


def hub_module(out: Path) -> Path:
    """Saves a TF1 hub.Module: graphs with the tags [] and train, signatures tokens and mlm."""
    shutil.rmtree(out, ignore_errors=True)
    builder = tf1.saved_model.Builder(str(out))
    for number, tags in enumerate(([], ["train"])):
        with tf.Graph().as_default(), tf1.Session() as session:
            placeholders, outputs = tf1_graph()
            if tags:
                outputs = {name: x * 0.5 for name, x in outputs.items()}
            other = {"scores": outputs["sequence_output"] * 2.0}
            signature = tf1.saved_model.predict_signature_def
            signatures = {
                "tokens": signature(placeholders, outputs),
                "mlm": signature(placeholders, other),
            }
            session.run(tf1.global_variables_initializer())
            if number == 0:
                builder.add_meta_graph_and_variables(session, tags, signatures)
            else:
                builder.add_meta_graph(tags, signatures)
    builder.save()
    # The extra file of a TF-Hub module.
    (out / "tfhub_module.pb").write_bytes(b"\x08\x03")
    return out


def loop_with_rounds_from_the_text(x: Any, ids: Any) -> Any:
    """Runs a loop whose number of rounds depends on the text."""
    rounds = tf.reduce_max(ids) % 3 + 1
    return tf.while_loop(lambda i, a: i < rounds, lambda i, a: (i + 1, a * 0.9), [0, x])[1]


def loop_of_tf1(out: Path) -> Path:
    """Saves a loop as in graphs before TF2: nodes in a circle."""
    with tf.Graph().as_default(), tf1.Session() as session:
        tf1.disable_control_flow_v2()
        placeholders, outputs = tf1_graph()
        x = outputs["sequence_output"]
        outputs["sequence_output"] = tf1.while_loop(
            lambda i, a: i < 2, lambda i, a: (i + 1, a * 0.9), [0, x]
        )[1]
        tf1.enable_control_flow_v2()
        session.run(tf1.global_variables_initializer())
        tf1.saved_model.simple_save(session, str(out), placeholders, outputs)
    return out


# The function that makes each model, and the message of its export: "" for success.
ZOO: dict[str, tuple[Callable[[Path], Path], str]] = {
    "free": (tf2, ""),
    "length 16": (lambda out: tf2(out, (None, 16)), ""),
    "1 x 16": (lambda out: tf2(out, (1, 16)), ""),
    "1 x free": (lambda out: tf2(out, (1, None)), ""),
    "3 x 16": (lambda out: tf2(out, (3, 16)), ""),
    "counted positions": (lambda out: tf2(out, counted=True), ""),
    "counted positions, 1 x free": (lambda out: tf2(out, (1, None), counted=True), ""),
    "int64": (lambda out: tf2(out, dtypes=(tf.int64, tf.int64)), ""),
    "bert4keras": (bert4keras, ""),
    "bool mask": (
        lambda out: tf2(out, dtypes=(tf.int32, tf.bool), names=("token_ids", "padding_mask")),
        "",
    ),
    "uint8 mask": (
        lambda out: tf2(out, dtypes=(tf.int32, tf.uint8)),
        "got input attention_mask uint8[?, ?], expected int32[batch, sequence] called",
    ),
    "odd name": (
        lambda out: tf2(out, names=("foo", "attention_mask")),
        "got input foo int32[?, ?], expected",
    ),
    "two signatures": (
        lambda out: tf2(out, signatures=("a", "b")),
        "got signatures a, b, expected one called serving_default; name one by --signature",
    ),
    "no signature": (lambda out: tf2(out, signatures=()), "got no signature, expected one"),
    "missing op": (
        lambda out: tf2(out, change=lambda x, ids: x + tf.math.lgamma(tf.abs(x) + 1.0)),
        "op Lgamma",
    ),
    "op without a kernel": (
        lambda out: tf2(out, change=lambda x, ids: x + tf.math.xlogy(x, tf.abs(x) + 1.0)),
        "TF.js has no Xlogy on wasm and cpu",
    ),
    "loop": (lambda out: tf2(out, change=loop_with_rounds_from_the_text), "control flow"),
    "loop over a list": (
        lambda out: tf2(out, change=lambda x, ids: tf.map_fn(lambda row: row * 0.5, x)),
        "the model has a loop over a list (TensorList",
    ),
    "keras 3": (keras3, ""),
    "model garden": (model_garden, ""),
    "tf1": (tf1_simple, ""),
    "tf1 resource": (lambda out: tf1_simple(out, resource=True), ""),
    "tf1 restored": (tf1_restored, ""),
    "tf1 partitioned": (lambda out: tf1_simple(out, parts=3), ""),
    "tf1 strings": (tf1_strings, ""),
    "tf1 strings of an asset": (lambda out: tf1_strings(out, asset=True), ""),
    "tf1 loop": (loop_of_tf1, "has a loop of TF1 (NextIteration), expected none"),
    "hub module": (hub_module, "got signatures mlm, tokens, expected"),
}
