"""The errors that reach a person: one line on stderr and an exit code, never a stack trace."""

import errno
from pathlib import Path


class UserError(Exception):
    """A mistake in what was given: says what was got, what was expected, where, how to fix it."""

    exit_code = 2


class EnvironmentProblem(Exception):
    """Something about this machine stands in the way: the network, the disk, a missing program."""

    exit_code = 3


class CheckFailed(Exception):
    """A check ran and failed: what was made does not give what its source gives."""

    exit_code = 1


# TensorFlow's, by their names: the class is not at hand where TensorFlow was never loaded.
OUT_OF_MEMORY = ("MemoryError", "_ArrayMemoryError", "ResourceExhaustedError")
MACHINE = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
    errno.EROFS,
    errno.EMFILE,
    errno.ENOMEM,
}
# In TensorFlow's errors, which are no OSError.
DISK = ("No space left", "File too large", "Disk quota", "Read-only file system")


def explained(error: BaseException) -> UserError | EnvironmentProblem | CheckFailed:
    """Any error as one that a person can read, with the exit code that it means.

    A full disk and too little memory are the machine's; an error that nobody foresaw names its
    place in this program, so that a report of it says enough.
    """
    if isinstance(error, UserError | EnvironmentProblem | CheckFailed):
        return error
    name, line = type(error).__name__, next(iter(str(error).splitlines()), "")
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        if error.errno in MACHINE:
            return EnvironmentProblem(f"{where}{error.strerror}; make room, or give another place")
        return UserError(f"{where}{error.strerror}; give another place")
    if any(part in str(error) for part in DISK):
        return EnvironmentProblem(f"cannot write: {line}; make room, or give another place")
    if name in OUT_OF_MEMORY:
        return EnvironmentProblem(f"not enough memory ({line or name}); give it more")
    if isinstance(error, RecursionError):
        return UserError(f"what was given is nested too deep ({place_of(error)})")
    reason = f"stopped at {name}: {line} ({place_of(error)})"
    return UserError(f"{reason}; please report it with the input")


def place_of(error: BaseException) -> str:
    """The line of this project where an error came up."""
    root = Path(__file__).parents[1]
    place, trace = "", error.__traceback__
    while trace is not None:
        file = Path(trace.tb_frame.f_code.co_filename)
        if root in file.parents and not file.relative_to(root).parts[0].startswith("."):
            place = f"{file.name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place
