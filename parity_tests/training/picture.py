"""Draws a training: the loss of both sides, and below it how far they are apart.

The difference has a logarithmic axis; its budget is a line that grows with the steps.
"""

import math
from typing import Any

from parity_tests.reports import page, plots

WIDTH, LEFT, RIGHT = 760, 46, 10
LOSS = (14, 150)
APART = (190, 350)
"""Top and bottom of the upper part and of the lower part."""
HEIGHT = 390

Curve = list[float | None]


def draw_training(curves: dict[str, Any]) -> str:
    """Returns an SVG of `loss_curves`, see judgement.py, in the colours of the page's style."""
    steps = len(curves["allowed"])

    def across(step: int) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * (step - 0.5) / steps, 1)

    keras, *nodes = curves["loss"].items()
    return (
        page.template_environment()
        .get_template("training.svg.j2")
        .render(
            size={"w": WIDTH, "h": HEIGHT, "left": LEFT, "right": WIDTH - RIGHT},
            columns=[{"x": across(t), "label": t} for t in plots.axis_ticks(steps) if t],
            loss=_loss_part(keras[1], dict(nodes), across),
            apart=_distance_part(keras[1], dict(nodes), curves["allowed"], across),
        )
    )


def _loss_part(keras: Curve, nodes: dict[str, Curve], across: Any) -> dict[str, Any]:
    """Computes the upper part: Keras as a line, each backend as a mark for each step."""
    known = [v for curve in (keras, *nodes.values()) for v in curve if v is not None]
    top = max(known, default=1.0) * 1.05 or 1.0

    def up(value: float) -> float:
        return round(LOSS[1] - (LOSS[1] - LOSS[0]) * value / top, 1)

    return {
        "line": _polyline_points(keras, across, up),
        "marks": _step_marks(nodes, across, up, "loss"),
        "rows": [{"y": up(value), "label": f"{value:.2g}"} for value in _axis_values(top)],
        "bottom": LOSS[1],
    }


def _distance_part(
    keras: Curve, nodes: dict[str, Curve], allowed: Curve, across: Any
) -> dict[str, Any]:
    """Computes the lower part: |Δ| of each backend, and the budget as a line.

    Args:
        keras: the loss of each step.
        nodes: the same by backend.
        allowed: the budget of each step.
        across: computes x from a step.
    """
    apart = {
        name: [
            None if ours is None or theirs is None else abs(ours - theirs)
            for ours, theirs in zip(curve, keras, strict=False)
        ]
        for name, curve in nodes.items()
    }
    known = [v for curve in (allowed, *apart.values()) for v in curve if v]
    low, high = math.floor(math.log10(min(known))), math.ceil(math.log10(max(known)))

    def up(value: float) -> float:
        share = (math.log10(value) - low) / (high - low) if value else 0.0
        return round(APART[1] - (APART[1] - APART[0]) * share, 1)

    return {
        "line": _polyline_points(allowed, across, up),
        "marks": _step_marks(apart, across, up, "|Δ|"),
        "rows": [{"y": up(10.0**e), "exponent": e} for e in range(low, high + 1)],
        "bottom": APART[1],
    }


def _polyline_points(curve: Curve, across: Any, up: Any) -> str:
    """Returns the points of an SVG line, without steps that have no number."""
    return " ".join(
        f"{across(step)},{up(value)}"
        for step, value in enumerate(curve, start=1)
        if value is not None
    )


def _step_marks(curves: dict[str, Curve], across: Any, up: Any, what: str) -> list[dict[str, Any]]:
    """Returns a mark for each step of each backend.

    Args:
        curves: a number for each step, by backend.
        across: computes x from a step.
        up: computes y from a number.
        what: the quantity, for the title.
    """
    return [
        {
            "x": across(step),
            "y": up(value),
            "series": number % 4,
            "title": f"{name}, step {step}: {what} {value:.3g}",
        }
        for number, (name, curve) in enumerate(curves.items())
        for step, value in enumerate(curve, start=1)
        if value is not None
    ]


def _axis_values(top: float) -> list[float]:
    """Returns round numbers from 0 up to `top`, at most 6.

    >>> _axis_values(1.3)
    [0.0, 0.5, 1.0]
    """
    power = 10.0 ** math.floor(math.log10(top))
    step = next(power * m for m in (0.2, 0.5, 1.0, 2.0) if top / (power * m) <= 5)
    return [step * i for i in range(int(top / step) + 1)]
