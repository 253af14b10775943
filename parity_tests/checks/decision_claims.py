"""What a contract must say that a model decides (`classifier` in docs/bundle.md).

Two sources say it: the file that `build` writes into a SavedModel, and the options of the export,
which the contract's provenance has and which win. What neither says follows from the task; these
rules are written here once more, so that a mistake of the exporter's shows.
"""

from typing import Any

LOGITS, PROBABILITIES = "logits", "probabilities"
ACTIVATIONS = {"multi_label": "sigmoid", "regression": "none"}
"""By task; `softmax` for the others."""
THRESHOLD = 0.5
SCHEMES = {"BIO": set("BI"), "BIOES": set("BIOES")}
"""The beginnings of the labels of each scheme, apart from `O`; the first that fits counts."""


def classifier_claims(
    contract: dict[str, Any], own: dict[str, Any] | None
) -> dict[str, tuple[Any, Any]]:
    """Returns what the contract says that the model decides, and what it should say.

    Args:
        contract: the bundle's.
        own: what the model itself says, None if it says nothing.
    """
    got = contract.get("classifier")
    expected = _expected_classifier(contract, own)
    if got is None and expected is None:
        return {}
    if got is None or expected is None:
        return {"classifier": (got, expected)}
    keys = dict.fromkeys([*expected, *got])
    return {f"classifier.{key}": (got.get(key), expected.get(key)) for key in keys}


def _expected_classifier(
    contract: dict[str, Any], own: dict[str, Any] | None
) -> dict[str, Any] | None:
    """Returns the entry that the contract should have; None where nothing says a task."""
    source = contract.get("provenance", {}).get("source", {})
    asked = source.get("asked", {}).get("classifier", {})
    said = (own or {}) | {key: value for key, value in asked.items() if value is not None}
    task = said.get("task")
    if task is None:
        return None
    specs = {spec["name"]: spec for spec in contract["outputs"]}
    roles = {spec["role"]: spec["name"] for spec in contract["outputs"]}
    output = said.get("output") or roles.get(LOGITS) or roles.get(PROBABILITIES)
    if output not in specs:
        return None
    # Without names, labels are numbers.
    labels = list(said.get("labels") or map(str, range(specs[output]["shape"][-1])))
    activation = ACTIVATIONS.get(task, "softmax")
    if specs[output]["role"] == PROBABILITIES:
        activation = "none"
    if own is not None and own["task"] == task:
        activation = own["activation"]
    expected = {"task": task, "output": output, "activation": activation, "labels": labels}
    if task == "multi_label":
        expected["threshold"] = said.get("threshold", THRESHOLD)
    if task == "token_labels":
        expected["scheme"] = _scheme_of(labels)
    return expected


def _scheme_of(labels: list[str]) -> str:
    """Returns how labels of tokens make spans.

    >>> [_scheme_of(labels) for labels in (["O", "B-LOC", "I-LOC"], ["S-LOC", "O"], ["B", "I"])]
    ['BIO', 'BIOES', 'none']
    """
    parts = [label.partition("-") for label in labels if label != "O"]
    if not all(kind for _, _, kind in parts):
        return "none"
    used = {beginning for beginning, _, _ in parts}
    return next((name for name, known in SCHEMES.items() if used <= known), "none")
