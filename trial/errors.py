"""The errors that reach a person: one line on stderr and an exit code, never a stack trace."""


class CheckFailed(Exception):
    """The judge missed a fault, put too many at a wrong stage, or was alarmed by a clean bundle."""

    exit_code = 1


class UserError(Exception):
    """A mistake in what was given: says what was got, what was expected, where, how to fix it."""

    exit_code = 2


class EnvironmentProblem(Exception):
    """Something about this machine stands in the way: a package is missing, a process failed."""

    exit_code = 3
