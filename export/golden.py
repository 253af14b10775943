"""Golden cases: a few texts with the ids and outputs that TensorFlow in Python computed."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import save

from export.bundle import Contract
from numerics.budgets import ROUNDED_WEIGHTS, Cost, round_weights_randomly
from support.contracts import GOLDEN_FILE, MODEL_FILE, TABLES_FILE, VOCAB_FILE
from support.sha256 import file_sha256

# TensorFlow is imported only where a graph runs: a tokenizer bundle needs only ids.
if TYPE_CHECKING:
    from export.graph.graph import Array, FrozenGraph, Source

TAPS = "taps/"

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


# One or two texts for each rule of the tokenizers; only their ids are compared. They cannot cover
# every entry of the tables; the checksums do.
RULE_TEXTS = [
    # White space of every kind: ASCII, Chinese, and the line separators, one of which some
    # tokenizers treat as a letter; and a text of white space only.
    "好\t坏\r\n好\u00a0坏\u3000好\u2028坏\u2029好\u200a坏",
    " \u3000\t ",
    # Control, format and unassigned characters, the replacement character, private use, a null.
    "好\u0000坏\u0007好\u200b坏\u200d好\ufeff坏\ufffd好\ue000坏\u0378好\u00ad坏",
    # Punctuation: ASCII symbols, Chinese, full width, and symbols whose category is another.
    "a$b+c<d=e>f^g`h|i~j_k。「好」《坏》—…·￣￥％＃@[]{}\\",
    # Case beyond ASCII: a final sigma, a dotted İ, ß, a title-case letter, Cyrillic.
    "ΑΣ ΟΔΟΣ İstanbul STRASSE Straße ǅ ЁЖ ÀÉÎ Ⅷ Ⓐ",
    # Marks: composed, decomposed, two of different classes in the wrong order, and a single one.
    "café cafe\u0301 q\u0323\u0307 q\u0307\u0323 \u0301 ệ e\u0302\u0323 Å Å",
    # Compatibility characters: half-width kana with a mark, ligatures, fractions, squared, circled.
    "ｶﾞｷﾞ ﬁ ﬃ ½ ㍿ ㈱ ① ™ ² ＡＢ１２ ㌔ 豈",
    # Han of all planes, at the limits of the blocks; kana and Hangul, which are not Han.
    "㐀䶿一鿿豈\U0002a6df\U0002b820\U0002b920\U0002f800\U00030000 ひらカタ 한국어 々〇",
    # Special tokens in the raw text, in another case, and split.
    "[CLS]好[SEP] [MASK]坏[PAD][UNK] [mask] [ CLS ] ##好",
    # Words of 100 letters, 101 letters, 100 bytes and 102 bytes.
    f"{'a' * 100} {'a' * 101} {'é' * 50} {'é' * 51}",
    # Joined emoji, skin tones, flags, variation selectors, a keycap.
    "👨‍👩‍👧 👍🏽 🇨🇳 ❤️ 1️⃣ ☺︎",
    # More positions than most models have.
    "好" * 600,
]


NUMERIC_FILES = (MODEL_FILE, VOCAB_FILE, TABLES_FILE, "tokenizer.json")
"""Files that decide the computed numbers, apart from the weights."""
NUMERIC_CONTRACT_KEYS = ("inputs", "max_length", "outputs", "padding", "tokenizer")
"""Contract keys that decide numbers; where the model decides by itself, `classifier` too."""


@dataclass(frozen=True)
class Checksums:
    """The sha256 of what the golden texts cannot fully cover, in hexadecimal.

    `weights` has one for each weight, computed from memory before any file was written; `files` one
    for each other file; `contract` is that of the NUMERIC_CONTRACT_KEYS. They detect damage, and
    files mixed from two bundles. Anyone who seals a bundle again can compute new ones, so they
    prove nothing about who made it.
    """

    weights: dict[str, str]
    files: dict[str, str]
    contract: str


def compute_checksums(directory: Path, weights: dict[str, str], contract: Contract) -> Checksums:
    """Computes the checksums of a bundle whose other files are written.

    Args:
        directory: the bundle.
        weights: the sha256 of each weight, by name.
        contract: the contract, not yet sealed.
    """
    files = {
        name: file_sha256(directory / name) for name in NUMERIC_FILES if (directory / name).exists()
    }
    decides = contract.classifier and contract.classifier.document()
    document = asdict(contract) | {"classifier": decides}
    return Checksums(weights, files, contract_checksum(document))


def contract_checksum(document: Mapping[str, Any]) -> str:
    """Computes the sha256 of what decides numbers in a contract, given as in `bundle.json`."""
    decisive = {key: document[key] for key in NUMERIC_CONTRACT_KEYS}
    if document["classifier"] is not None:
        decisive["classifier"] = dict(document["classifier"])
        threshold = decisive["classifier"].get("threshold")
        if threshold is not None:
            # The only float: languages print floats differently, but not their bytes.
            decisive["classifier"]["threshold"] = struct.pack(">d", threshold).hex()
    text = json.dumps(decisive, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def pad_batch(
    ids: list[list[int]], pad: int, padding: str, width: int | None = None
) -> dict[str, Array]:
    """Pads ids to a batch; returns ids, mask and types by role, int32[batch, sequence].

    Args:
        ids: the ids of each text.
        pad: the id of [PAD].
        padding: `masked` (the mask is 0 at padding) or `attended` (1 everywhere).
        width: the number of positions, where the model fixes it; None: that of the longest text.
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


def visible_positions(roles: Mapping[str, Array], padding: str) -> Array:
    """Returns which positions are compared: bool[batch, sequence].

    Nobody uses a model's values at masked positions, and in trained models they are ten times more
    sensitive to rounding than the others.
    """
    mask = roles["attention_mask"] == 1
    return mask if padding == "masked" else np.ones_like(mask)


def visible_values(value: Array, visible: Array) -> Array:
    """Returns an output at the visible positions; one without an axis of positions unchanged."""
    by_position = value.shape[:2] == visible.shape
    return value[visible] if by_position else value


def run_source(source: Source, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Runs the source; takes inputs by name and returns outputs by name."""
    return source.run(feeds)


@dataclass(frozen=True)
class MeasuredCosts:
    """The cost of float32 in a model on the golden cases.

    `costs` are by the name of the output or tap in the contract; `exact` has the outputs in
    float64, or is None if the model cannot run in float64.
    """

    costs: dict[str, Cost]
    exact: dict[str, Array] | None


def run_in_float64(frozen: FrozenGraph, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Computes outputs and taps in float64, by the names of their nodes.

    Raises:
        NoFloat64: the graph has an op without a float64 kernel.
    """
    from numerics import float64

    wide = replace(
        frozen,
        graph_def=float64.graph_in_float64(frozen.graph_def),
        weights={name: float64.as_float64(value) for name, value in frozen.weights.items()},
    )
    return _run_float64_graph(
        wide, {name: float64.as_float64(value) for name, value in feeds.items()}
    )


def _run_float64_graph(frozen: FrozenGraph, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Computes outputs and taps of a batch of any size, by the names of their nodes."""
    from export.graph.graph import run_in_batches
    from numerics import float64

    def run_once(some: Mapping[str, Array]) -> dict[str, Array]:
        return float64.run_graph(
            frozen.graph_def, {**frozen.weights, **some}, frozen.required_nodes
        )

    return run_in_batches(run_once, feeds, frozen.fixed_batch)


def measure_costs(
    frozen: FrozenGraph,
    feeds: Mapping[str, Array],
    visible: Array,
    say: Callable[[str], None] = print,
) -> MeasuredCosts:
    """Measures the cost of float32 in the source's graph at each output and tap.

    Where the graph cannot run in float64, the effect of randomly rounded weights is measured.

    Args:
        frozen: the source's graph, before any rewrite.
        feeds: the inputs by name.
        visible: which positions count, bool[batch, sequence].
        say: prints a message if float64 is impossible.
    """
    from numerics import float64

    single = _run_float64_graph(frozen, feeds)

    def costs(other: Mapping[str, Array], how: str = "float64") -> dict[str, Cost]:
        return {
            n: Cost.measure(n, single[n], other[n], visible, how) for n in frozen.required_nodes
        }

    try:
        exact = run_in_float64(frozen, feeds)
    except float64.NoFloat64 as error:
        say(f"{error}: what float32 costs is measured by randomly rounded weights")
        found: dict[str, Cost] = {}
        for weights in round_weights_randomly(frozen.weights):
            other = _run_float64_graph(replace(frozen, weights=weights), feeds)
            found = {
                n: found.get(n, Cost(how=ROUNDED_WEIGHTS)) + c
                for n, c in costs(other, ROUNDED_WEIGHTS).items()
            }
        return MeasuredCosts(_by_contract_name(found), None)
    outputs = {endpoint.name: exact[endpoint.name] for endpoint in frozen.outputs}
    return MeasuredCosts(_by_contract_name(costs(exact)), outputs)


def _by_contract_name(costs: Mapping[str, Cost]) -> dict[str, Cost]:
    """Returns the costs with the taps under their names in the contract."""
    return {name.removeprefix(TAPS): cost for name, cost in costs.items()}


def token_strings(ids: Array, tokens: list[bytes], pad: int) -> Array:
    """Returns the token strings of a batch of ids, `''` for padding: object[batch, sequence]."""
    strings = np.array(tokens, object)[ids]
    strings[ids == pad] = b""
    return strings


def write_golden_cases(
    roles: Mapping[str, Array],
    outputs: Mapping[str, Array],
    rules: list[list[int]],
    checksums: Checksums,
    directory: Path,
) -> None:
    """Writes the golden cases to a safetensors file.

    Args:
        roles: the batch of `TEXTS` by role.
        outputs: the source's outputs for this batch, by name.
        rules: the ids of each text of `RULE_TEXTS`.
        checksums: the checksums of the bundle.
        directory: the bundle.
    """
    metadata = {
        "texts": json.dumps(TEXTS, ensure_ascii=False),
        "tokenizer_cases": json.dumps({"texts": RULE_TEXTS, "ids": rules}, ensure_ascii=False),
        "checksums": json.dumps(asdict(checksums), sort_keys=True),
    }
    data = with_metadata(save({**roles, **outputs}), metadata)
    # `save_file` would make a file that only its owner may read.
    (directory / GOLDEN_FILE).write_bytes(data)


def with_metadata(data: bytes, metadata: dict[str, str]) -> bytes:
    """Sets the metadata of safetensors bytes: the library itself writes it in a varying order."""
    length = int.from_bytes(data[:8], "little")
    header = {"__metadata__": {}} | json.loads(data[8 : 8 + length]) | {"__metadata__": metadata}
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    # The tensors begin at a multiple of 8.
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data[8 + length :]
