"""Builds the npm package and the wheel, checks both in empty environments, says what to publish.

Writes dist/: the two packages, an SBOM of each side (CycloneDX), and provenance.json with the
commit, the tools and the sha256 of each file. It publishes nothing.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from support import ROOT
from support.atomic import new_directory, write_json
from support.command_line import OptionParser, command
from support.errors import CheckFailed, EnvironmentProblem, UserError
from support.node import find_node, last_line
from support.printing import say
from support.sha256 import file_sha256

EXAMPLE = """examples:
  python -m release                 dist/ of a clean working tree
  python -m release --try           before the changelog and the commit are ready

exit codes: 0 built and checked, 1 a package does not work, 2 a mistake, 3 this machine,
70 a defect of the program (BERT_BRIDGE_DEBUG=1 shows its stack)
"""
PROVENANCE = "provenance.json"
SBOM_TOOL = ("cyclonedx-bom==7.5.0", "cyclonedx-py")
"""The maintained writer of SBOMs from a requirements file, which uv runs without installing."""


@command()
def main(arguments: list[str] | None = None) -> int:
    """Builds, checks and lists; returns the exit code."""
    options = _parse_options(arguments)
    version = check_versions(ROOT, options.is_trial)
    commit = _read_commit(options.is_trial)
    out: Path = options.out
    if out.exists() and any(out.iterdir()) and not (out / PROVENANCE).exists():
        raise UserError(f"{out} has other files than those of a release; give --out another place")
    uv = os.environ.get("UV") or shutil.which("uv") or _lacking("uv")
    npm = shutil.which("npm") or _lacking("npm")
    with new_directory(out) as partial:
        _build(partial, version, npm, uv)
        write_provenance(partial, version, commit, (npm, uv))
    for line in _publishing_lines(out, version):
        print(line)
    return 0


def _build(out: Path, version: str, npm: str, uv: str) -> None:
    """Builds and checks both packages, and writes their SBOMs.

    Args:
        out: an empty directory.
        version: of the release.
        npm: the program.
        uv: the program.

    Raises:
        CheckFailed: a package does not work.
        EnvironmentProblem: a program failed.
    """
    say("packing the npm package")
    _run([npm, "pack", "--pack-destination", str(out)])
    say("building the wheel")
    _run([uv, "build", "--quiet", "--wheel", "--out-dir", str(out), "."])
    (out / ".gitignore").unlink(missing_ok=True)  # uv's
    say("installing both in empty environments")
    with tempfile.TemporaryDirectory(prefix="release-") as scratch:
        check_npm_package(npm, out / package_name(version), Path(scratch), version)
        check_wheel(uv, out / wheel_name(version), Path(scratch), version)
    say("writing the SBOMs")
    npm_options = ["--sbom-format", "cyclonedx", "--omit", "dev", "--package-lock-only"]
    sbom = _run([npm, "sbom", *npm_options])
    (out / "sbom.npm.cdx.json").write_text(sbom, encoding="utf-8")
    _run(
        [uv, "tool", "run", "--from", *SBOM_TOOL, "requirements", "locks/python.txt"]
        + ["--output-reproducible", "-o", str((out / "sbom.python.cdx.json").absolute())]
    )


def package_name(version: str) -> str:
    """Returns the name of the npm package's file."""
    return f"bert-bridge-{version}.tgz"


def wheel_name(version: str) -> str:
    """Returns the name of the wheel."""
    return f"bert_bridge-{version}-py3-none-any.whl"


def _parse_options(arguments: list[str] | None) -> argparse.Namespace:
    """Parses the options."""
    parser = OptionParser(prog="python -m release", description=__doc__, epilog=EXAMPLE)
    parser.add_argument("--out", type=Path, default=Path("dist"), help="default: dist")
    parser.add_argument(
        "--try",
        dest="is_trial",
        action="store_true",
        help="although files differ from the commit, or the changelog lacks the version",
    )
    return parser.parse_args(arguments)


def check_versions(root: Path, is_trial: bool = False) -> str:
    """Returns the version, which package.json, its lock, pyproject.toml and the changelog share.

    Args:
        root: of the project.
        is_trial: whether the changelog may lack it.

    Raises:
        UserError: two of them differ, or the changelog has no section of this version.
    """
    package = json.loads((root / "package.json").read_text("utf-8"))["version"]
    lock = json.loads((root / "package-lock.json").read_text("utf-8"))["version"]
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    if not package == lock == project:
        raise UserError(
            f"got version {package} in package.json, {lock} in package-lock.json and {project} in "
            "pyproject.toml, expected the same one"
        )
    changes = (root / "CHANGELOG.md").read_text("utf-8")
    heading = re.compile(rf"^## \[{re.escape(package)}\] - \d{{4}}-\d\d-\d\d$", re.MULTILINE)
    if not is_trial and not heading.search(changes):
        raise UserError(
            f"CHANGELOG.md has no section `## [{package}] - YYYY-MM-DD`; give what is under "
            "[Unreleased] this heading"
        )
    return str(package)


def _read_commit(is_trial: bool) -> str:
    """Returns the commit of the working tree.

    Raises:
        UserError: files differ from it.
    """
    changed = _run(["git", "status", "--porcelain"]).splitlines()
    if changed and not is_trial:
        raise UserError(
            f"{len(changed)} files differ from the commit, the first is {changed[0][3:]}; commit "
            "them, or give --try"
        )
    return _run(["git", "rev-parse", "HEAD"]).strip() + ("-dirty" if changed else "")


def check_npm_package(npm: str, package: Path, scratch: Path, version: str) -> None:
    """Installs the npm package into an empty project and starts its command and its library.

    Args:
        npm: the program.
        package: the packed file.
        scratch: a directory to work in.
        version: that its command must say.

    Raises:
        CheckFailed: it does not work.
    """
    project = scratch / "npm"
    project.mkdir()
    (project / "package.json").write_text('{"private": true, "type": "module"}', "utf-8")
    _run([npm, "install", "--no-audit", "--no-fund", str(package.absolute())], project)
    program = project / "node_modules" / "bert-bridge" / "launcher" / "bert-bridge.js"
    _expect(_run([find_node(), str(program), "--version"], project).strip(), version, package)
    names = "import * as all from 'bert-bridge'; console.log(Object.keys(all).join(' '))"
    said = _run([find_node(), "--input-type=module", "-e", names], project).split()
    for name in ("Bundle", "Classifier", "Encoder", "Tokenizer"):
        _expect(name if name in said else f"no {name}", name, package)


def check_wheel(uv: str, wheel: Path, scratch: Path, version: str) -> None:
    """Installs the wheel into an empty environment and starts its command.

    Args:
        uv: the program.
        wheel: the file.
        scratch: a directory to work in.
        version: that its command must say.

    Raises:
        CheckFailed: it does not work.
    """
    home = scratch / "wheel"
    _run([uv, "venv", "--quiet", "-p", sys.executable, str(home)])
    python = home / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    _run([uv, "pip", "install", "--quiet", "-p", str(python), str(wheel.absolute())])
    cache = {"XDG_CACHE_HOME": str((scratch / "cache").absolute())}
    said = _run([str(python), "-m", "bert_bridge", "--version"], scratch, cache)
    _expect(said.strip(), version, wheel)


def _expect(got: str, expected: str, file: Path) -> None:
    """Fails where an installed package answers something else.

    Raises:
        CheckFailed: it does.
    """
    if got != expected:
        raise CheckFailed(f"{file.name}, installed: got {got!r}, expected {expected!r}")


def write_provenance(out: Path, version: str, commit: str, tools: Iterable[str]) -> None:
    """Writes what each file was made of.

    Args:
        out: the directory of the release.
        version: of the release.
        commit: that was built.
        tools: programs, whose versions are noted.
    """
    files = sorted(path for path in out.iterdir() if path.is_file())
    document: dict[str, Any] = {
        "version": version,
        "commit": commit,
        "tools": {Path(tool).name: _run([tool, "--version"]).strip() for tool in tools}
        | {"node": _run([find_node(), "--version"]).strip(), "python": sys.version.split()[0]},
        "files": {
            path.name: {"sha256": file_sha256(path), "bytes": path.stat().st_size} for path in files
        },
    }
    write_json(out / PROVENANCE, document)


def _publishing_lines(out: Path, version: str) -> list[str]:
    """Returns what a person runs to publish."""
    return [
        f"npm publish {out / package_name(version)} --provenance --access public",
        f"uv publish {out / wheel_name(version)}",
        f"git tag -s v{version} && git push origin v{version}",
        f"attach to the tag's release: {out}/sbom.npm.cdx.json, sbom.python.cdx.json, {PROVENANCE}",
    ]


def _lacking(program: str) -> str:
    """Raises EnvironmentProblem for a missing program."""
    raise EnvironmentProblem(f"{program} is missing; `nox -s release` brings uv, Node.js has npm")


def _run(words: list[str], place: Path = ROOT, variables: dict[str, str] | None = None) -> str:
    """Runs a program; returns its stdout.

    Args:
        words: the program and its arguments.
        place: where it runs.
        variables: further variables.

    Raises:
        EnvironmentProblem: it failed; the message has its last line.
    """
    done = subprocess.run(
        words,
        cwd=place,
        env=os.environ | (variables or {}),
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        name = " ".join([Path(words[0]).name, *words[1:3]])
        raise EnvironmentProblem(f"{name} failed: {last_line(done.stderr or done.stdout)}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
