"""What every Python folder needs, from errors and options to the file formats of a bundle."""

import os
from pathlib import Path

ROOT = Path(__file__).parents[1]
"""The directory of the project."""


def python_path() -> str:
    """Returns PYTHONPATH for another Python process: the project, then what is in it already."""
    return os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
