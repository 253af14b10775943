"""The errors that reach a person: one line on stderr and an exit code, never a stack trace."""


class UserError(Exception):
    """A mistake in what was given: says what was got, what was expected, where, how to fix it."""

    exit_code = 2


class EnvironmentProblem(Exception):
    """Something about this machine stands in the way: the network, the disk, a missing program."""

    exit_code = 3


class CheckFailed(Exception):
    """A check ran and failed: what was made does not give what its source gives."""

    exit_code = 1
