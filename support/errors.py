"""Errors that the user sees: one line on stderr and an exit code, never a stack trace."""


class UserError(Exception):
    """A mistake in the input; the message has: got, expected, where, and how to fix it."""

    exit_code = 2


class EnvironmentProblem(Exception):
    """A problem of this machine: the network, the disk, memory or a missing program."""

    exit_code = 3


class CheckFailed(Exception):
    """A check ran and failed: the result does not compute what its source computes."""

    exit_code = 1
