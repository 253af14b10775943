"""Reads files that somebody else wrote: plain files of limited size, and JSON of expected types.

All configuration files are read here. A pipe, a device, a file of gigabytes, deep nesting or a
value of a wrong type ends in a one-line error, before anything is built.
"""

import json
import math
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.errors import UserError

COPY_AGAIN = "correct the file, or copy it again from the model"
# The tokenizer.json of a vocab of 250,000 tokens has 17 MB.
MAX_JSON = 64 << 20
# Configurations nest 5 levels deep, a tokenizer.json about 8.
MAX_DEPTH = 64
MAX_SHOWN_CHARACTERS = 60
JSON_TYPE_NAMES: dict[type, str] = {
    dict: "an object",
    list: "an array",
    str: "a string",
    bool: "true or false",
    int: "an integer",
}
# Possessive, and it accepts an unterminated string: linear in time, constant in memory.
JSON_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def plain_file_size(path: Path, expected: str) -> int:
    """Returns the size of a plain file in bytes, without opening it.

    Opening a pipe would block, and reading a device may never end.

    Raises:
        UserError: there is no such file, or it is a directory, a pipe or a device.
    """
    try:
        found = path.stat()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "is no path"
        raise UserError(f"{path}: {reason}; give {expected}") from None
    if stat.S_ISDIR(found.st_mode):
        raise UserError(f"{path}: Is a directory; give {expected}")
    if not stat.S_ISREG(found.st_mode):
        raise UserError(f"{path}: is a pipe or a device, expected a plain file; give {expected}")
    return found.st_size


def read_plain_file(path: Path, most: int, expected: str) -> bytes:
    """Reads the bytes of a plain file.

    Raises:
        UserError: see `plain_file_size`; or the file has more than `most` bytes.
    """
    size = plain_file_size(path, expected)
    if size <= most:
        try:
            # The limit holds for a file that grows meanwhile, too.
            with open(path, "rb", opener=_open_without_waiting) as stream:
                data = stream.read(most + 1)
        except OSError as error:
            raise UserError(f"{path}: {error.strerror}; give {expected}") from None
        size = len(data)
    if size > most:
        raise UserError(
            f"{path}: has more than {most / 1e6:.0f} MB, too many for what it should be; "
            f"give {expected}"
        )
    return data


def _open_without_waiting(name: str, flags: int) -> int:
    """Opens a file without blocking: it may have become a pipe since it was checked."""
    return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))


def read_json(
    path: Path,
    expected: str = "the model's own file",
    constant: Callable[[str], Any] | None = None,
) -> Any:
    """Reads a JSON document.

    Args:
        path: the file.
        expected: the file that the user should give instead, for messages.
        constant: called for NaN and the infinities, which Python reads though JSON has none.

    Raises:
        UserError: see `read_plain_file`; or it is no JSON, or nests deeper than MAX_DEPTH.
    """
    raw = read_plain_file(path, MAX_JSON, expected)
    if (depth := nesting_depth(raw)) > MAX_DEPTH:
        raise UserError(
            f"{path}: got JSON nested {depth} deep, expected at most {MAX_DEPTH}; give {expected}"
        )
    try:
        document = json.loads(raw.decode("utf-8"), parse_constant=constant)
        if SURROGATE.search(raw):
            # A lone surrogate cannot be encoded.
            json.dumps(document, ensure_ascii=False).encode("utf-8")
    except ValueError as error:
        reason = str(error).split("\n")[0][:100]
        raise UserError(f"{path}: is no JSON: {reason}; give {expected}") from None
    return document


def nesting_depth(raw: bytes) -> int:
    """Returns how many levels deep a JSON text nests.

    >>> nesting_depth(b'{"a": [1, "[[["]}')
    2
    """
    depth = deepest = 0
    for bracket in re.findall(rb"[][{}]", JSON_STRING.sub(b"", raw)):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def read_object(path: Path, expected: str = "the model's own file") -> dict[str, Any]:
    """Reads a JSON file that contains one object.

    Raises:
        UserError: see `read_json`; or the document is no object.
    """
    document: dict[str, Any] = require_type(read_json(path, expected), dict, str(path))
    return document


def short_json(value: Any) -> str:
    """Returns a value as short JSON for messages; for an object or array, only its type."""
    if isinstance(value, dict | list):
        return JSON_TYPE_NAMES[type(value)] if value else json.dumps(value)
    try:
        text = json.dumps(value[: MAX_SHOWN_CHARACTERS * 2] if isinstance(value, str) else value)
    except ValueError:
        return "an integer of thousands of digits"
    return text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[:MAX_SHOWN_CHARACTERS]}…"


def require_type(value: Any, wanted: type, location: str, remedy: str = COPY_AGAIN) -> Any:
    """Returns the value if it has the wanted JSON type; true is no integer.

    Args:
        value: any JSON value.
        wanted: a key of JSON_TYPE_NAMES.
        location: the file and key, for messages.
        remedy: how to fix it, for messages.

    Raises:
        UserError: the value has another type.
    """
    if type(value) is not wanted:
        raise UserError(
            f"{location}: got {short_json(value)}, expected {JSON_TYPE_NAMES[wanted]}; {remedy}"
        )
    return value


def require_number(value: Any, location: str) -> int | float:
    """Returns the value if it is a finite number.

    Raises:
        UserError: it is not.
    """
    is_number = type(value) is int or (type(value) is float and math.isfinite(value))
    if not is_number:
        raise UserError(f"{location}: got {short_json(value)}, expected a number; {COPY_AGAIN}")
    found: int | float = value
    return found


def require_integer(value: Any, location: str, least: int, most: int | None = None) -> int:
    """Returns the value if it is an integer within limits.

    Args:
        value: any JSON value.
        location: the file and key, for messages.
        least: the smallest allowed value.
        most: the largest allowed value; None: no limit.

    Raises:
        UserError: it is not.
    """
    if type(value) is not int or value < least or (most is not None and value > most):
        limits = f"from {least} to {most}" if most is not None else f"of {least} or more"
        raise UserError(
            f"{location}: got {short_json(value)}, expected an integer {limits}; {COPY_AGAIN}"
        )
    return value
