"""Every command of the project as a nox session; `nox -l` lists them.

All sessions share one environment, which uv makes from locks/python.txt: TensorFlow has 2 GB.
`conformance` has two more, with independent BERTs: one on torch, and a small one that reuses the
shared environment's TensorFlow. `pretrain -- --evaluate` has a small one with scikit-learn.
"""

import atexit
import hashlib
import os
import re
import shutil
import sys
from pathlib import Path
from typing import NoReturn

import nox
from nox.command import CommandFailed

ROOT = Path(__file__).parent
sys.path.insert(0, str(ROOT))  # nox runs this file, but does not find what is beside it

from launcher.environments import is_complete, make_environment, program_of  # noqa: E402
from support.errors import EnvironmentProblem  # noqa: E402

nox.needs_version = ">=2024.4.15"
nox.options.default_venv_backend = "none"
nox.options.sessions = ["export", "train", "parity"]

LAYERED = ("publishers", "regression")
"""Environments over the shared one, whose packages they import too."""
MAX_PARALLEL_TESTS = 4
"""The most tests that run at once, on any number of cores: each may take 2 GB."""
USER, ENVIRONMENT = 2, 3
"""Exit codes: a mistake in the arguments, and a machine that lacks something."""


@nox.session
def export(session: nox.Session) -> None:
    """Make the embedded default under artifacts/, or run `python -m export ARGS`."""
    node_packages(session)
    python(session, "-m", "export", *session.posargs)


@nox.session
def train(session: nox.Session) -> None:
    """Train the text classifier in Node; without ARGS the default one, even if it exists."""
    if not session.posargs and not (ROOT / "artifacts" / "bundle").exists():
        embedded(session)
    node(session, "node_bridge/train.js", *(session.posargs or ["--force"]))


@nox.session
def parity(session: nox.Session) -> None:
    """Compare Python and Node on the same cases → artifacts/parity/report.{html,json,xml}."""
    node_packages(session)
    if not any(option.startswith(("--bundle", "--model")) for option in session.posargs):
        embedded(session)
    python(session, "-m", "parity_tests", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Run every test of both sides; ARGS go to pytest, which then runs alone."""
    node_packages(session)
    embedded(session)
    if session.posargs:
        python(session, "-m", "pytest", *session.posargs)
    else:
        # Most of a test waits for one core: TensorFlow's import, Node's start.
        cores = str(min(os.cpu_count() or 1, MAX_PARALLEL_TESTS))
        python(session, "-m", "pytest", "-n", cores, "--dist", "loadfile")
        files = sorted(str(p) for p in (ROOT / "tests" / "node").glob("*.test.js"))
        node(session, "--test", f"--test-concurrency={cores}", *files)
    if not (ROOT / ".nox" / "native").exists():
        session.warn("the native backend was NOT TESTED: `nox -s native` builds it")


@nox.session(default=False)
def quick(session: nox.Session) -> None:
    """Run the tests that need neither TensorFlow nor a bundle, in under a minute."""
    refuse_arguments(session)
    node_packages(session)
    folder = ROOT / "tests"
    # Named here, so that pytest does not import the other files, which takes longer than the tests.
    marked = [str(p) for p in folder.glob("python/test_*.py") if "pytest.mark.quick" in read(p)]
    needs_bundle = re.compile("artifacts|toy_bundle|native_here")
    files = [str(p) for p in folder.glob("node/*.test.js") if not needs_bundle.search(read(p))]
    cores = str(min(os.cpu_count() or 1, MAX_PARALLEL_TESTS))
    parallel = ["-n", cores, "--dist", "loadfile"]
    python(session, "-m", "pytest", *parallel, "-m", "quick", *sorted(marked))
    node(session, "--test", f"--test-concurrency={cores}", "--test-reporter=dot", *sorted(files))


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, types, import rules and dead code of both sides."""
    refuse_arguments(session)
    node_packages(session)
    python(session, "-m", "ruff", "check", ".")
    python(session, "-m", "ruff", "format", "--check", ".")
    python(session, "-m", "mypy")
    python(session, "-c", "from importlinter.cli import lint_imports_command as lint; lint()")
    python(session, "-m", "vulture")
    node(session, "node_modules/@biomejs/biome/bin/biome", "check", ".")
    node(session, "node_modules/typescript/bin/tsc", "-p", ".")
    folders = ["node_bridge", "launcher", "parity_tests", "fault_injection", "bench", "tests/node"]
    node(session, "node_modules/dependency-cruiser/bin/dependency-cruise.mjs", *folders)
    node(session, "node_modules/knip/bin/knip.js")


@nox.session(default=False)
def native(session: nox.Session) -> None:
    """Build the native backend against Python's TensorFlow, in 15 s; run the golden cases."""
    node_packages(session)
    python(session, "-m", "native", *session.posargs)
    embedded(session)
    bundle = str(ROOT / "artifacts" / "bundle" / "albert_tiny")
    node(session, "node_bridge/verify.js", "--bundle", bundle, "--backend", "native")


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Compare the speed with other libraries → artifacts/bench.{json,svg}; ARGS to the bench."""
    node_packages(session)
    embedded(session)
    session.env["UV"] = uv(session)  # the bench installs its peers by itself, when first wanted
    python(session, "-m", "bench", *session.posargs)


@nox.session(default=False)
def conformance(session: nox.Session) -> None:
    """Test the catalog's models and publishers' own in Node → artifacts/conformance.json.

    `nox -s conformance -- --publishers` tests the publishers' models only: small models and
    fine-tuned classifiers that the publishers' own code makes and runs.
    """
    node_packages(session)
    pythons = ["--judge", str(environment(session, "judge"))]
    pythons += ["--publishers-python", str(environment(session, "publishers"))]
    python(session, "-m", "parity_tests.conformance", *pythons, *session.posargs)


@nox.session(default=False)
def finetune(session: nox.Session) -> None:
    """Train with the encoder frozen and updated, in Python and Node → artifacts/finetune.json."""
    node_packages(session)
    embedded(session)
    python(session, "-m", "parity_tests.finetune", *session.posargs)


@nox.session(default=False)
def pretrain(session: nox.Session) -> None:
    """Train the default's weights, 2.5 hours in pieces; `-- --evaluate` measures them."""
    arguments = list(session.posargs)
    if "--evaluate" in arguments:
        node_packages(session)
        arguments += ["--regression-python", str(environment(session, "regression"))]
    python(session, "-m", "pretrain", *arguments)


@nox.session(default=False)
def faults(session: nox.Session) -> None:
    """Inject faults; parity must find each of them → artifacts/faults.json."""
    node_packages(session)
    embedded(session)
    python(session, "-m", "fault_injection", *session.posargs)


@nox.session(default=False)
def attack(session: nox.Session) -> None:
    """Run every command with hostile and damaged files → artifacts/attack.json."""
    node_packages(session)
    embedded(session)
    python(session, "-m", "tests.hostile", *session.posargs)


@nox.session(default=False)
def release(session: nox.Session) -> None:
    """Build the npm package and the wheel, check both → dist/; publishes nothing."""
    session.env["UV"] = uv(session)
    python(session, "-m", "release", *session.posargs)


@nox.session(default=False)
def bundlers(session: nox.Session) -> None:
    """Bundle a program with webpack and vite; it must predict as the plain one does."""
    refuse_arguments(session)
    embedded(session)
    node(session, "tests/bundlers/run.js")


@nox.session(default=False)
def lock(session: nox.Session) -> None:
    """Compile the lock files from their .in files."""
    refuse_arguments(session)
    common = ["--universal", "--generate-hashes", "--no-header", "--no-emit-index-url"]
    common += ["--python-version", "3.11", "--upgrade", "--quiet"]
    overrides = ["--override", "locks/overrides.txt"]
    alone = ["--no-deps"]
    extras = {"python": overrides, "judge": [], "tools": []}
    extras |= {"onnx": alone, "publishers": alone, "regression": alone}
    for name, extra in extras.items():
        files = [f"locks/{name}.in", "-o", f"locks/{name}.txt"]
        run(session, uv(session), "pip", "compile", *common, *extra, *files)


def uv(session: nox.Session) -> str:
    """Returns the path of uv, which installs packages: beside nox, or on the PATH."""
    neighbour = Path(sys.executable).parent / "uv"
    found = str(neighbour) if neighbour.exists() else shutil.which("uv")
    return found or refuse(session, "uv is missing; `npm start` brings it, or `pip install uv`")


def python(session: nox.Session, *arguments: str, result: bool = True) -> None:
    """Runs Python in the shared environment; makes or updates the environment first."""
    run(session, str(environment(session, "python")), *arguments, result=result)


def embedded(session: nox.Session) -> None:
    """Makes the embedded default under artifacts/, which the session needs."""
    python(session, "-m", "export", result=False)


def environment(session: nox.Session, name: str) -> Path:
    """Makes or updates the environment of locks/NAME.txt; returns the path of its Python."""
    home = ROOT / ".nox" / name
    if not is_complete(name, home):
        shared = environment(session, "python") if name in LAYERED else None
        try:
            make_environment(name, home, Path(uv(session)), session.log, shared)
        except EnvironmentProblem as problem:
            refuse(session, str(problem))
    return program_of(home)


def node_packages(session: nox.Session) -> None:
    """Installs Node's packages as package-lock.json has them, unless they are up to date."""
    wanted = hashlib.sha256((ROOT / "package-lock.json").read_bytes()).hexdigest()
    stamp = ROOT / "node_modules" / "locked.sha256"
    if not stamp.exists() or stamp.read_text() != wanted:
        npm = shutil.which("npm") or refuse(session, "npm is missing; install Node.js")
        run(session, npm, "ci", "--no-audit", "--no-fund", result=False)
        stamp.write_text(wanted)


def node(session: nox.Session, *arguments: str) -> None:
    """Runs Node with its packages installed."""
    node_packages(session)
    program = shutil.which("node") or refuse(session, "node is missing; install Node.js")
    run(session, program, *arguments)


def run(session: nox.Session, *command: str, result: bool = True) -> None:
    """Runs a program; where it fails, nox ends with the program's exit code.

    By default nox writes a program's stderr to stdout, where others read `--json`, and always ends
    with 1.

    Args:
        session: the session.
        command: the program and its arguments.
        result: whether its stdout is the session's result; if not, it goes to stderr.
    """
    stdout = None if result else sys.stderr
    try:
        session.run(*command, external=True, stdout=stdout, stderr=sys.stderr)
    except CommandFailed as failed:
        set_exit_code(getattr(failed, "return_code", None) or 1)
        raise


def refuse(session: nox.Session, problem: str, code: int = ENVIRONMENT) -> NoReturn:
    """Ends the session with an error; by default because this machine lacks something."""
    set_exit_code(code)
    session.error(problem)


def read(file: Path) -> str:
    """The text of a source file."""
    return file.read_text(encoding="utf-8")


def refuse_arguments(session: nox.Session) -> None:
    """Ends the session if it got arguments: it takes none."""
    if session.posargs:
        refuse(session, f"expected no arguments, got {' '.join(session.posargs)}", USER)


EXIT_CODES: list[int] = []
"""Exit codes of the programs that failed, in order."""


def set_exit_code(code: int) -> None:
    """Makes nox end with this exit code, after its own messages; the first call counts."""
    EXIT_CODES.append(code)
    if len(EXIT_CODES) == 1:
        atexit.register(exit_now)


def exit_now() -> None:
    """Ends this process with the first exit code; `sys.exit` has no effect at this point."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(EXIT_CODES[0])
