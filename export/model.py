"""`python -m export model`: a SavedModel and its vocab become a bundle."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export import hub
from export.bundle import CONTRACT, Contract, TensorSpec, appearing, digest, seal
from export.errors import UserError
from export.quiet import tensorflow
from export.tokenizer import TokenizerSpec, Vocab, read_vocab, reference, write_tokenizer
from export.tokenizer.vocab import parse_vocab
from export.versions import versions

if TYPE_CHECKING:
    from export.graph import FrozenGraph

MAX_LENGTH = 512


@dataclass(frozen=True)
class Request:
    """What to export. `architecture` and `trained` are what the source says of itself.

    The vocab comes from the file `vocab`, from the hub tokenizer model `tokenizer_model`, or from
    the model itself where it takes token strings. Either `tokenizer` says which tokenizer goes
    with it, or it is recovered from `tokenizer_model`.
    """

    handle: str
    vocab: Path | None
    tokenizer: TokenizerSpec | None
    tokenizer_model: str | None = None
    dtype: str = "float32"
    force: bool = False
    architecture: str = "unknown"
    trained: bool | None = None
    name: str | None = None
    sha256: str | None = None


def export_model(request: Request, out: Path, say: Any = print) -> bool:
    """Writes the bundle; returns False where an equal one is there already.

    Raises:
        UserError: see `hub.resolve`, `read_vocab`, `graph.load`, `ids_for_strings`,
            `recover`, `rewrite`, `preflight.check` and `refuse_over_budget`.
        EnvironmentProblem: see `hub.resolve` and `appearing`.
    """
    given = read_vocab(request.vocab, notice=say) if request.vocab else None
    saved_model = hub.resolve(request.handle, request.sha256)
    tokenizer_model = hub.resolve(request.tokenizer_model) if request.tokenizer_model else None
    provenance = provenance_of(request, saved_model, tokenizer_model)
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
    own_tokens = own.tokens if own else None
    vocab, spec, adds = tokenizer_of(request, given, own_tokens, tokenizer_model, say)
    frozen = graph.freeze(source, parts)
    inputs = roles.input_specs(frozen.inputs, saved_model)
    refuse_other_size(frozen, inputs, vocab, request)

    padding = own.padding if own else "masked"
    pad = vocab.special["pad"].id
    ids = reference(spec, vocab).encode(golden.TEXTS, special_tokens=True, max_length=MAX_LENGTH)
    cases = golden.batch(ids, pad, padding)
    feeds = {spec.name: cases[spec.role] for spec in inputs}
    asked = feeds
    if own:
        asked = {strings: golden.tokens_of(cases["input_ids"], own.tokens, pad)}
    expected = golden.answers(source, asked)
    say("rewriting the graph, each step checked on the golden cases")
    frozen, steps = rewrite(frozen, feeds)
    preflight.check(frozen)
    stored = weight_dtypes.stored_dtypes(frozen, request.dtype)
    measured = weight_dtypes.accuracy(frozen, stored, feeds, expected)
    weight_dtypes.refuse_over_budget(measured, request.dtype, request.force)
    with appearing(out) as directory:
        say(f"writing the TF.js graph, {request.dtype} weights")
        tfjs.write(frozen, stored, directory)
        golden.write(cases, expected, directory)
        say(f"reading the tables of tokenizer {spec.algorithm}")
        contract = Contract(
            name=request.name or saved_model.name,
            architecture=request.architecture,
            trained=request.trained,
            weight_dtype=request.dtype,
            inputs=inputs,
            outputs=roles.output_specs(frozen.outputs),
            padding=padding,
            max_length=MAX_LENGTH,
            tokenizer=write_tokenizer(directory, vocab, spec, adds),
            provenance=provenance,
            accuracy={
                "outputs": measured,
                "budget": weight_dtypes.budget(request.dtype),
                "rewrites": [asdict(step) for step in steps],
            },
        )
        seal(directory, contract)
    return True


def provenance_of(
    request: Request, saved_model: Path, tokenizer_model: Path | None
) -> dict[str, Any]:
    """Where everything comes from."""
    source = {"handle": shown(request.handle), "sha256": digest(saved_model)}
    provenance: dict[str, Any] = {"source": source, "versions": versions()}
    if request.vocab:
        provenance["vocab"] = {"sha256": digest(request.vocab)}
    if request.tokenizer_model and tokenizer_model:
        handle, sha256 = shown(request.tokenizer_model), digest(tokenizer_model)
        provenance["tokenizer_model"] = {"handle": handle, "sha256": sha256}
    return provenance


def refuse_other_size(
    frozen: FrozenGraph, inputs: list[TensorSpec], vocab: Vocab, request: Request
) -> None:
    """Stops where the vocab has another number of tokens than the model has embeddings."""
    from export.graph import embedding_rows

    ids = next(spec.name for spec in inputs if spec.role == "input_ids")
    rows = embedding_rows(frozen, ids)
    if rows is not None and rows != len(vocab.tokens):
        raise UserError(
            f"{request.vocab or request.tokenizer_model} has {len(vocab.tokens)} lines, but the "
            f"model's embedding has {rows} rows; give the vocab that the model was trained with"
        )


def tokenizer_of(
    request: Request,
    given: Vocab | None,
    own_tokens: list[bytes] | None,
    model: Path | None,
    say: Any,
) -> tuple[Vocab, TokenizerSpec, bool | None]:
    """The vocab, the tokenizer, and whether its Python side adds special tokens (None: default).

    `own_tokens` are those of the model's own lookup table, which any given vocab must equal.
    """
    if own_tokens is not None:
        from export.tokenizer.recover import agreed

        own = parse_vocab(b"\n".join(own_tokens) + b"\n", f"{request.handle}, its lookup table")
        given = agreed(own, given, Path(request.handle))
    if model is not None:
        from export.tokenizer.recover import recover

        found = recover(model, given, say)
        return found.vocab, found.spec, found.adds_special_tokens
    if given is None or request.tokenizer is None:
        raise UserError(
            f"{request.handle}: got no vocab; give it with --vocab, or the tokenizer's own "
            "SavedModel with --tokenizer-model"
        )
    return given, request.tokenizer, None


def shown(handle: str) -> str:
    """The handle without this machine's folders, so that equal inputs make equal bundles."""
    return handle if "://" in handle else Path(handle).name


def is_current(out: Path, provenance: dict[str, Any], request: Request) -> bool:
    """Whether `out` holds a whole bundle of the same source, options and versions."""
    try:
        document = json.loads((out / CONTRACT).read_text(encoding="utf-8"))
        spec, tokenizer = request.tokenizer, document["tokenizer"]
        same = (
            document["provenance"] == provenance
            and document["architecture"] == request.architecture
            and document["weight_dtype"] == request.dtype
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
