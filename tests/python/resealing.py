"""Changes a bundle and seals it again, so that its hashes are correct."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


def edit_json(file: Path, change: Callable[[Any], None]) -> None:
    """Changes a JSON file."""
    document = json.loads(file.read_text(encoding="utf-8"))
    change(document)
    file.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")


def reseal(bundle: Path, contract_name: str = "bundle.json") -> None:
    """Updates every size and sha256 in a contract; `classifier.json` is one too."""

    def anew(contract: Any) -> None:
        for name in contract["files"]:
            data = (bundle / name).read_bytes()
            sha256 = hashlib.sha256(data).hexdigest()
            contract["files"][name] = {"sha256": sha256, "size": len(data)}

    edit_json(bundle / contract_name, anew)


def replace_line(vocab: Path, token: str, other: str) -> None:
    """Replaces the token of one line of a vocab file."""
    lines = vocab.read_bytes().split(b"\n")
    lines[lines.index(token.encode())] = other.encode()
    vocab.write_bytes(b"\n".join(lines))
