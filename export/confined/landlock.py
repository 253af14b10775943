"""Starts a command that can read and write only listed paths: Linux's Landlock, without root.

    python -I -S landlock.py LIMITS COMMAND

LIMITS is JSON: `read`, `list` and `write`, each a list of paths, which include everything below
them (`list` allows listing names only); `memory` in bytes and `seconds`, 0 for no limit;
`environment`, the variables to add.

This script imports nothing of the project: the limits are set before the command's first
instruction, and apply to all its threads and children. The numbers are from linux/landlock.h and
linux/prctl.h. Landlock does not hide whether a file exists, its times and permissions, and does not
restrict sockets other than TCP.
"""

import ctypes
import json
import os
import resource
import signal
import struct
import sys
from collections.abc import Iterable

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
ASKS_VERSION, PATH_BENEATH = 1, 1
NO_NEW_PRIVILEGES, PARENT_DEATH_SIGNAL = 38, 1

EXECUTE, WRITE_FILE, READ_FILE, READ_DIRECTORY = 1 << 0, 1 << 1, 1 << 2, 1 << 3
REMOVE_DIRECTORY, REMOVE_FILE = 1 << 4, 1 << 5
MAKE_DIRECTORY, MAKE_FILE = 1 << 7, 1 << 8
REFER, TRUNCATE, DEVICE_IOCTL = 1 << 13, 1 << 14, 1 << 15
# The rights that each version of Landlock controls: all of them are denied unless allowed.
RIGHTS_BY_VERSION = {
    1: (1 << 13) - 1,
    2: (1 << 14) - 1,
    3: (1 << 15) - 1,
    4: (1 << 15) - 1,
    5: (1 << 16) - 1,
}
TCP = 1 << 0 | 1 << 1  # bind, connect; from version 4
OUTSIDE = 1 << 0 | 1 << 1  # abstract sockets of others, signals to them; from version 6

READ_RIGHTS = EXECUTE | READ_FILE | READ_DIRECTORY
WRITE_RIGHTS = (
    READ_FILE | READ_DIRECTORY | WRITE_FILE | TRUNCATE | REMOVE_DIRECTORY | REMOVE_FILE
    | MAKE_DIRECTORY | MAKE_FILE | REFER
)  # fmt: skip
FILE_RIGHTS = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | DEVICE_IOCTL
LIMITS_FAILED = 71
"""The exit code if the limits could not be set; the command was not started then."""


def landlock_version() -> int:
    """Returns the version of Landlock on this system; 0 if there is none."""
    if sys.platform != "linux":
        return 0
    return max(0, _syscall(CREATE_RULESET, None, ctypes.c_size_t(0), ASKS_VERSION))


def _syscall(number: int, *arguments: object) -> int:
    """Makes a system call; returns -1 if it fails."""
    return int(ctypes.CDLL(None, use_errno=True).syscall(ctypes.c_long(number), *arguments))


def _restrict(read: Iterable[str], write: Iterable[str], names: Iterable[str]) -> None:
    """Denies this process, permanently, access to all files except at or below these paths.

    Args:
        read: paths to read and execute; missing paths are skipped.
        write: paths to read and change.
        names: directories to list.

    Raises:
        OSError: a system call failed.
    """
    has = landlock_version()
    known = RIGHTS_BY_VERSION[min(has, max(RIGHTS_BY_VERSION))]
    handled = struct.pack("QQQ", known, TCP if has >= 4 else 0, OUTSIDE if has >= 6 else 0)
    size = 24 if has >= 6 else 16 if has >= 4 else 8
    rules = _check_result(_syscall(CREATE_RULESET, handled, ctypes.c_size_t(size), 0))
    for paths, allowed in ((read, READ_RIGHTS), (write, WRITE_RIGHTS), (names, READ_DIRECTORY)):
        for path in paths:
            try:
                descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except OSError:
                continue
            kinds = known if os.path.isdir(path) else known & FILE_RIGHTS  # noqa: PTH112  as in os
            rule = struct.pack("=Qi", allowed & kinds, descriptor)
            _check_result(_syscall(ADD_RULE, rules, PATH_BENEATH, rule, 0))
            os.close(descriptor)
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    _check_result(prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0))
    _check_result(_syscall(RESTRICT_SELF, rules, 0))
    os.close(rules)


def _check_result(result: int) -> int:
    """Returns the result of a system call.

    Raises:
        OSError: it failed.
    """
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def main() -> int:
    """Sets the limits and becomes the command."""
    limits, command = json.loads(sys.argv[1]), sys.argv[2:]
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if limits["memory"]:
            # Not the address space: Node and TensorFlow reserve far more than they ever use.
            resource.setrlimit(resource.RLIMIT_DATA, (limits["memory"], limits["memory"]))
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
        if limits["seconds"]:
            signal.alarm(limits["seconds"])
        if landlock_version():
            _restrict(limits["read"], limits["write"], limits["list"])
    except (OSError, ValueError) as error:
        print(f"error: the limits cannot be set: {error}", file=sys.stderr)
        return LIMITS_FAILED
    return os.execve(command[0], command, os.environ | limits["environment"])


if __name__ == "__main__":
    sys.exit(main())
