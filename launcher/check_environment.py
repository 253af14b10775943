"""Checks whether this Python has the packages of `locks/python.in`: for BERT_BRIDGE_PYTHON.

It runs on any Python 3 that a person names, so it imports nothing of the project. Prints a note for
each package of another version, and ends with exit code 3 where a package is missing.
"""

import re
import sys
from importlib import metadata
from pathlib import Path

LOCKS = Path(__file__).resolve().parents[1] / "locks"
DEVELOPMENT = "# Tests and checks."
"""In python.in: what follows is for the project's own tests."""


def read_requirements(text: str) -> "dict[str, str | None]":
    r"""Returns the needed version of each package by its name; None: any.

    >>> read_requirements("numpy==2.4.6\n# why\nsetuptools<81\n# Tests and checks.\npytest==9")
    {'numpy': '2.4.6', 'setuptools': None}
    """
    lines = text.partition(DEVELOPMENT)[0].splitlines()
    found = [re.match(r"([\w.-]+)(?:==([\w.]+))?", line) for line in lines]
    return {match[1]: match[2] for match in found if match}


def main() -> int:
    """Prints what is missing or different, and returns the exit code."""
    name = f"{sys.executable} (Python {sys.version.split()[0]})"
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        wanted = "expected Python 3.11, 3.12 or 3.13"
        print(f"error: got {name} in BERT_BRIDGE_PYTHON, {wanted}", file=sys.stderr)
        return 3
    missing, different = [], []
    for package, version in read_requirements((LOCKS / "python.in").read_text("utf-8")).items():
        try:
            got = metadata.version(package)
        except metadata.PackageNotFoundError:
            missing.append(package if version is None else f"{package} {version}")
            continue
        if version not in (None, got):
            different.append(f"{package} {got} (tested with {version})")
    if missing:
        lock = LOCKS / "python.txt"
        print(
            f"error: {name}, named in BERT_BRIDGE_PYTHON, lacks {', '.join(missing)}; install them "
            f"there with `{sys.executable} -m pip install --no-deps --require-hashes -r {lock}`, "
            "or unset the variable",
            file=sys.stderr,
        )
        return 3
    if different:
        print(f"note: {name} has {', '.join(different)}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
