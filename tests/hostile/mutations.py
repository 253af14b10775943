"""Spoils a JSON document at every single position: a schema must notice it.

A mutation is a name and the text of the spoilt document. No program of this project writes such a
document.
"""

import copy
import json
import math
from collections.abc import Iterator
from typing import Any

Path = tuple[str | int, ...]

WRONG: dict[type, tuple[Any, ...]] = {
    bool: (None, 1, "true", []),
    int: (None, "1", True, 0.5, -1, 1e300, [1], {}),
    float: (None, "1", True, -1.0, 1e308, [1.0], {}),
    str: (1, True, [], {}, "", "a\x1b[31mb", "a\nb", "a\x9bb", "a\u202eb", "a\ud800b"),
    list: (None, 1, "text", {}, {"length": 1}),
    dict: (None, 1, "text", []),
}
"""Values that no field of the type takes, by the type of the field's value."""
NAMES = ("__proto__", "constructor", "toString", "Atol", "a\x1b]0;x\x07")
"""Names that no closed object has."""
CONSTANTS = ("NaN", "Infinity", "-Infinity", "1e999")
"""Invalid numbers that some JSON readers accept."""


def mutations(document: dict[str, Any], open_at: frozenset[Path]) -> Iterator[tuple[str, str]]:
    """Yields spoilt documents.

    Args:
        document: a sound one.
        open_at: paths of values that may be anything; they and everything below are omitted.
    """
    for path, value in values_by_path(document):
        if any(path[: len(one)] == one for one in open_at):
            continue
        where = "/".join(map(str, path))
        for wrong in WRONG.get(type(value), ()):
            yield f"{where} is {value_name(wrong)}", dump_json(with_value(document, path, wrong))
        if isinstance(value, int | float) and not isinstance(value, bool):
            for constant in CONSTANTS:
                yield (
                    f"{where} is {constant}",
                    dump_json(with_value(document, path, "@")).replace('"@"', constant),
                )
        if isinstance(value, dict):
            for name in NAMES:
                yield (
                    f"{where} has {value_name(name)}",
                    dump_json(with_value(document, (*path, name), 1)),
                )
        if path and isinstance(path[-1], str) and isinstance(value, int | float):
            # A misspelled name, so that the number is missing.
            slipped = with_value(document, (*path[:-1], path[-1] + "l"), value)
            yield f"{where} with a slip", dump_json(without_value(slipped, path))


def values_by_path(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yields a value and all values below it; of a list only the first element."""
    yield path, value
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from values_by_path(inner, (*path, name))
    if isinstance(value, list) and value:
        yield from values_by_path(value[0], (*path, 0))


def with_value(document: Any, path: Path, value: Any) -> Any:
    """Returns a copy with another value at a path."""
    if not path:
        return value
    changed = copy.deepcopy(document)
    inner = changed
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return changed


def without_value(document: Any, path: Path) -> Any:
    """Returns a copy without the value at a path."""
    changed = copy.deepcopy(document)
    inner = changed
    for step in path[:-1]:
        inner = inner[step]
    del inner[path[-1]]
    return changed


def dump_json(document: Any) -> str:
    """Returns JSON; lone surrogates remain escaped."""
    return json.dumps(document)


def value_name(value: Any) -> str:
    """Returns a value for the name of a case."""
    text = json.dumps(value)
    return "inf" if isinstance(value, float) and math.isinf(value) else text
