"""Golden cases: a few texts with the ids and outputs that Python's TensorFlow gave for them."""

import json
from pathlib import Path

import numpy as np
import tensorflow as tf
from safetensors.numpy import save

from export.bundle import Contract
from export.graph import Source

GOLDEN = "golden.safetensors"

# Mixed lengths in one padded batch; full-width forms, digits, Latin, an emoji, a rare character.
TEXTS = [
    "你好",
    "这本书很好，值得一读。",
    "ＡＢＣ１２３：全角和ｈａｌｆ－ｗｉｄｔｈ…①",
    "The room was clean, but the Wi-Fi didn't work at 10:30 p.m.!",
    "房间很小，隔音也差，服务员态度一般，早餐倒是不错，离地铁站走路五分钟，下次可能不会再住了。",
    "𠮷野家 😀 café",
    "",
]


def padded(ids: list[list[int]], contract: Contract) -> dict[str, np.ndarray]:
    """Ids, mask and types by role, int32[batch, sequence], padded as the contract says."""
    shape = (len(ids), max(1, max(len(row) for row in ids)))
    batch = {
        "input_ids": np.full(shape, contract.tokenizer.special_tokens["pad"].id, np.int32),
        "attention_mask": np.full(shape, int(contract.padding == "attended"), np.int32),
        "token_type_ids": np.zeros(shape, np.int32),
    }
    for i, row in enumerate(ids):
        batch["input_ids"][i, : len(row)] = row
        batch["attention_mask"][i, : len(row)] = 1
    return batch


def write(ids: list[list[int]], source: Source, contract: Contract, directory: Path) -> None:
    """Runs the source on the ids of `TEXTS`, special tokens added, and writes what it gave."""
    batch = padded([row[: contract.max_length] for row in ids], contract)
    feeds = {spec.name: tf.constant(batch[spec.role]) for spec in contract.inputs}
    outputs = {name: value.numpy() for name, value in source.function(**feeds).items()}
    # One key: the library writes several in an order that varies.
    metadata = {"texts": json.dumps(TEXTS, ensure_ascii=False)}
    # Not `save_file`, which makes a file that only its owner may read.
    (directory / GOLDEN).write_bytes(save(batch | outputs, metadata))
