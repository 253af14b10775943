"""The command `python -m native`: tfjs-node's binding against this environment's TensorFlow.

It goes to .nox/native. A second run does nothing; another TensorFlow makes it build anew. Where
the project has a prebuilt tfjs-node that works, that one is taken instead.
"""

import json
import os
import shutil
import subprocess
import sys
from typing import Any

from native.build import HOME, NATIVE_FOLDER, build, find_tensorflow, make_stamp, read_stamp
from support.command_line import OptionParser, command
from support.errors import EnvironmentProblem
from support.printing import say

EXAMPLE = """example:
  nox -s native
  node node_bridge/verify.js --bundle artifacts/bundle/albert_tiny --backend native

exit codes: 0 it works, 3 this machine lacks something
"""
CHECK = NATIVE_FOLDER.parent / "node_bridge" / "backends" / "check_native.js"


@command("interrupted; nothing half-built is left")
def main(arguments: list[str] | None = None) -> int:
    """Builds what is missing and says what it did; gives the exit code."""
    parser = OptionParser(
        prog="python -m native",
        description=__doc__,
        epilog=EXAMPLE,
    )
    parser.parse_args(arguments)
    say(build_if_needed())
    return 0


def build_if_needed() -> str:
    """Builds the binding unless one works here already; gives what to say of it.

    Raises:
        EnvironmentProblem: see `installed` and `build`; or what was built does not load.
    """
    there = check_backend()
    if there.get("origin") == "prebuilt":
        return (
            f"{there['package']} is taken, a prebuilt one with TensorFlow {there['tensorflow']}; "
            "remove it to build one against Python's"
        )
    tensorflow = find_tensorflow()
    if "error" not in there and read_stamp(HOME) == make_stamp(tensorflow):
        return f"{HOME}: nothing has changed, nothing to do"
    build(tensorflow, HOME, say)
    now = check_backend()
    if "error" in now:
        shutil.rmtree(HOME)
        raise EnvironmentProblem(f"what was built does not work: {now['error']}")
    return f"{HOME}: Node runs TensorFlow {now['tensorflow']}, the one of Python"


def check_backend() -> dict[str, Any]:
    """What Node says of the native backend: `origin`, `package`, `tensorflow`, or an `error`.

    Raises:
        EnvironmentProblem: Node is missing, or ended otherwise than by saying so.
    """
    wanted = os.environ.get("NODE", "node")
    node = shutil.which(wanted)
    if node is None:
        raise EnvironmentProblem(f"{wanted} is not found; install Node.js 20.19, 22.12 or newer")
    done = subprocess.run([node, str(CHECK)], capture_output=True, text=True, check=False)
    if done.returncode not in (0, EnvironmentProblem.exit_code):
        reason = (done.stderr.strip().split("\n") or [""])[-1]
        return {"error": f"Node ended with exit code {done.returncode}: {reason}"}
    if done.returncode != 0:
        return {"error": done.stderr.strip().split("\n")[-1].removeprefix("error: ")}
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


if __name__ == "__main__":
    sys.exit(main())
