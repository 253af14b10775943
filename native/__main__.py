"""The command `python -m native`: tfjs-node's binding against this environment's TensorFlow.

It goes to .nox/native. A second run does nothing; after a change of TensorFlow it builds again.
Where the project has a prebuilt tfjs-node that works, Node uses that one instead.
"""

import json
import os
import shutil
import subprocess
import sys
from typing import Any

from native.build import HOME, build, find_tensorflow, make_stamp, read_stamp
from support import ROOT
from support.command_line import OptionParser, command
from support.errors import EnvironmentProblem
from support.printing import say

EXAMPLE = """example:
  nox -s native
  node node_bridge/verify.js --bundle artifacts/bundle/albert_tiny --backend native

exit codes: 0 it works, 3 this machine lacks something
"""
CHECK = ROOT / "node_bridge" / "backends" / "check_native.js"


@command("interrupted; nothing half-built is left")
def main(arguments: list[str] | None = None) -> int:
    """Builds the binding if needed, prints what it did, and returns the exit code."""
    parser = OptionParser(
        prog="python -m native",
        description=__doc__,
        epilog=EXAMPLE,
    )
    parser.parse_args(arguments)
    say(build_if_needed())
    return 0


def build_if_needed() -> str:
    """Builds the binding unless a working one exists; returns a message for the user.

    Raises:
        EnvironmentProblem: see `find_tensorflow` and `build`; or the new binding does not load.
    """
    existing = check_backend()
    if existing.get("origin") == "prebuilt":
        package, version = existing["package"], existing["tensorflow"]
        return (
            f"{package} is taken, a prebuilt one with TensorFlow {version}; "
            "remove it to build one against Python's"
        )
    tensorflow = find_tensorflow()
    if "error" not in existing and read_stamp(HOME) == make_stamp(tensorflow):
        return f"{HOME}: nothing has changed, nothing to do"
    build(tensorflow, HOME, say)
    now = check_backend()
    if "error" in now:
        shutil.rmtree(HOME)
        raise EnvironmentProblem(f"what was built does not work: {now['error']}")
    return f"{HOME}: Node runs TensorFlow {now['tensorflow']}, the one of Python"


def check_backend() -> dict[str, Any]:
    """Asks Node about the native backend; returns `origin`, `package`, `tensorflow`, or `error`.

    Raises:
        EnvironmentProblem: Node is missing.
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
