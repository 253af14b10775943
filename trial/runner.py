"""A copy of Node's side whose JavaScript can be changed: the program that runs a bundle."""

import shutil
from pathlib import Path

from trial.places import ROOT

SKIPPED = shutil.ignore_patterns("node_modules", "__pycache__")


class Runner:
    """node_bridge/ and the judge's Node programs in a directory of their own."""

    def __init__(self, place: Path) -> None:
        """Copies both; Node's packages are linked."""
        self.root = place
        shutil.copytree(ROOT / "node_bridge", place / "node_bridge", ignore=SKIPPED)
        (place / "parity_tests").mkdir()
        for file in sorted((ROOT / "parity_tests").glob("*.js")):
            shutil.copy(file, place / "parity_tests" / file.name)
        shutil.copy(ROOT / "package.json", place / "package.json")
        (place / "node_modules").symlink_to((ROOT / "node_modules").resolve())

    @property
    def program(self) -> Path:
        """The program that a judge starts."""
        return self.root / "parity_tests" / "run_node.js"

    def edit(self, file: str, old: str, new: str) -> str:
        """Changes the one place in a file that reads so; says what was changed."""
        path = self.root / file
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{file}: {old!r} stands there {text.count(old)} times, not 1"
        path.write_text(text.replace(old, new), encoding="utf-8")
        return f"{file}: `{old.strip()}` became `{new.strip()}`"
