"""Golden cases: a few texts with the ids and outputs that Python's TensorFlow gave for them."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import save

from export.graph import Array, Source

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


def batch(
    ids: list[list[int]], pad: int, padding: str, width: int | None = None
) -> dict[str, Array]:
    """Ids, mask and types by role, int32[batch, sequence], padded as the contract says.

    They are as wide as the longest, or `width` positions where the model fixes that.
    """
    shape = (len(ids), width or max(1, max(len(row) for row in ids)))
    roles = {
        "input_ids": np.full(shape, pad, np.int32),
        "attention_mask": np.full(shape, int(padding == "attended"), np.int32),
        "token_type_ids": np.zeros(shape, np.int32),
    }
    for i, row in enumerate(ids):
        roles["input_ids"][i, : len(row)] = row
        roles["attention_mask"][i, : len(row)] = 1
    return roles


def visible(roles: Mapping[str, Array], padding: str) -> Array:
    """Which positions mean anything: bool[batch, sequence].

    What a model gives at a masked position is of no use to anyone, and in trained models it is ten
    times more sensitive to rounding than the rest.
    """
    mask = roles["attention_mask"] == 1
    return mask if padding == "masked" else np.ones_like(mask)


def seen(value: Array, visible: Array) -> Array:
    """An output at the visible positions; one that has no axis of positions is whole."""
    by_position = value.shape[:2] == visible.shape
    return value[visible] if by_position else value


def answers(source: Source, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """What the source gives for inputs by name: outputs by name."""
    return source.run(feeds)


def tokens_of(ids: Array, tokens: list[bytes], pad: int) -> Array:
    """The token strings of a batch of ids, `''` for padding: object[batch, sequence]."""
    strings = np.array(tokens, object)[ids]
    strings[ids == pad] = b""
    return strings


def write(roles: Mapping[str, Array], outputs: Mapping[str, Array], directory: Path) -> None:
    """Writes the cases: the batch by role and the source's outputs by name."""
    # One key: the library writes several in an order that varies.
    metadata = {"texts": json.dumps(TEXTS, ensure_ascii=False)}
    # Not `save_file`, which makes a file that only its owner may read.
    (directory / GOLDEN).write_bytes(save({**roles, **outputs}, metadata))
