"""The command `python -m native`: tfjs-node's binding against this environment's TensorFlow.

It goes to --directory. A second run does nothing; after a change of TensorFlow it builds again.
Where the project has a prebuilt tfjs-node that works, Node uses that one instead.
"""

import shutil
import sys
from pathlib import Path

from native.build import HOME, build, find_tensorflow, make_stamp, read_stamp
from support.command_line import OptionParser, command
from support.errors import EnvironmentProblem
from support.node import check_native
from support.printing import say

EXAMPLE = """example:
  nox -s native
  node node_bridge/verify.js --bundle artifacts/bundle/albert_tiny --backend native

exit codes: 0 it works, 3 this machine lacks something
"""


@command("interrupted; nothing half-built is left")
def main(arguments: list[str] | None = None) -> int:
    """Builds the binding if needed, prints what it did, and returns the exit code."""
    parser = OptionParser(
        prog="python -m native",
        description=__doc__,
        epilog=EXAMPLE,
    )
    parser.add_argument("--directory", type=Path, default=HOME, help="default: .nox/native")
    say(build_if_needed(parser.parse_args(arguments).directory))
    return 0


def build_if_needed(home: Path) -> str:
    """Builds the binding in `home` unless a working one exists; returns a message for the user.

    Raises:
        EnvironmentProblem: see `find_node`, `find_tensorflow` and `build`; or the new binding does
            not load.
    """
    existing = check_native()
    if existing.get("origin") == "prebuilt":
        package, version = existing["package"], existing["tensorflow"]
        return (
            f"{package} is taken, a prebuilt one with TensorFlow {version}; "
            "remove it to build one against Python's"
        )
    tensorflow = find_tensorflow()
    if "error" not in existing and read_stamp(home) == make_stamp(tensorflow):
        return f"{home}: nothing has changed, nothing to do"
    build(tensorflow, home, say)
    now = check_native()
    if "error" in now:
        shutil.rmtree(home)
        raise EnvironmentProblem(f"what was built does not work: {now['error']}")
    return f"{home}: Node runs TensorFlow {now['tensorflow']}, the one of Python"


if __name__ == "__main__":
    sys.exit(main())
