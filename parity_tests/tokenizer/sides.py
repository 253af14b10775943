"""The two sides of the proof: each takes texts and returns ids.

Only this file of the proof knows the Python references and the Node process.
"""

import json
import struct
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np

from export.tokenizer import TokenizerSpec, Vocab, make_reference
from export.tokenizer.reference import FlatIds
from support.node import find_node

SERVER = Path(__file__).with_name("serve.js")


class TokenizerProcess:
    """A long-running Node process with tokenizers; its program is serve.js."""

    def __enter__(self) -> "TokenizerProcess":
        """Starts Node."""
        self._process = subprocess.Popen(
            [find_node(), str(SERVER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._in: IO[bytes] = self._process.stdin
        self._out: IO[bytes] = self._process.stdout
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends Node."""
        self._in.close()
        self._process.wait()

    def load(self, spec: TokenizerSpec, vocab: Vocab, tables: Path) -> None:
        """Makes the tokenizer that the other methods use."""
        contract = {
            "algorithm": spec.algorithm,
            "options": spec.options,
            "vocab_size": len(vocab.tokens),
            "special_tokens": {role: asdict(token) for role, token in vocab.special.items()},
        }
        self._ask({"op": "load", "tables": str(tables), "contract": contract}, vocab.raw)

    def flat(self, texts: Sequence[str], **options: Any) -> FlatIds:
        """Returns the ids of each text."""
        encoded = [text.encode() for text in texts]
        lengths = np.array([len(text) for text in encoded], np.uint32)
        header = {"op": "encode", "count": len(encoded), **options}
        answer = self._ask(header, lengths.tobytes() + b"".join(encoded))
        counts = np.frombuffer(answer, np.uint32, len(encoded))
        splits = np.zeros(len(encoded) + 1, np.int64)
        np.cumsum(counts, out=splits[1:])
        return FlatIds(np.frombuffer(answer, np.int32, offset=4 * len(encoded)), splits)

    def with_types(
        self, texts: Sequence[str], pairs: Sequence[str], special_tokens: bool, limit: int
    ) -> list[tuple[list[int], list[int]]]:
        """Returns ids and token type ids of pairs.

        Args:
            texts: the first texts.
            pairs: the second texts.
            special_tokens: whether to add [CLS] and [SEP].
            limit: of positions; pairs are cut to it.
        """
        encoded = [text.encode() for text in [*texts, *pairs]]
        lengths = np.array([len(text) for text in encoded], np.uint32)
        header = {
            "op": "pairs",
            "count": len(texts),
            "specialTokens": special_tokens,
            "maxLength": limit,
        }
        answer = np.frombuffer(self._ask(header, lengths.tobytes() + b"".join(encoded)), np.int32)
        counts, values = answer[: len(texts)], answer[len(texts) :]
        ids, types = np.split(values, 2)
        ends = np.cumsum(counts)[:-1]
        rows = zip(np.split(ids, ends), np.split(types, ends), strict=True)
        return [(row.tolist(), kinds.tolist()) for row, kinds in rows]

    def symbols(self, code_point: int) -> list[int]:
        """Returns the symbols of a character in the loaded tables."""
        answer: list[int] = json.loads(self._ask({"op": "symbols", "code_point": code_point}))
        return answer

    def details(self, text: str, **options: Any) -> dict[str, Any]:
        """Returns `ids`, `typeIds`, `tokens` and `offsets` of one text (`pair=…` for two)."""
        header = {"op": "details", "text": text, "options": options}
        answer: dict[str, Any] = json.loads(self._ask(header))
        return answer

    def _ask(self, header: dict[str, Any], payload: bytes = b"") -> bytes:
        text = json.dumps(header).encode()
        self._in.write(struct.pack("<I", len(text)) + text + struct.pack("<I", len(payload)))
        self._in.write(payload)
        self._in.flush()
        header = json.loads(self._block())
        answer = self._block()
        if "error" in header:
            raise RuntimeError(f"Node: {header['error']}")
        return answer

    def _block(self) -> bytes:
        head = self._out.read(4)
        if len(head) < 4:
            raise RuntimeError("Node ended in the middle of an answer")
        (length,) = struct.unpack("<I", head)
        return self._out.read(length)


class TokenizerPair:
    """One tokenizer on both sides, with one vocab."""

    def __init__(
        self,
        node_side: TokenizerProcess,
        spec: TokenizerSpec,
        vocab: Vocab,
        tables: Path,
        interpreter: Path | None = None,
    ):
        """Loads both sides.

        Args:
            node_side: the Node process.
            spec: algorithm and options.
            vocab: of the tokenizer.
            tables: the file of Node's tables.
            interpreter: the Python whose library is the reference; None: this one.
        """
        self.spec = spec
        self.vocab = vocab
        self.node = node_side
        self.interpreter = interpreter
        self.python = make_reference(spec, vocab, interpreter)
        node_side.load(spec, vocab, tables)

    def differences(self, texts: Sequence[str]) -> list[int]:
        """Returns the indices of the texts whose ids differ."""
        expected, got = self.python.flat(texts), self.node.flat(texts)
        if np.array_equal(expected.splits, got.splits):
            unequal = np.flatnonzero(expected.values != got.values)
            rows = np.searchsorted(expected.splits, unequal, side="right") - 1
            return sorted(set(rows.tolist()))
        pairs = zip(expected.rows(), got.rows(), strict=True)
        return [i for i, (a, b) in enumerate(pairs) if a != b]

    def ids(self, text: str) -> tuple[list[int], list[int]]:
        """Returns Python's ids and Node's."""
        return self.python.flat([text]).rows()[0], self.node.flat([text]).rows()[0]
