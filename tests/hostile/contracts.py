"""Sound contracts to spoil: as small as possible, with one of every part."""

import hashlib
from typing import Any

SHA256 = hashlib.sha256(b"").hexdigest()
EMPTY = {"sha256": SHA256, "size": 0}


def bundle_contract() -> dict[str, Any]:
    """Returns the contract of a model whose files are all empty."""
    special = {
        role: {"token": f"[{role.upper()}]", "id": i}
        for i, role in enumerate(("pad", "unk", "cls", "sep", "mask"))
    }
    budget = {"atol": 1e-5, "rtol": 2e-6, "origin": "measured", "float32_cost": 1e-6}
    distance = {"max_abs": 1e-7, "cosine": 1.0}
    names = ("model.json", "group1-shard1of1.bin", "vocab.txt", "tokenizer_tables.bin")
    return {
        "format": "bert-bridge",
        "contract_version": 2,
        "contents": "model",
        "name": "sound",
        "architecture": "bert",
        "trained": False,
        "weight_dtype": "float32",
        "inputs": [
            {
                "name": "input_ids",
                "role": "input_ids",
                "dtype": "int32",
                "shape": ["batch", "sequence"],
            }
        ],
        "outputs": [
            {
                "name": "sequence_output",
                "role": "sequence_output",
                "dtype": "float32",
                "shape": ["batch", "sequence", 4],
            }
        ],
        "padding": "masked",
        "max_length": 512,
        "tokenizer": {
            "algorithm": "bert",
            "options": {"lower_case": True, "strip_accents": True, "split_chinese": True},
            "vocab_size": 21,
            "special_tokens": special,
            "source_adds_special_tokens": False,
            "embedding_rows": 24,
        },
        "provenance": {
            "source": {"handle": "sound", "sha256": SHA256},
            "versions": {"tensorflow": "2.21.0"},
            "vocab": {"sha256": SHA256},
            "tokenizer": {"tokenizers": "0.23.3"},
        },
        "accuracy": {
            "outputs": {"sequence_output": distance},
            "budget": budget,
            "budgets": {"sequence_output": budget},
            "rewrites": [{"name": "step", "max_abs": 0.0, "nodes": 3}],
        },
        "taps": [{"name": "embeddings", "node": "taps/embeddings", "tensor": "a:0"}],
        "signature": {"name": "serving_default", "tags": ["serve"]},
        "saved_model": {"sha256": SHA256, "allowed_ops": SHA256},
        "files": dict.fromkeys(names, EMPTY),
    }


def classifier_description(hash_of_bundle: str = SHA256) -> dict[str, Any]:
    """Returns a classifier's description of version 2, without its seal.

    Args:
        hash_of_bundle: the sha256 of the `bundle.json` that it belongs to.
    """
    return {
        "format": "bert-bridge-classifier",
        "version": 2,
        "head": "linear",
        "pooling": "position 0 of sequence_output",
        "labels": ["a", "b"],
        "task": "single",
        "max_length": 16,
        "special_tokens": "added",
        "bundle": {"hash": hash_of_bundle, "dir": "../bundle"},
        "backend": "wasm",
        "seed": 1,
        "epochs": 5,
        "best_epoch": 4,
        "best_by": "accuracy",
        "batch_size": 32,
        "learning_rate": 0.0003,
        "schedule": "constant",
        "class_weights": [1, 1],
        "dev_accuracy": 0.5,
        "dev_macro_f1": 0.5,
        "golden": [{"text": "好", "label": "a", "probabilities": [0.75, 0.25]}],
        "trained_with": {"settings": SHA256, "data": SHA256},
        "files": {"model.json": EMPTY, "weights.bin": EMPTY},
    }


def linear_model(hidden: int, units: int) -> dict[str, Any]:
    """Returns `model.json` of a head with one layer."""
    dense = {
        "class_name": "Dense",
        "config": {
            "name": "probabilities",
            "units": units,
            "activation": "softmax",
            "use_bias": True,
            "batch_input_shape": [None, hidden],
        },
    }
    config = {"name": "classifier", "layers": [dense]}
    specs = [
        {"name": "probabilities/kernel", "shape": [hidden, units], "dtype": "float32"},
        {"name": "probabilities/bias", "shape": [units], "dtype": "float32"},
    ]
    return {
        "format": "layers-model",
        "modelTopology": {"class_name": "Sequential", "config": config, "keras_version": "tfjs"},
        "weightsManifest": [{"paths": ["weights.bin"], "weights": specs}],
    }
