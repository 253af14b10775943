"""Builds the binding in its own folder: installs npm's packages, then compiles two libraries."""

import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from support import ROOT
from support.atomic import new_directory
from support.errors import EnvironmentProblem
from support.printing import Say
from support.progress import timed_step
from support.sha256 import code_sha256

# Finding this environment's TensorFlow without importing it.

# The names of the libraries in TensorFlow's package; the first has the C API.
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
        """The folder of the C API's headers."""
        return self.directory / "include"


def find_tensorflow() -> TensorFlow:
    """Finds the TensorFlow that `import tensorflow` would load.

    Raises:
        EnvironmentProblem: there is none, or its libraries or headers are missing.
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


# The stamp: what a binding was built from, in `built.json` beside it.
#
# node_bridge/backends/tfjs_node.js reads it to report what has changed since then.

NATIVE_FOLDER = Path(__file__).parent
HOME = ROOT / ".nox" / "native"
STAMP_FILE = "built.json"
# The Node-API that tfjs-node looks for; every Node since 12.22 has it.
NODE_API = 8


def make_stamp(tensorflow: TensorFlow) -> dict[str, Any]:
    """Returns the stamp of a binding that is built now."""
    library = tensorflow.libraries[0]
    return {
        "tensorflow": tensorflow.version,
        "library": str(library),
        "library_size": library.stat().st_size,
        "system": f"{sys.platform}-{platform.machine()}",
        "node_api": NODE_API,
        "recipe": _recipe_sha256(),
    }


def _recipe_sha256() -> str:
    """Returns the sha256 of this file and of all that it compiles."""
    packages = sorted((NATIVE_FOLDER / "packages").rglob("*"))
    files = [NATIVE_FOLDER / "build.py", NATIVE_FOLDER / "quiet.cc", *packages]
    return code_sha256(NATIVE_FOLDER, [file for file in files if file.is_file()])


def read_stamp(home: Path) -> dict[str, Any]:
    """Returns the stamp of the binding in `home`; empty if there is none."""
    try:
        found: dict[str, Any] = json.loads((home / STAMP_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def write_stamp(home: Path, content: dict[str, Any]) -> None:
    """Writes the stamp: the last step of a build, which marks the binding as complete."""
    (home / STAMP_FILE).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


COMPILERS = ("c++", "g++", "clang++")
INSTALL_COMPILER = "Debian: apt install g++, macOS: xcode-select --install"
OFFLINE = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENOTCACHED")
TFJS_NODE = Path("node_modules", "@tensorflow", "tfjs-node")
# Node's symbols are resolved when Node loads the library, so the linker must allow them.
COMPILER_FLAGS = ["-shared", "-fPIC", "-std=c++17", "-O2", f"-DNAPI_VERSION={NODE_API}"]
COMPILER_FLAGS += ["-undefined", "dynamic_lookup"] if sys.platform == "darwin" else []


def build(tensorflow: TensorFlow, home: Path, say: Say) -> None:
    """Replaces `home` by a new build, completely or not at all.

    Args:
        tensorflow: the TensorFlow to link with.
        home: the folder of the binding.
        say: prints a progress message.

    Raises:
        EnvironmentProblem: no compiler, no npm, no network, or the compiler fails.
    """
    compile_with = find_compiler()
    with new_directory(home) as directory:
        shutil.copytree(NATIVE_FOLDER / "packages", directory, dirs_exist_ok=True)
        with timed_step("[1/2] tfjs-node 4.22.0, without its own TensorFlow (9 MB)", say):
            install_packages(directory)
        with timed_step(f"[2/2] its binding against TensorFlow {tensorflow.version}", say):
            _compile_binding(compile_with, tensorflow, directory)
        write_stamp(directory, make_stamp(tensorflow))


def find_compiler() -> str:
    """Finds the C++ compiler: the one in CXX, or the first of COMPILERS that is installed.

    Raises:
        EnvironmentProblem: none is found.
    """
    wanted = [os.environ["CXX"]] if os.environ.get("CXX") else list(COMPILERS)
    found = next((path for path in map(shutil.which, wanted) if path), None)
    if found is None:
        raise EnvironmentProblem(
            f"no C++ compiler is found ({', '.join(wanted)}); install one ({INSTALL_COMPILER}) "
            "or name it in the variable CXX"
        )
    return found


def install_packages(directory: Path) -> None:
    """Installs the packages of package-lock.json in a directory, without their scripts.

    Raises:
        EnvironmentProblem: npm is missing, or could not get the packages.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise EnvironmentProblem("npm is missing; install Node.js 20.19, 22.12 or newer")
    quiet = ["--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund", "--no-progress"]
    done = _run_captured([npm, "ci", *quiet], directory)
    if done.returncode == 0:
        return
    reason = first_line(done.stderr, "npm error")
    if any(word in done.stderr for word in OFFLINE):
        raise EnvironmentProblem(
            f"npm cannot reach its registry ({reason}); connect to the network once, "
            "or set npm's `registry` or `proxy` to one that answers"
        )
    raise EnvironmentProblem(f"npm could not install tfjs-node: {reason}")


def _compile_binding(program: str, tensorflow: TensorFlow, directory: Path) -> None:
    """Compiles tfjs-node's binding, linked with the installed TensorFlow, and `quiet.node`.

    Raises:
        EnvironmentProblem: the compiler fails.
    """
    package = directory / TFJS_NODE
    binding = package / "lib" / f"napi-v{NODE_API}" / "tfjs_binding.node"
    binding.parent.mkdir(parents=True)
    headers = ["-I", str(directory / "node_modules" / "node-api-headers" / "include")]
    theirs = ["-I", str(package), "-I", str(tensorflow.include)]
    sources = [str(file) for file in sorted((package / "binding").glob("*.cc"))]
    libraries = [*map(str, tensorflow.libraries), f"-Wl,-rpath,{tensorflow.directory}"]
    command = [
        program,
        *COMPILER_FLAGS,
        *headers,
        *theirs,
        *sources,
        *libraries,
        "-o",
        str(binding),
    ]
    _require_success(_run_captured(command, directory), program)
    define = f'-DTENSORFLOW="{tensorflow.libraries[0]}"'
    quiet = [str(NATIVE_FOLDER / "quiet.cc"), "-ldl", "-o", str(directory / "quiet.node")]
    _require_success(
        _run_captured([program, *COMPILER_FLAGS, *headers, define, *quiet], directory), program
    )


def _run_captured(command: list[str], directory: Path) -> subprocess.CompletedProcess[str]:
    """Runs a program and captures its output."""
    options: dict[str, Any] = {"capture_output": True, "text": True, "errors": "replace"}
    return subprocess.run(command, cwd=directory, check=False, **options)


def _require_success(done: subprocess.CompletedProcess[str], program: str) -> None:
    """Checks that the compiler succeeded.

    Raises:
        EnvironmentProblem: it failed; the message has its first error.
    """
    if done.returncode != 0:
        raise EnvironmentProblem(
            f"{program} could not compile tfjs-node's binding: {first_line(done.stderr, 'error')}; "
            "it needs a compiler that knows C++17, another one can be named in the variable CXX"
        )


def first_line(text: str, mark: str) -> str:
    """Returns the first line that contains `mark`, else the last line."""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    return next((line for line in lines if mark in line), (lines or ["it said nothing"])[-1])
