"""Lines of a vocab file, read by a rule of the judge's own."""


def lines_of(data: bytes) -> list[str]:
    r"""The lines of a vocab; only \n ends one, and a last one need not be ended.

    >>> lines_of("a\u2028\n##b\r\n".encode())
    ['a\u2028', '##b']
    """
    lines = data.decode("utf-8", errors="replace").removesuffix("\n").split("\n")
    return [line.removesuffix("\r") for line in lines]
