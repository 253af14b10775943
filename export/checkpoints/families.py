"""Which family a Hugging Face checkpoint is of: what its config says, checked against its names.

Three families are built: BERT, ALBERT, ELECTRA. Others have the same class layout but another
arithmetic, so that their weights would load without an error and give wrong numbers.
"""

import re
from typing import Any

from export.architectures.config import ARCHITECTURES
from export.checkpoints.variables import Variables
from export.errors import UserError

WORDS = "embeddings.word_embeddings.weight"
# `model_type` of transformers → what an encoder built here would compute otherwise.
OTHERS = {
    "bert-generation": "it has no token types and runs as a decoder too",
    "big_bird": "its attention is sparse",
    "camembert": "its position numbers begin after the padding id, as RoBERTa's",
    "convbert": "its attention has convolutions",
    "data2vec-text": "its position numbers begin after the padding id, as RoBERTa's",
    "deberta": "its attention is relative to the distance of tokens",
    "deberta-v2": "its attention is relative to the distance of tokens",
    "distilbert": "it has no token types, and other names",
    "ernie": "it may add task embeddings; where `use_task_id` is false it computes what BERT does, "
    'so change model_type to "bert" and the prefix `ernie.` of the variables to `bert.`',
    "ernie_m": "it has no token types, and layer norms in other places",
    "funnel": "it shortens the sequence",
    "layoutlm": "it adds embeddings of the layout",
    "longformer": "its attention is sparse",
    "megatron-bert": "it normalises before each layer, not after",
    "mobilebert": "it has bottlenecks between its layers",
    "modernbert": "it has rotary positions and normalises before each layer",
    "mpnet": "it adds a bias by distance to its attention",
    "nezha": "it has relative positions inside its attention",
    "nystromformer": "its attention is an approximation",
    "rembert": "it has other widths at its input and its output",
    "roberta": "its position numbers begin after the padding id",
    "roberta-prelayernorm": "it normalises before each layer, not after",
    "roformer": "it has rotary positions",
    "squeezebert": "it has convolutions in the place of dense layers",
    "xlm-roberta": "its position numbers begin after the padding id, as RoBERTa's",
    "xlm-roberta-xl": "its position numbers begin after the padding id, as RoBERTa's",
    "xlnet": "its attention is relative, over permuted tokens",
}


def family_of(document: dict[str, Any], where: str, variables: Variables) -> tuple[str, bool]:
    """The family, and whether it was inferred because the config has no `model_type`.

    Args:
        document: the config.
        where: its path, for messages.
        variables: the checkpoint's; only their names are looked at.

    Raises:
        UserError: another family; or the config's `model_type` and `architectures` and the
            variables' names contradict each other, or none of them tells.
    """
    named = family_by_names(variables)
    classes = family_by_classes(document.get("architectures"))
    said = document.get("model_type")
    if said is not None and said not in ARCHITECTURES:
        refuse_other(str(said), f"{where}: model_type")
    if classes is not None and classes not in ARCHITECTURES:
        refuse_other(classes, f"{where}: architectures")
    if named is not None and named not in ARCHITECTURES:
        refuse_other(named, f"{variables.where}: variables")
    sources = {"model_type": said, "architectures": classes, "the variables' names": named}
    known = {source: family for source, family in sources.items() if family is not None}
    if not known:
        raise UserError(
            f"{where}: got no model_type, and the variables' names do not tell the family; "
            f"expected one of {', '.join(ARCHITECTURES)}: add it to the config"
        )
    if len(set(known.values())) > 1:
        facts = ", ".join(f"{source} {family}" for source, family in known.items())
        raise UserError(
            f"{where}: got contradicting families: {facts}; give the config of this checkpoint"
        )
    return next(iter(known.values())), said is None


def refuse_other(family: str, what: str) -> None:
    """Stops at a family that is not built here, with the reason."""
    reason = OTHERS.get(family, "other families have another structure")
    raise UserError(f"{what}: got {family!r}, expected one of {', '.join(ARCHITECTURES)}; {reason}")


def family_by_names(variables: Variables) -> str | None:
    """The family by the variables' names; None where they are those of several families.

    A bare encoder's names (`encoder.layer.0.…`) are BERT's, ELECTRA's and RoBERTa's alike. With a
    pooler and two token types they are BERT's: ELECTRA has no pooler, RoBERTa has one token type.
    """
    names = variables.names
    if any(".albert_layer_groups." in f".{name}" for name in names):
        return "albert"
    if any("embeddings_project." in name for name in names):
        return "electra"
    if any("relative_attention_bias" in name for name in names):
        return "mpnet"
    known = {*ARCHITECTURES, *OTHERS}
    for root in roots_of(variables):
        family = root.rstrip(".").rpartition(".")[2].replace("_", "-")
        if family in known:
            return family
    types = f"{WORDS}".replace("word", "token_type")
    rows = next(iter(variables.shapes.get(types, ())), 0)
    bare = "encoder.layer.0.attention.self.query.weight" in names
    return "bert" if bare and "pooler.dense.weight" in names and rows > 1 else None


def family_by_classes(architectures: Any) -> str | None:
    """The family by the names of classes: `["BertForMaskedLM"]` → `bert`; None for unknown ones."""
    known = {
        family.replace("-", "").replace("_", ""): family for family in (*ARCHITECTURES, *OTHERS)
    }
    for name in architectures if isinstance(architectures, list) else []:
        found = re.match(r"(?:TF|Flax)?(\w+?)(?:Model|For|LMHead|PreTrained|$)", str(name))
        family = known.get(found.group(1).lower()) if found else None
        if family is not None:
            return family
    return None


def roots_of(variables: Variables) -> list[str]:
    """What stands before the names of the embeddings: `bert.`, or nothing for a bare encoder."""
    return sorted(name.removesuffix(WORDS) for name in variables.names if name.endswith(WORDS))


def root_of(variables: Variables, family: str) -> str:
    """The prefix of the encoder's variables.

    Raises:
        UserError: several encoders, none of them under the family's own name.
    """
    roots = roots_of(variables)
    if f"{family}." in roots:
        return f"{family}."
    if len(roots) > 1:
        names = ", ".join(root or "(bare)" for root in roots)
        raise UserError(
            f"{variables.where}: got {len(roots)} encoders, {names}, expected one, or one called "
            f"{family}.; save the one that you want by itself"
        )
    return roots[0] if roots else f"{family}."
