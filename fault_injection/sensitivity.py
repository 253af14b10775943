"""Measures the smallest relative change of a weight that exceeds the budgets.

For some weights and constants of a source the change is found by bisection, once for the fixed
budget that all models had before (1e-5 + 2e-6·|v|) and once for the budget derived from what
float32 costs this model. Only TensorFlow computes, in float32, on the bundle's golden cases; the
differences of other runtimes are not included.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from fault_injection.sources import SOURCES, CleanBundle, CleanMaterial
from numerics.budgets import RTOL
from support.contracts import GOLDEN_FILE, read_bundle
from support.tables import format_table

FIXED = 1e-5
LARGEST, SMALLEST = 1.0, 1e-9
STEPS = 14
"""Halvings of the exponent: the change is found to a thousandth of nine powers of ten."""
PARTS = (
    ("a column of a dense kernel", "intermediate/kernel", "column"),
    ("an entry of a bias", "intermediate/bias", "entry"),
    ("a layer norm's gamma", "output_norm/gamma", "whole"),
    ("a row of the word embeddings", "word_embeddings", "row"),
)
CONSTANTS = (("the constant of GELU", 0.044715), ("the scale of attention", None))


@dataclass(frozen=True)
class SmallestChange:
    """The smallest change that exceeds each budget; None where not even doubling does."""

    source: str
    what: str
    fixed: float | None
    derived: float | None


class ChangeableGraph:
    """A source's graph on its golden cases, whose weights and constants can be changed."""

    def __init__(self, model: Path, bundle: Path) -> None:
        """Loads a SavedModel and the cases and budgets of its bundle."""
        import tensorflow as tf
        from safetensors.numpy import load_file

        from export.graph import graph
        from export.source import roles

        source = graph.load_source(model)
        frozen = graph.freeze(source, graph.inline_calls(source))
        cases = load_file(bundle / GOLDEN_FILE)
        about = read_bundle(bundle)
        self.budgets: dict[str, Any] = about["accuracy"]["budgets"]
        self.outputs = [endpoint.name for endpoint in frozen.outputs]
        self.shown = cases["attention_mask"] == 1
        self.ids = cases["input_ids"]
        self.values = dict(frozen.weights)
        graph_def, constants = _scalars_to_placeholders(frozen.graph_def)
        self.constants = constants
        self.values |= constants
        feeds = {e.name: cases[roles.find_role(e.name, roles.INPUT_NAMES)] for e in frozen.inputs}
        with tf.Graph().as_default() as whole:
            tf.import_graph_def(graph_def, name="")
        session = tf.compat.v1.Session(graph=whole)

        def run(changed: dict[str, Any]) -> dict[str, Any]:
            values = {f"{n}:0": v for n, v in {**self.values, **feeds, **changed}.items()}
            answers: dict[str, Any] = session.run({n: f"{n}:0" for n in self.outputs}, values)
            return answers

        self.run = run
        self.plain = run({})

    def over(self, changed: dict[str, Any]) -> tuple[bool, bool]:
        """Returns whether a change exceeds the fixed budget, and the derived one."""
        answers = self.run(changed)
        fixed = derived = False
        for name, before in self.plain.items():
            old, new = before, answers[name]
            if old.shape[:2] == self.shown.shape:
                old, new = old[self.shown], new[self.shown]
            moved, size = np.abs(new.astype(np.float64) - old), RTOL * np.abs(old)
            fixed |= bool(np.any(moved > FIXED + size))
            derived |= bool(np.any(moved > self.budgets[name]["atol"] + size))
        return fixed, derived


def _scalars_to_placeholders(graph_def: Any) -> tuple[Any, dict[str, Any]]:
    """Returns the graph with its float32 scalars as placeholders, and their values."""
    import tensorflow as tf

    result = type(graph_def)()
    result.CopyFrom(graph_def)
    values = {}
    for node in result.node:
        if node.op != "Const" or node.attr["dtype"].type != tf.float32.as_datatype_enum:
            continue
        value = tf.make_ndarray(node.attr["value"].tensor)
        if value.ndim == 0:
            values[node.name] = value
            del node.attr["value"]
            node.op = "Placeholder"
            node.attr["shape"].shape.CopyFrom(tf.TensorShape([]).as_proto())
    return result, values


def _possible_changes(
    answers: ChangeableGraph, heads: int, hidden: int
) -> dict[str, Callable[[float], Any]]:
    """Returns functions from a relative change to the changed values, by description."""
    functions: dict[str, Callable[[float], Any]] = {}
    for what, part, where in PARTS:
        name = next((n for n in sorted(answers.values) if part in n), None)
        if name is not None:
            functions[what] = _weight_change(name, answers.values[name], where, answers.ids)
    for what, number in CONSTANTS:
        sought = (number,) if number else ((hidden / heads) ** -0.5, (hidden / heads) ** 0.5)
        names = [
            n
            for n, v in answers.constants.items()
            if any(np.isclose(v, s, rtol=1e-5) for s in sought)
        ]
        if names:
            functions[what] = _constant_change({n: answers.constants[n] for n in names})
    return functions


def _weight_change(name: str, value: Any, where: str, ids: Any) -> Callable[[float], Any]:
    """Returns a function that enlarges part of a weight by a relative change.

    Args:
        name: of the weight.
        value: of the weight.
        where: the part: `column`, `entry`, `row` or `whole`.
        ids: of the golden cases, for a row that is used.
    """
    index: tuple[Any, ...] = (...,)
    if where == "column":
        index = (
            ...,
            int(np.argmax(np.linalg.norm(value.reshape(len(value), -1), axis=0)) % value.shape[-1]),
        )
    elif where == "entry":
        index = (int(np.argmax(np.abs(value))),)
    elif where == "row":
        index = (int(ids[0, 1]),)

    def put(change: float) -> Any:
        changed = value.copy()
        # Where all values are 0, the change is absolute.
        base = changed[index] if np.any(changed[index]) else np.float32(1.0)
        changed[index] = changed[index] + np.float32(change) * base
        return {name: changed}

    return put


def _constant_change(constants: dict[str, Any]) -> Callable[[float], Any]:
    """Returns a function that enlarges constants by a relative change."""
    return lambda change: {
        n: (v * np.float32(1 + change)).astype(np.float32) for n, v in constants.items()
    }


def find_smallest_change(shows: Callable[[float], bool]) -> float | None:
    """Finds the smallest change for which `shows` is true, by bisection of its exponent."""
    if not shows(LARGEST):
        return None
    low, high = np.log10(SMALLEST), np.log10(LARGEST)
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if shows(10.0**middle) else (middle, high)
    return float(f"{10.0**high:.2g}")


def measure_source(clean: CleanBundle) -> list[SmallestChange]:
    """Measures the smallest changes of one source's weights and constants."""
    source = clean.source
    answers = ChangeableGraph(clean.material.model(source), clean.path)
    rows = []
    for what, put in _possible_changes(answers, source.heads, source.hidden).items():
        rows.append(SmallestChange(source.name, what, *_find_both(answers, put)))
    return rows


def _find_both(
    answers: ChangeableGraph, put: Callable[[float], Any]
) -> tuple[float | None, float | None]:
    """Finds the smallest change for the fixed budget, and for the derived one."""

    @cache  # both searches begin with the same changes
    def over(change: float) -> tuple[bool, bool]:
        return answers.over(put(change))

    fixed = find_smallest_change(lambda change: over(change)[0])
    return fixed, find_smallest_change(lambda change: over(change)[1])


def measure_sources(material: CleanMaterial, names: set[str] | None = None) -> list[SmallestChange]:
    """Measures all clean sources, or the named ones."""
    cleans = [CleanBundle(material, source, "float32") for source in SOURCES]
    return [
        row for c in cleans if names is None or c.source.name in names for row in measure_source(c)
    ]


def sensitivity_table(rows: list[SmallestChange]) -> str:
    """Returns both budgets side by side, and a summary."""
    cells, ratios = [], []
    for row in rows:
        both = [f"{v:.1e}" if v is not None else "never" for v in (row.fixed, row.derived)]
        ratio = ""
        if row.fixed and row.derived:
            ratios.append(row.derived / row.fixed)
            ratio = f"{ratios[-1]:.2f}"
        cells.append([row.source, row.what, *both, ratio])
    head = ["source", "changed", "fixed", "derived", "derived/fixed"]
    lines = [format_table(head, cells, numeric=range(2, 5))]
    if ratios:
        sharper = sum(ratio <= 1 for ratio in ratios)
        lines.append(
            f"derived is as sharp or sharper in {sharper} of {len(ratios)}; "
            f"median {float(np.median(ratios)):.2f}, largest {max(ratios):.2f}"
        )
    return "\n".join(lines)
