"""The two sides of the proof behind one face each: texts in, ids out.

This is the one file of the proof that knows the Python references and the Node process.
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
from parity_tests.runners.runners import find_node

SERVER = Path(__file__).with_name("serve.js")


class TokenizerProcess:
    """One long-running Node process; serve.js is its other end."""

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
        """Makes the tokenizer that `flat` then asks."""
        contract = {
            "algorithm": spec.algorithm,
            "options": spec.options,
            "vocab_size": len(vocab.tokens),
            "special_tokens": {role: asdict(token) for role, token in vocab.special.items()},
        }
        self._ask({"op": "load", "tables": str(tables), "contract": contract}, vocab.raw)

    def flat(self, texts: Sequence[str], **options: Any) -> FlatIds:
        """The ids of each text."""
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
        """Ids and token type ids of pairs, cut to `limit`."""
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
        """What the loaded tables make of a character."""
        answer: list[int] = json.loads(self._ask({"op": "symbols", "code_point": code_point}))
        return answer

    def details(self, text: str, **options: Any) -> dict[str, Any]:
        """`ids`, `typeIds`, `tokens` and `offsets` of one text (`pair=…` for two)."""
        header = {"op": "details", "text": text, "options": options}
        answer: dict[str, Any] = json.loads(self._ask(header))
        return answer

    def _ask(self, header: dict[str, Any], payload: bytes = b"") -> bytes:
        text = json.dumps(header).encode()
        self._in.write(struct.pack("<I", len(text)) + text + struct.pack("<I", len(payload)))
        self._in.write(payload)
        self._in.flush()
        said = json.loads(self._block())
        answer = self._block()
        if "error" in said:
            raise RuntimeError(f"Node: {said['error']}")
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
        """Loads both; `interpreter` is the Python whose library is the reference, None: this."""
        self.spec = spec
        self.vocab = vocab
        self.node = node_side
        self.interpreter = interpreter
        self.python = make_reference(spec, vocab, interpreter)
        node_side.load(spec, vocab, tables)

    def differences(self, texts: Sequence[str]) -> list[int]:
        """The places of the texts whose ids differ."""
        expected, got = self.python.flat(texts), self.node.flat(texts)
        if np.array_equal(expected.splits, got.splits):
            unequal = np.flatnonzero(expected.values != got.values)
            rows = np.searchsorted(expected.splits, unequal, side="right") - 1
            return sorted(set(rows.tolist()))
        pairs = zip(expected.rows(), got.rows(), strict=True)
        return [i for i, (a, b) in enumerate(pairs) if a != b]

    def ids(self, text: str) -> tuple[list[int], list[int]]:
        """Python's ids and Node's."""
        return self.python.flat([text]).rows()[0], self.node.flat([text]).rows()[0]
