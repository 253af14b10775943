"""Runs Hugging Face's transformers and sentence-transformers, on torch."""

import copy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from parity_tests.conformance.publishers.reference import (
    DEVIATION,
    HEADS,
    HIDDEN,
    INNER,
    LAYERS,
    LONGEST,
    NARROW,
    SEED,
    pad_rows,
    read_cases,
    read_tokens,
    write_reference,
)

SIZES = {
    "hidden_size": HIDDEN,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "intermediate_size": INNER,
    "max_position_embeddings": LONGEST,
}
NARROW_TABLE = {"embedding_size": NARROW}


def build_model(name: str, tokens: int) -> Any:
    """Makes the model of that name with seeded weights."""
    # Many published tables are padded to a multiple of 64: more rows than the vocab has lines.
    wide = -(-tokens // 64) * 64
    kinds: dict[str, tuple[Any, Any, dict[str, Any]]] = {
        "bert": (transformers.BertModel, transformers.BertConfig, {}),
        "bert_masked_lm": (
            transformers.BertForMaskedLM,
            transformers.BertConfig,
            {"vocab_size": wide, "hidden_act": "gelu_new", "layer_norm_eps": 1e-5},
        ),
        "albert": (transformers.AlbertModel, transformers.AlbertConfig, NARROW_TABLE),
        "albert_groups": (
            transformers.AlbertModel,
            transformers.AlbertConfig,
            NARROW_TABLE | {"num_hidden_layers": 4, "num_hidden_groups": 2, "inner_group_num": 2},
        ),
        "electra": (transformers.ElectraModel, transformers.ElectraConfig, NARROW_TABLE),
    }
    kind, config, options = kinds[name]
    torch.manual_seed(SEED)
    settings = {"vocab_size": tokens} | SIZES | options
    model = kind(config(**settings, attn_implementation="eager")).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight += DEVIATION * torch.randn_like(weight)
    return model


def make_tokenizer(work: Path, *, lower_case: bool, longest: int = LONGEST) -> Any:
    """Makes their BertTokenizer on the vocab of this run."""
    return transformers.BertTokenizer(
        vocab=str(work / "vocab.txt"), do_lower_case=lower_case, model_max_length=longest
    )


def encode_cases(tokenizer: Any, work: Path) -> dict[str, np.ndarray]:
    """Encodes the cases with their tokenizer, which cuts at its longest length."""
    rows = []
    for case in read_cases(work):
        answer = tokenizer(case.text, case.pair, truncation=True)
        rows.append((answer["input_ids"], answer["token_type_ids"]))
    return pad_rows(rows)


def run_model(model: Any, inputs: dict[str, np.ndarray], precision: Any) -> dict[str, np.ndarray]:
    """Runs their forward pass in a precision, on a copy of the model."""
    encoder = copy.deepcopy(getattr(model, "bert", model)).to(precision)
    feeds = {name: torch.from_numpy(value.astype(np.int64)) for name, value in inputs.items()}
    with torch.no_grad():
        answer = encoder(**feeds)
    outputs = {"sequence_output": answer.last_hidden_state.numpy()}
    if getattr(answer, "pooler_output", None) is not None:
        outputs["pooled_output"] = answer.pooler_output.numpy()
    return outputs


def save_model(model: Any, tokenizer: Any, directory: Path, *, old_files: bool) -> None:
    """Saves both with `save_pretrained`.

    transformers 5 writes only tokenizer.json; most directories in circulation have vocab.txt.

    Args:
        model: to save.
        tokenizer: to save.
        directory: for both.
        old_files: whether to write vocab.txt instead of tokenizer.json.
    """
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    if old_files:
        tokenizer.backend_tokenizer.model.save(str(directory))
        (directory / "tokenizer.json").unlink()


def _make_sentence_transformer(work: Path) -> None:
    """Makes and runs a model with modules.json: BERT, the mean of all positions, and length 1."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Normalize, Pooling, Transformer

    plain = work / "plain"
    tokenizer = make_tokenizer(work, lower_case=True)
    save_model(build_model("bert", len(read_tokens(work))), tokenizer, plain, old_files=False)
    transformer = Transformer(str(plain), max_seq_length=LONGEST)
    model = SentenceTransformer(
        modules=[transformer, Pooling(HIDDEN, pooling_mode="mean"), Normalize()], device="cpu"
    ).eval()
    model.save(str(work / "model"))
    texts = [case.text for case in read_cases(work)]
    outputs = {"sentence_embedding": model.encode(texts)}
    exact = {"sentence_embedding": model.double().encode(texts)}
    packages = ["sentence-transformers", "transformers", "torch"]
    write_reference(work, encode_cases(tokenizer, work), outputs, exact, packages)


def main(name: str, work: Path) -> None:
    """Builds, saves and runs one model."""
    if name == "sentence_transformer":
        _make_sentence_transformer(work)
        return
    kind = name.removesuffix("_cased")
    model = build_model(kind, len(read_tokens(work)))
    tokenizer = make_tokenizer(work, lower_case=kind == name)
    save_model(model, tokenizer, work / "model", old_files=kind != name)
    inputs = encode_cases(tokenizer, work)
    outputs, exact = (run_model(model, inputs, p) for p in (torch.float32, torch.float64))
    write_reference(work, inputs, outputs, exact, ["transformers", "torch"])


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
