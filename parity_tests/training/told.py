"""What came of a training, ready for JSON: the part `training` of REPORT.md."""

import math
from collections.abc import Iterable
from typing import Any

from parity_tests.training import picture
from parity_tests.training.allowance import ORIGIN
from parity_tests.training.compare import Pair
from parity_tests.training.sides import Side

STAGE = "training"


def nothing(why: str) -> dict[str, Any]:
    """The document where nothing could be compared, and why."""
    empty: dict[str, Any] = {"backends": {}, "python": None, "failures": [], "curves": None}
    return {"status": "none", "steps": 0, "message": why, "svg": ""} | empty


def document(
    steps: int, reference: Pair, pairs: list[Pair], curves: dict[str, Any]
) -> dict[str, Any]:
    """The document of what was compared; without a pair it is a drift.

    Args:
        steps: the most that were taken.
        reference: Keras and float64.
        pairs: each backend and Keras.
        curves: see `curves`.
    """
    failures = [message for pair in (reference, *pairs) for message in pair.problems]
    if not pairs:
        failures.append("got nothing to compare, but should be at least one backend [training]")
    return {
        "status": "drift" if failures else "pass",
        "steps": steps,
        "message": message(pairs, failures),
        "failures": failures,
        "budget": {"from": ORIGIN},
        "python": side(reference),
        "backends": {pair.name: side(pair) for pair in pairs},
        "curves": curves,
        "svg": picture.draw(curves),
    }


def side(pair: Pair) -> dict[str, Any]:
    """One side, held against another."""
    return {
        "against": pair.against,
        "status": "drift" if pair.problems else "pass",
        "steps": pair.steps,
        "share": finite(max(one.share for one in pair.quantities)),
        "quantities": [
            {
                "quantity": one.name,
                "status": "pass" if one.problem is None else "drift",
                "compared": one.compared,
                "far": one.far,
                "allowed": one.allowed,
                "share": finite(one.share),
                "message": one.problem.message if one.problem is not None else "",
            }
            for one in pair.quantities
        ],
    }


def message(pairs: list[Pair], failures: list[str]) -> str:
    """What was done, and what came of it, in a line."""
    steps = ", ".join(f"{pair.steps} on {pair.name}" for pair in pairs)
    words = f"steps as in Keras: {steps}"
    if failures:
        return f"{words}: DIFFERENT"
    shares = {pair.name: max(one.share for one in pair.quantities) for pair in pairs}
    used = ", ".join(f"{name} {share:.2g}" for name, share in shares.items())
    return f"{words}; of what rounding may do by then they used {used}"


def curves(keras: Side, nodes: dict[str, Side], allowed: Iterable[float]) -> dict[str, Any]:
    """The loss of each step by side, and what Node's may be off from Keras's; null: no number."""
    loss = {"Keras": keras.loss} | {name: node.loss for name, node in nodes.items()}
    return {
        "loss": {name: [finite(value) for value in values] for name, values in loss.items()},
        "allowed": [finite(value) for value in allowed],
    }


def finite(value: float) -> float | None:
    """A number for JSON, which has neither NaN nor infinity."""
    return float(value) if math.isfinite(value) else None
