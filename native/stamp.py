"""What a binding was built of and against, in `built.json` beside it.

node_bridge/backends/tfjs_node.js reads it, to say what has changed since.
"""

import hashlib
import json
import platform
import sys
from pathlib import Path
from typing import Any

from native.tensorflow import TensorFlow

ROOM = Path(__file__).parent
HOME = ROOM.parent / ".nox" / "native"
STAMP = "built.json"
# The Node-API that tfjs-node looks for; every Node since 12.22 has it.
NODE_API = 8


def stamp(tensorflow: TensorFlow) -> dict[str, Any]:
    """What a binding that is built now is built of."""
    library = tensorflow.libraries[0]
    return {
        "tensorflow": tensorflow.version,
        "library": str(library),
        "library_size": library.stat().st_size,
        "system": f"{sys.platform}-{platform.machine()}",
        "node_api": NODE_API,
        "recipe": recipe(),
    }


def recipe() -> str:
    """The sha256 of what is built and how."""
    whole = hashlib.sha256()
    for file in [ROOM / "build.py", ROOM / "quiet.cc", *sorted((ROOM / "packages").rglob("*"))]:
        if file.is_file():
            whole.update(f"{file.relative_to(ROOM).as_posix()}\0".encode() + file.read_bytes())
    return whole.hexdigest()


def earlier(home: Path) -> dict[str, Any]:
    """What the binding in `home` was built of; nothing where there is none."""
    try:
        found: dict[str, Any] = json.loads((home / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def write(home: Path, content: dict[str, Any]) -> None:
    """Puts the stamp there, which makes a binding whole: the last step of building."""
    (home / STAMP).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
