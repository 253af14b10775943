"""The server of a side in Python: a JSON line on stdin asks, a JSON line on stdout answers.

side.py is its client.
"""

import gc
import json
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any


def serve(ops: Mapping[str, Callable[..., Any]]) -> None:
    """Answers requests until stdin closes."""
    for line in sys.stdin:
        request = json.loads(line)
        op = request.pop("op")
        try:
            answer = {"answer": ops[op](**request)}
        except Exception as error:  # the client reports any error
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


def time_passes(once: Callable[[], object], at_least: float) -> float:
    """Returns the seconds of one pass, from passes that last `at_least` seconds in all."""
    gc.collect()
    start = time.perf_counter()
    passes = 0
    while True:
        once()
        passes += 1
        seconds = time.perf_counter() - start
        if seconds >= at_least:
            return seconds / passes
