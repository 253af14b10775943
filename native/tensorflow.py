"""The TensorFlow of this Python environment: found, not imported."""

import importlib.util
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from native.errors import EnvironmentProblem

# The names of the libraries in TensorFlow's own package; the first holds the C API.
LIBRARIES = {
    "linux": ("libtensorflow_cc.so.2", "libtensorflow_framework.so.2"),
    "darwin": ("libtensorflow_cc.2.dylib", "libtensorflow_framework.2.dylib"),
}


@dataclass(frozen=True)
class TensorFlow:
    """One TensorFlow on disk: its version, its folder, its libraries and its headers."""

    version: str
    directory: Path
    libraries: tuple[Path, Path]

    @property
    def include(self) -> Path:
        """Where the headers of its C API lie."""
        return self.directory / "include"


def installed() -> TensorFlow:
    """The one that `import tensorflow` would give.

    Raises:
        EnvironmentProblem: there is none, or one without its libraries or headers.
    """
    names = LIBRARIES.get(sys.platform)
    if names is None:
        raise EnvironmentProblem(
            f"got {sys.platform}, expected Linux or macOS: TensorFlow has no C library for others; "
            "`npm install @tensorflow/tfjs-node` may bring a prebuilt one"
        )
    spec = importlib.util.find_spec("tensorflow")
    if spec is None or not spec.submodule_search_locations:
        raise EnvironmentProblem(f"{sys.prefix} has no TensorFlow; `nox -s export` installs it")
    directory = Path(next(iter(spec.submodule_search_locations)))
    libraries = (directory / names[0], directory / names[1])
    found = TensorFlow(version("tensorflow"), directory, libraries)
    for needed in (*found.libraries, found.include / "tensorflow" / "c" / "c_api.h"):
        if not needed.is_file():
            raise EnvironmentProblem(
                f"{needed} is missing, expected it in TensorFlow {found.version}; "
                "remove .nox/python and run `nox -s export`"
            )
    return found
