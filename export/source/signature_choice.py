"""Chooses the graph and the signature of a SavedModel to export, from the file alone.

A SavedModel may have several graphs, which differ in their tags (TF-Hub's modules of TF1 have one
without tags and one for training), and each graph may have several signatures.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from export.source.messages import dtype_name, read_shape
from support.errors import UserError

DEFAULT_SIGNATURE = "serving_default"
SERVE_TAG = "serve"


@dataclass(frozen=True)
class TensorInfo:
    """One input or output; `shape` is None if the rank is unknown.

    `node` is its tensor, or `""` for a sparse or ragged one, which has several.
    """

    name: str
    dtype: str
    shape: list[int | None] | None
    node: str = ""

    @property
    def rank(self) -> int | None:
        """The number of axes, None if unknown."""
        return None if self.shape is None else len(self.shape)


@dataclass(frozen=True)
class Signature:
    """One signature of the model."""

    name: str
    inputs: list[TensorInfo]
    outputs: list[TensorInfo]


@dataclass(frozen=True)
class AskedSignature:
    """The user's choice; None: the default.

    `tags` are all tags of the graph; `inputs` and `outputs` map roles to names.
    """

    tags: tuple[str, ...] | None = None
    signature: str | None = None
    inputs: tuple[tuple[str, str], ...] = ()
    outputs: tuple[tuple[str, str], ...] = ()


def choose_graph(saved_model: Any, tags: Sequence[str] | None, where: str) -> Any:
    """Returns the graph with exactly these tags; None: the one for serving, or the only one.

    Raises:
        UserError: there is no such graph; the message has the tags of each.
    """
    graphs = {tuple(sorted(g.meta_info_def.tags)): g for g in reversed(saved_model.meta_graphs)}
    wanted = [(SERVE_TAG,), ()] if tags is None else [tuple(sorted(tags))]
    for one in wanted:
        if one in graphs:
            return graphs[one]
    if tags is None and len(graphs) == 1:
        return next(iter(graphs.values()))
    got = ", ".join(repr(",".join(one)) for one in sorted(graphs))
    expected = "one of them in --tags" if tags is None else f"one with the tags {','.join(tags)!r}"
    raise UserError(f"{where}: got graphs with the tags {got}, expected {expected}")


def read_signatures(meta_graph: Any) -> list[Signature]:
    """Returns the signatures, except those for TensorFlow's internal use."""
    return [
        Signature(name, _read_tensors(signature.inputs), _read_tensors(signature.outputs))
        for name, signature in sorted(meta_graph.signature_def.items())
        if not name.startswith("__")
    ]


def _read_tensors(infos: Any) -> list[TensorInfo]:
    """Returns the inputs or outputs of a signature, sorted by name."""
    return [
        TensorInfo(name, dtype_name(info.dtype), read_shape(info.tensor_shape), info.name)
        for name, info in sorted(infos.items())
    ]


def choose_signature(signatures: list[Signature], name: str | None, where: str) -> Signature:
    """Returns the signature with this name; None: `serving_default`, or the only one.

    Raises:
        UserError: there is no such signature; the message lists those that exist.
    """
    by_name = {signature.name: signature for signature in signatures}
    if name is None and DEFAULT_SIGNATURE in by_name:
        return by_name[DEFAULT_SIGNATURE]
    if name is None and len(by_name) == 1:
        return signatures[0]
    if name is not None and name in by_name:
        return by_name[name]
    got = ", ".join(by_name) or "none"
    expected = f"one called {name or DEFAULT_SIGNATURE}"
    if not by_name:
        raise UserError(
            f"{where}: got no signature, expected one called {DEFAULT_SIGNATURE}; save the model "
            "with `tf.saved_model.save(model, directory, signatures=…)`"
        )
    raise UserError(f"{where}: got signatures {got}, expected {expected}; name one by --signature")


def add_options(command: argparse.ArgumentParser) -> None:
    """Adds the options of every command that takes a SavedModel."""
    command.add_argument(
        "--tags",
        type=lambda text: tuple(part.strip() for part in text.split(",") if part.strip()),
        metavar="TAG,TAG",
        help="all tags of the graph to export, '' for none (default: serve, else none)",
    )
    command.add_argument(
        "--signature",
        metavar="NAME",
        help=f"which signature to export (default: {DEFAULT_SIGNATURE}, or the only one)",
    )
    for side, example in (("input", "input_ids=foo"), ("output", "sequence_output=output_0")):
        command.add_argument(
            f"--{side}",
            type=_parse_pair,
            action="append",
            default=[],
            metavar="ROLE=NAME",
            help=f"what an {side} means, where its name does not say it, such as {example}; "
            "may be repeated",
        )


def _parse_pair(text: str) -> tuple[str, str]:
    """Parses an argument ROLE=NAME."""
    role, equals, name = text.partition("=")
    if not (role and equals and name):
        raise argparse.ArgumentTypeError(f"expected ROLE=NAME, got {text!r}")
    return role, name


def asked_from_options(options: argparse.Namespace) -> AskedSignature:
    """Returns the user's choice from the options of `add_options`.

    Raises:
        UserError: two tensors have one role.
    """
    for side, pairs in (("input", options.input), ("output", options.output)):
        if len(dict(pairs)) != len(pairs):
            text = ", ".join(f"{role}={name}" for role, name in pairs)
            raise UserError(f"got --{side} {text}, expected each role once")
    return AskedSignature(
        options.tags, options.signature, tuple(options.input), tuple(options.output)
    )
