"""Changes a bundle and writes its contract anew, so that it proves itself as the true one does."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


def edit(file: Path, change: Callable[[Any], None]) -> None:
    """Changes a JSON file."""
    document = json.loads(file.read_text(encoding="utf-8"))
    change(document)
    file.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")


def reseal(bundle: Path, contract_name: str = "bundle.json") -> None:
    """Writes every size and sha256 of the contract anew; `classifier.json` is one too."""

    def anew(contract: Any) -> None:
        for name in contract["files"]:
            data = (bundle / name).read_bytes()
            sha256 = hashlib.sha256(data).hexdigest()
            contract["files"][name] = {"sha256": sha256, "size": len(data)}

    edit(bundle / contract_name, anew)


def alter_line(vocab: Path, token: str, other: str) -> None:
    """Puts another token in the place of one line of a vocab file."""
    lines = vocab.read_bytes().split(b"\n")
    lines[lines.index(token.encode())] = other.encode()
    vocab.write_bytes(b"\n".join(lines))
