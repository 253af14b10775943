"""Tiny checkpoints in the publishers' naming, and a NumPy encoder that uses these names.

Nothing here comes from `export`: names and arithmetic are written a second time, from the
publishers' code, so that the readers are compared with something independent.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

Arrays = dict[str, np.ndarray]
Block = tuple[int, int, int]
VOCAB, HIDDEN, HEADS, INNER, NARROW, POSITIONS, LAYERS = 31, 12, 3, 20, 8, 16, 2


@dataclass
class Publisher:
    """One checkpoint: its json, its arrays by name, and the structure of its names.

    `parts` maps our name of a part to the publisher's scope; `{i}` is the layer, `{g}` and `{k}`
    are ALBERT's group and inner group.
    """

    family: str
    form: str
    parts: dict[str, str]
    config: dict[str, Any]
    positions: int = POSITIONS
    arrays: Arrays = field(default_factory=dict)

    @property
    def torch(self) -> bool:
        return self.form == "hf"

    def scope(self, part: str, at: Block) -> str:
        layer, group, inner = at
        return self.parts[part].format(i=layer, g=group, k=inner)

    def blocks(self, layers: int | None = None) -> list[Block]:
        """Returns the blocks in order of execution, with the formulas of the publishers' code."""
        count, groups = self.config["num_hidden_layers"], self.config.get("num_hidden_groups", 1)
        found = []
        for i in range(layers or count):
            group = int(i / (count / groups)) if self.torch else int(i / count * groups)
            found += [(i, group, k) for k in range(self.config.get("inner_group_num", 1))]
        return found

    def dense(self, part: str, x: np.ndarray, at: Block = (0, 0, 0)) -> np.ndarray:
        scope = self.scope(part, at)
        if self.torch:
            return x @ self.arrays[f"{scope}.weight"].T + self.arrays[f"{scope}.bias"]
        return x @ self.arrays[f"{scope}/kernel"] + self.arrays[f"{scope}/bias"]

    def norm(self, part: str, x: np.ndarray, at: Block = (0, 0, 0)) -> np.ndarray:
        scope = self.scope(part, at)
        scale, shift = (".weight", ".bias") if self.torch else ("/gamma", "/beta")
        centred = x - x.mean(-1, keepdims=True)
        deviation = np.sqrt((centred**2).mean(-1, keepdims=True) + self.epsilon)
        normal: np.ndarray = centred / deviation
        return normal * self.arrays[scope + scale] + self.arrays[scope + shift]

    def table(self, name: str) -> np.ndarray:
        if self.torch:
            return self.arrays[f"{self.parts['embeddings']}.{name}.weight"]
        return self.arrays[f"{self.parts['embeddings']}/{name}"]

    @property
    def epsilon(self) -> float:
        return float(self.config["layer_norm_eps"]) if self.torch else 1e-12

    def activate(self, x: np.ndarray) -> np.ndarray:
        known = {"relu": relu, "gelu": self.gelu, "gelu_python": erf_gelu}
        return known.get(self.config["hidden_act"], tanh_gelu)(x)

    @property
    def gelu(self) -> Callable[[np.ndarray], np.ndarray]:
        return erf_gelu if self.torch or self.family == "electra" else tanh_gelu

    def words(self) -> np.ndarray:
        words = self.table("word_embeddings").astype(np.float64)
        return words @ self.table("word_embeddings_2") if self.form == "shared" else words

    def run(
        self, ids: np.ndarray, mask: np.ndarray, types: np.ndarray, layers: int | None = None
    ) -> Arrays:
        """Computes the outputs in float64: sequence, embedding and, if any, pooled output.

        Args:
            ids: int[batch, sequence].
            mask: int[batch, sequence].
            types: int[batch, sequence].
            layers: the number of layers; None: all.
        """
        positions = self.table("position_embeddings")[: ids.shape[1]]
        x = self.words()[ids] + positions + self.table("token_type_embeddings")[types]
        x = embedded = self.norm("embeddings_norm", x)
        if "projection" in self.parts:
            x = self.dense("projection", x)
        for at in self.blocks(layers):
            x = self.norm("norm_1", x + self.dense("attended", self.attend(x, mask, at), at), at)
            wide = self.activate(self.dense("wide", x, at))
            x = self.norm("norm_2", x + self.dense("narrow", wide, at), at)
        outputs = {"sequence_output": x, "embedding_output": embedded}
        if "pooler" in self.parts:
            outputs["pooled_output"] = np.tanh(self.dense("pooler", x[:, 0]))
        elif self.family == "electra":
            outputs["pooled_output"] = x[:, 0]
        return outputs

    def attend(self, x: np.ndarray, mask: np.ndarray, at: Block) -> np.ndarray:
        rows, length, hidden = x.shape
        width = hidden // HEADS
        context = np.zeros_like(x)
        query, key, value = (self.dense(part, x, at) for part in ("query", "key", "value"))
        for head in range(HEADS):
            part = slice(head * width, (head + 1) * width)
            for row in range(rows):
                scores = query[row, :, part] @ key[row, :, part].T / math.sqrt(width)
                scores = scores + (1.0 - mask[row]) * -10000.0
                weights = np.exp(scores - scores.max(-1, keepdims=True))
                weights = weights / weights.sum(-1, keepdims=True)
                context[row, :, part] = weights @ value[row, :, part]
        return context

    def logits(self, sequence: np.ndarray) -> np.ndarray:
        """Computes the masked language model's scores with the checkpoint's own head."""
        x = self.norm("head_norm", self.activate(self.dense("head_dense", sequence)))
        bias = f"{self.parts['head']}{'.bias' if self.torch else '/output_bias'}"
        scores: np.ndarray = x @ self.words().T
        return scores + self.arrays[bias]

    def write(self, directory: Path, config_name: str | None = None) -> Path:
        """Writes weights and config as the publisher does; returns the directory."""
        directory.mkdir(parents=True, exist_ok=True)
        default = "config.json" if self.torch else f"{self.family}_config.json"
        (directory / (config_name or default)).write_text(json.dumps(self.config))
        if self.torch:
            # safetensors writes an array's memory, so a transposed view would be lost.
            arrays = {name: np.ascontiguousarray(array) for name, array in self.arrays.items()}
            save_file(arrays, directory / "model.safetensors")
        else:
            write_tf1(self.arrays, directory / f"{self.family}_model.ckpt")
        return directory


def write_tf1(arrays: Arrays, prefix: Path) -> None:
    """Writes a checkpoint as `tf.compat.v1.train.Saver` does."""
    import tensorflow as tf

    names = sorted(arrays)
    tensors = [tf.constant(arrays[name]) for name in names]
    tf.raw_ops.SaveV2(
        prefix=str(prefix), tensor_names=names, shape_and_slices=[""] * len(names), tensors=tensors
    )


def relu(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.maximum(x, 0.0))


def tanh_gelu(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))


def erf_gelu(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1.0 + np.asarray(np.vectorize(math.erf)(x / math.sqrt(2.0))))


BERT_TF1 = {
    "embeddings": "bert/embeddings",
    "embeddings_norm": "bert/embeddings/LayerNorm",
    "query": "bert/encoder/layer_{i}/attention/self/query",
    "key": "bert/encoder/layer_{i}/attention/self/key",
    "value": "bert/encoder/layer_{i}/attention/self/value",
    "attended": "bert/encoder/layer_{i}/attention/output/dense",
    "norm_1": "bert/encoder/layer_{i}/attention/output/LayerNorm",
    "wide": "bert/encoder/layer_{i}/intermediate/dense",
    "narrow": "bert/encoder/layer_{i}/output/dense",
    "norm_2": "bert/encoder/layer_{i}/output/LayerNorm",
    "pooler": "bert/pooler/dense",
    "head_dense": "cls/predictions/transform/dense",
    "head_norm": "cls/predictions/transform/LayerNorm",
    "head": "cls/predictions",
}
BLOCK = "bert/encoder/transformer/group_{g}/inner_group_{k}"
ALBERT_TF1 = BERT_TF1 | {
    "projection": "bert/encoder/embedding_hidden_mapping_in",
    "query": f"{BLOCK}/attention_1/self/query",
    "key": f"{BLOCK}/attention_1/self/key",
    "value": f"{BLOCK}/attention_1/self/value",
    "attended": f"{BLOCK}/attention_1/output/dense",
    "norm_1": f"{BLOCK}/LayerNorm",
    "wide": f"{BLOCK}/ffn_1/intermediate/dense",
    "narrow": f"{BLOCK}/ffn_1/intermediate/output/dense",
    "norm_2": f"{BLOCK}/LayerNorm_1",
}
SHARED_TF1 = {part: scope.replace("layer_{i}", "layer_shared") for part, scope in BERT_TF1.items()}
ENCODER = [part for part in BERT_TF1 if part != "pooler" and not part.startswith("head")]
ELECTRA_TF1 = {part: BERT_TF1[part].replace("bert/", "electra/") for part in ENCODER} | {
    "projection": "electra/embeddings_project"
}
LAYER = "encoder.layer.{i}"
BERT_HF = {
    "embeddings": "bert.embeddings",
    "embeddings_norm": "bert.embeddings.LayerNorm",
    "query": f"bert.{LAYER}.attention.self.query",
    "key": f"bert.{LAYER}.attention.self.key",
    "value": f"bert.{LAYER}.attention.self.value",
    "attended": f"bert.{LAYER}.attention.output.dense",
    "norm_1": f"bert.{LAYER}.attention.output.LayerNorm",
    "wide": f"bert.{LAYER}.intermediate.dense",
    "narrow": f"bert.{LAYER}.output.dense",
    "norm_2": f"bert.{LAYER}.output.LayerNorm",
    "pooler": "bert.pooler.dense",
    "head_dense": "cls.predictions.transform.dense",
    "head_norm": "cls.predictions.transform.LayerNorm",
    "head": "cls.predictions",
}
SHARED_LAYER = "albert.encoder.albert_layer_groups.{g}.albert_layers.{k}"
ALBERT_HF = {
    "embeddings": "albert.embeddings",
    "embeddings_norm": "albert.embeddings.LayerNorm",
    "projection": "albert.encoder.embedding_hidden_mapping_in",
    "query": f"{SHARED_LAYER}.attention.query",
    "key": f"{SHARED_LAYER}.attention.key",
    "value": f"{SHARED_LAYER}.attention.value",
    "attended": f"{SHARED_LAYER}.attention.dense",
    "norm_1": f"{SHARED_LAYER}.attention.LayerNorm",
    "wide": f"{SHARED_LAYER}.ffn",
    "narrow": f"{SHARED_LAYER}.ffn_output",
    "norm_2": f"{SHARED_LAYER}.full_layer_layer_norm",
    "pooler": "albert.pooler",
    "head_dense": "predictions.dense",
    "head_norm": "predictions.LayerNorm",
    "head": "predictions",
}
ELECTRA_HF = {part: BERT_HF[part].replace("bert.", "electra.") for part in ENCODER} | {
    "projection": "electra.embeddings_project"
}
BARE_BERT_HF = {part: scope.removeprefix("bert.") for part, scope in BERT_HF.items()}
FORMS = {
    ("bert", "tf1"): BERT_TF1,
    ("albert", "tf1"): ALBERT_TF1,
    ("albert", "shared"): SHARED_TF1,
    ("electra", "tf1"): ELECTRA_TF1,
    ("bert", "hf"): BERT_HF,
    ("albert", "hf"): ALBERT_HF,
    ("electra", "hf"): ELECTRA_HF,
}


def publisher(
    family: str, form: str, *, act: str = "gelu", positions: int = POSITIONS, **more: Any
) -> Publisher:
    """Makes a checkpoint with random weights.

    Args:
        family: `bert`, `albert` or `electra`.
        form: `tf1`, `shared` (brightmart's ALBERT) or `hf`.
        act: the activation.
        positions: the number of positions.
        **more: further keys of its json config.
    """
    config: dict[str, Any] = {
        "vocab_size": VOCAB,
        "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "intermediate_size": INNER,
        "hidden_act": act,
        "max_position_embeddings": positions,
        "type_vocab_size": 2,
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "initializer_range": 0.02,
    }
    if family != "bert":
        config["embedding_size"] = NARROW
    if form == "hf":
        # Far from TF1's epsilon, so that a reader that ignores it fails the test.
        config |= {"model_type": family, "layer_norm_eps": 1e-3}
    made = Publisher(family, form, dict(FORMS[family, form]), config | more, positions)
    add_random_arrays(made, np.random.default_rng(7))
    return made


def add_random_arrays(made: Publisher, generator: np.random.Generator) -> None:
    """Adds random float32 arrays under the publisher's names; none is all 0 or 1."""
    config = made.config
    vocab, hidden, inner = config["vocab_size"], config["hidden_size"], config["intermediate_size"]
    narrow = config.get("embedding_size", hidden)
    summed = hidden if made.form == "shared" else narrow

    def draw(*shape: int, centre: float = 0.0) -> np.ndarray:
        return (centre + generator.normal(0.0, 0.4, shape)).astype(np.float32)

    def dense(scope: str, rows: int, columns: int) -> None:
        weight, bias = (".weight", ".bias") if made.torch else ("/kernel", "/bias")
        made.arrays[scope + weight] = draw(columns, rows) if made.torch else draw(rows, columns)
        made.arrays[scope + bias] = draw(columns)

    def norm(scope: str, width: int) -> None:
        scale, shift = (".weight", ".bias") if made.torch else ("/gamma", "/beta")
        made.arrays[scope + scale] = draw(width, centre=1.0)
        made.arrays[scope + shift] = draw(width)

    tables = {
        "word_embeddings": (vocab, narrow),
        "position_embeddings": (made.positions, summed),
        "token_type_embeddings": (2, summed),
    }
    if made.form == "shared":
        tables["word_embeddings_2"] = (narrow, hidden)
    for table, shape in tables.items():
        form = "{}.{}.weight" if made.torch else "{}/{}"
        made.arrays[form.format(made.parts["embeddings"], table)] = draw(*shape)
    norm(made.parts["embeddings_norm"], summed)
    if "projection" in made.parts:
        dense(made.parts["projection"], narrow, hidden)
    for at in made.blocks():
        scopes = {part: made.scope(part, at) for part in made.parts}
        for part in ("query", "key", "value", "attended"):
            dense(scopes[part], hidden, hidden)
        dense(scopes["wide"], hidden, inner)
        dense(scopes["narrow"], inner, hidden)
        norm(scopes["norm_1"], hidden)
        norm(scopes["norm_2"], hidden)
    if "pooler" in made.parts:
        dense(made.parts["pooler"], hidden, hidden)
    if "head" in made.parts:
        dense(made.parts["head_dense"], hidden, summed)
        norm(made.parts["head_norm"], summed)
        made.arrays[made.parts["head"] + (".bias" if made.torch else "/output_bias")] = draw(vocab)
