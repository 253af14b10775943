"""Errors that the user sees: one line on stderr and an exit code, never a stack trace."""

from support.printing import printable


class _OneLineError(Exception):
    """An error whose text is one line, whatever the untrusted names and paths in it hold."""

    def __str__(self) -> str:
        return printable(super().__str__(), longest=None)


class UserError(_OneLineError):
    """A mistake in the input; the message has: got, expected, where, and how to fix it."""

    exit_code = 2


class EnvironmentProblem(_OneLineError):
    """A problem of this machine: the network, the disk, memory or a missing program."""

    exit_code = 3


class CheckFailed(_OneLineError):
    """A check ran and failed: the result does not compute what its source computes."""

    exit_code = 1
