"""The publishers' names of an encoder's variables.

Each *part* of our encoder (`query`, `attention_norm`, …) has a *scope* in the publisher's names,
where `{0}` is the layer, or `{0}` and `{1}` are ALBERT's group and inner group. Each *leaf*
(`kernel`, `gamma`, …) of a part is a suffix.

Sources: `modeling.py` and `run_pretraining.py` of google-research/bert, google-research/albert,
google-research/electra and brightmart/albert_zh; `modeling_*.py` of huggingface/transformers.
"""

from collections.abc import Mapping
from dataclasses import dataclass

EMBEDDING_TABLES = ("word_embeddings", "position_embeddings", "token_type_embeddings")


@dataclass(frozen=True)
class Naming:
    """One publisher's names; `transposes` is true if kernels are stored as [out, in]."""

    scopes: Mapping[str, str]
    leaves: Mapping[str, str]
    transposes: bool = False

    def name(self, part: str, leaf: str, block: tuple[int, int] = (0, 0)) -> str | None:
        """Returns the full name of a variable, or None if this publisher has no such part.

        `block` is one of `EncoderConfig.blocks`; parts outside the layers ignore it.
        """
        scope = self.scopes.get(part)
        return None if scope is None else scope.format(*block) + self.leaves[leaf]


TF1_LEAVES = {
    leaf: f"/{leaf}"
    for leaf in ("kernel", "bias", "gamma", "beta", "output_bias", *EMBEDDING_TABLES)
}
HF_LEAVES = {
    "kernel": ".weight",
    "bias": ".bias",
    "gamma": ".weight",
    "beta": ".bias",
    "output_bias": ".bias",
    **{table: f".{table}.weight" for table in EMBEDDING_TABLES},
}
# Conversions of 2018 and 2019 have TF1's names for layer normalisation; many are in use today.
HF_OLD_LEAVES = HF_LEAVES | {"gamma": ".gamma", "beta": ".beta"}


def _bert_scopes(root: str, layer: str, dot: str) -> dict[str, str]:
    """Returns the scopes of BERT's structure, which ELECTRA and albert_zh share.

    `dot` is the separator, `/` or `.`.
    """
    scopes = {
        "embeddings": "embeddings",
        "embeddings_norm": "embeddings/LayerNorm",
        "query": f"encoder/{layer}/attention/self/query",
        "key": f"encoder/{layer}/attention/self/key",
        "value": f"encoder/{layer}/attention/self/value",
        "attention_output": f"encoder/{layer}/attention/output/dense",
        "attention_norm": f"encoder/{layer}/attention/output/LayerNorm",
        "intermediate": f"encoder/{layer}/intermediate/dense",
        "output": f"encoder/{layer}/output/dense",
        "output_norm": f"encoder/{layer}/output/LayerNorm",
    }
    return {part: root + scope.replace("/", dot) for part, scope in scopes.items()}


POOLER = {"pooler": "bert/pooler/dense"}
TF1_HEAD = {
    "head_dense": "cls/predictions/transform/dense",
    "head_norm": "cls/predictions/transform/LayerNorm",
    "head": "cls/predictions",
}
GROUP = "bert/encoder/transformer/group_{0}/inner_group_{1}"
TF1 = {
    "bert": _bert_scopes("bert/", "layer_{0}", "/") | POOLER | TF1_HEAD,
    "electra": _bert_scopes("electra/", "layer_{0}", "/")
    | {"projection": "electra/embeddings_project"},
    "albert": {
        "embeddings": "bert/embeddings",
        "embeddings_norm": "bert/embeddings/LayerNorm",
        "projection": "bert/encoder/embedding_hidden_mapping_in",
        "query": f"{GROUP}/attention_1/self/query",
        "key": f"{GROUP}/attention_1/self/key",
        "value": f"{GROUP}/attention_1/self/value",
        "attention_output": f"{GROUP}/attention_1/output/dense",
        "attention_norm": f"{GROUP}/LayerNorm",
        "intermediate": f"{GROUP}/ffn_1/intermediate/dense",
        "output": f"{GROUP}/ffn_1/intermediate/output/dense",
        "output_norm": f"{GROUP}/LayerNorm_1",
    }
    | POOLER
    | TF1_HEAD,
}
# brightmart's first Chinese ALBERT: BERT's structure with one set of layer weights.
TF1_LAYER_SHARED = (
    _bert_scopes("bert/", "layer_shared", "/")
    | {"projection": TF1["albert"]["projection"]}
    | POOLER
    | TF1_HEAD
)


def huggingface_scopes(family: str, root: str) -> dict[str, str]:
    """Returns Hugging Face's scopes; `root` is for example `bert.`, or "" for a bare encoder."""
    # A wrapper's prefix (`module.bert.`) is a prefix of the head too.
    outer = root.removesuffix(f"{family}.")
    if family != "albert":
        scopes = _bert_scopes(root, "layer.{0}", ".")
        if family == "electra":
            return scopes | {"projection": f"{root}embeddings_project"}
        head = f"{outer}cls.predictions"
        dense, norm = f"{head}.transform.dense", f"{head}.transform.LayerNorm"
        scopes["pooler"] = f"{root}pooler.dense"
    else:
        layer = f"{root}encoder.albert_layer_groups.{{0}}.albert_layers.{{1}}"
        head = f"{outer}predictions"
        dense, norm = f"{head}.dense", f"{head}.LayerNorm"
        scopes = {
            "embeddings": f"{root}embeddings",
            "embeddings_norm": f"{root}embeddings.LayerNorm",
            "projection": f"{root}encoder.embedding_hidden_mapping_in",
            "query": f"{layer}.attention.query",
            "key": f"{layer}.attention.key",
            "value": f"{layer}.attention.value",
            "attention_output": f"{layer}.attention.dense",
            "attention_norm": f"{layer}.attention.LayerNorm",
            "intermediate": f"{layer}.ffn",
            "output": f"{layer}.ffn_output",
            "output_norm": f"{layer}.full_layer_layer_norm",
            "pooler": f"{root}pooler",
        }
    scopes |= {"head": head, "head_dense": dense, "head_norm": norm}
    return scopes | {"head_decoder": f"{head}.decoder"}
