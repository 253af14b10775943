"""Finds Node."""

import os
import shutil

from support.errors import EnvironmentProblem


def find_node(consequence: str = "") -> str:
    """Returns the Node to run: `node` on the PATH, or the value of NODE.

    Args:
        consequence: what is not done without it, after "is not found".

    Raises:
        EnvironmentProblem: there is none.
    """
    wanted = os.environ.get("NODE", "node")
    found = shutil.which(wanted)
    if found is None:
        raise EnvironmentProblem(
            f"{wanted} is not found{consequence}; install Node.js 20.19, 22.12 or newer, or set "
            "NODE to its path"
        )
    return found
