"""The error that reaches a person: one line on stderr and an exit code, never a stack trace."""


class EnvironmentProblem(Exception):
    """Something about this machine stands in the way: a compiler, the network, TensorFlow."""

    exit_code = 3
