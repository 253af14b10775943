"""`python -m export model`: a SavedModel and its vocab become a bundle."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export import hub, saved_model_copy
from export.bundle import CONTRACT, Contract, TensorSpec, appearing, digest, seal
from export.errors import UserError
from export.quiet import tensorflow
from export.tokenizer import Vocab, reference, write_tokenizer
from export.tokenizer_choice import TokenizerChoice, shown
from export.versions import versions

if TYPE_CHECKING:
    from export.graph import FrozenGraph, Inlined

MAX_LENGTH = 512


@dataclass(frozen=True)
class Request:
    """What to export. `architecture` and `trained` are what the source says of itself.

    `with_saved_model` puts a copy of the source into the bundle, for native TensorFlow in Node.
    """

    handle: str
    tokenizer: TokenizerChoice
    dtype: str = "float32"
    force: bool = False
    architecture: str = "unknown"
    trained: bool | None = None
    name: str | None = None
    sha256: str | None = None
    with_saved_model: bool = False


def export_model(request: Request, out: Path, say: Any = print) -> bool:
    """Writes the bundle; returns False where an equal one is there already.

    Raises:
        UserError: see `hub.resolve`, `TokenizerChoice`, `graph.load`, `ids_for_strings`,
            `rewrite`, `preflight.check` and `refuse_over_budget`.
        EnvironmentProblem: see `hub.resolve` and `appearing`.
    """
    given = request.tokenizer.provenance()
    saved_model = hub.resolve(request.handle, request.sha256)
    source_of = {"handle": shown(request.handle), "sha256": digest(saved_model)}
    provenance = {"source": source_of, "versions": versions()} | given
    if is_current(out, provenance, request):
        say(f"{out} is up to date")
        return False

    say(f"loading {saved_model.name} in TensorFlow")
    tensorflow()
    from export import golden, graph, preflight, roles, string_tokens, tfjs, weight_dtypes
    from export.rewrites import rewrite

    source = graph.load(saved_model)
    parts = graph.inlined(source)
    own = None
    if string_tokens.takes_strings(parts):
        (strings,) = parts.inputs
        say("the model takes token strings: its lookup is cut away, ids become the input")
        own = string_tokens.ids_for_strings(parts)
        parts = own.parts
    chosen = request.tokenizer.choose(own.tokens if own else None, request.handle, say)
    vocab, tokenizer = chosen.vocab, chosen.spec
    places = inner_places(parts)
    frozen = graph.freeze(source, parts, {tap["node"]: tap["tensor"] for tap in places})
    inputs = roles.input_specs(frozen.inputs, saved_model)
    refuse_other_size(frozen, inputs, vocab, request)

    max_length = positions(frozen)
    padding = own.padding if own else "masked"
    pad = vocab.special["pad"].id
    ids = reference(tokenizer, vocab).encode(
        golden.TEXTS, special_tokens=True, max_length=max_length
    )
    cases = golden.batch(ids, pad, padding)
    feeds = {spec.name: cases[spec.role] for spec in inputs}
    asked = feeds
    if own:
        asked = {strings: golden.tokens_of(cases["input_ids"], own.tokens, pad)}
    expected = golden.answers(source, asked)
    say("measuring what float32 costs the model, against float64")
    visible = golden.visible(cases, padding)
    measured = golden.measure(frozen, feeds, visible, say)
    budgets = weight_dtypes.budgets(measured.costs, request.dtype, request.force)
    say("rewriting the graph, each step checked on the golden cases")
    frozen, steps = rewrite(frozen, feeds, visible, measured)
    preflight.check(frozen)
    stored = weight_dtypes.stored_dtypes(frozen, request.dtype)
    got = weight_dtypes.answers_as_stored(frozen, stored, feeds)
    weight_dtypes.refuse_over_budget(
        got, expected, visible, budgets, dtype=request.dtype, force=request.force
    )
    with appearing(out) as directory:
        say(f"writing the TF.js graph, {request.dtype} weights")
        tfjs.write(frozen, stored, directory)
        golden.write(cases, expected, directory)
        if request.with_saved_model and own:
            say("its SavedModel is left out: it takes token strings, and Node has ids")
        elif request.with_saved_model:
            saved_model_copy.copy(saved_model, directory)
        say(f"reading the tables of tokenizer {tokenizer.algorithm}")
        contract = Contract(
            name=request.name or saved_model.name,
            architecture=request.architecture,
            trained=request.trained,
            weight_dtype=request.dtype,
            inputs=inputs,
            outputs=roles.output_specs(frozen.outputs),
            padding=padding,
            max_length=max_length,
            tokenizer=write_tokenizer(directory, vocab, tokenizer, chosen.adds_special_tokens),
            provenance=provenance,
            accuracy={
                "outputs": weight_dtypes.accuracy(got, expected, visible),
                "budget": weight_dtypes.widest(budgets, expected),
                "budgets": weight_dtypes.in_contract(measured.costs, budgets),
                "rewrites": [asdict(step) for step in steps],
            },
            taps=places,
        )
        seal(directory, contract)
    return True


def positions(frozen: FrozenGraph) -> int:
    """How many positions the model has: rows of the weight called so; 512 where none is."""
    shapes = [value.shape for name, value in frozen.weights.items() if "position" in name]
    return next((int(shape[0]) for shape in shapes if len(shape) == 2), MAX_LENGTH)


def inner_places(parts: Inlined) -> list[dict[str, str]]:
    """The taps of a model, as the contract has them; none where it has no `sequence_output`."""
    from export import roles, taps

    ids = [n for n in parts.inputs if roles.role_of(n, roles.INPUT_NAMES) == "input_ids"]
    last = [n for n in parts.outputs if roles.role_of(n, roles.OUTPUT_NAMES) == "sequence_output"]
    if not ids or not last:
        return []
    found = taps.find(parts, ids[0], last[0])
    return [{"name": n, "node": taps.PREFIX + n, "tensor": tensor} for n, tensor in found.items()]


def refuse_other_size(
    frozen: FrozenGraph, inputs: list[TensorSpec], vocab: Vocab, request: Request
) -> None:
    """Stops where the vocab has another number of tokens than the model has embeddings."""
    from export.graph import embedding_rows

    ids = next(spec.name for spec in inputs if spec.role == "input_ids")
    rows = embedding_rows(frozen, ids)
    if rows is not None and rows != len(vocab.tokens):
        choice = request.tokenizer
        given = choice.vocab or choice.model or request.handle
        raise UserError(
            f"{given} has {len(vocab.tokens)} lines, but the model's embedding has {rows} rows; "
            "give the vocab that the model was trained with"
        )


def is_current(out: Path, provenance: dict[str, Any], request: Request) -> bool:
    """Whether `out` holds a whole bundle of the same source, options and versions."""
    try:
        document = json.loads((out / CONTRACT).read_text(encoding="utf-8"))
        spec, tokenizer = request.tokenizer.spec, document["tokenizer"]
        same = (
            document["provenance"] == provenance
            and document["architecture"] == request.architecture
            and document["weight_dtype"] == request.dtype
            and saved_model_copy.is_in(document["files"]) == request.with_saved_model
            and (
                spec is None
                or (tokenizer["algorithm"], tokenizer["options"]) == (spec.algorithm, spec.options)
            )
        )
        return same and all(
            digest(out / name) == file["sha256"] for name, file in document["files"].items()
        )
    except (OSError, ValueError, KeyError):
        return False
