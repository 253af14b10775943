"""The errors that reach a person: one line on stderr and an exit code, never a stack trace."""


class CheckFailed(Exception):
    """Something was checked on the way and does not hold."""

    exit_code = 1


class UserError(Exception):
    """A mistake in what was given: says what was got, what was expected, where, how to fix it."""

    exit_code = 2


class EnvironmentProblem(Exception):
    """Something about this machine stands in the way: Node is missing, a runner was killed."""

    exit_code = 3
