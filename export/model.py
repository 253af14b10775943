"""`python -m export model`: a SavedModel and its vocab become a bundle."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export import hub
from export.bundle import CONTRACT, Contract, appearing, digest, seal
from export.errors import UserError
from export.quiet import tensorflow
from export.tokenizer import TokenizerSpec, Vocab, read_vocab, reference, write_tokenizer
from export.versions import versions

MAX_LENGTH = 512


@dataclass(frozen=True)
class Request:
    """What to export. `architecture` and `trained` are what the source says of itself.

    Either `tokenizer` says which tokenizer goes with the vocab, or it is recovered from the hub
    tokenizer model `tokenizer_model`, which brings its vocab.
    """

    handle: str
    vocab: Path | None
    tokenizer: TokenizerSpec | None
    tokenizer_model: str | None = None
    architecture: str = "unknown"
    trained: bool | None = None
    name: str | None = None


def export_model(request: Request, out: Path, say: Any = print) -> bool:
    """Writes the bundle; returns False where an equal one is there already.

    Raises:
        UserError: see `hub.resolve`, `read_vocab`, `graph.load` and `tfjs.write`.
        EnvironmentProblem: see `hub.resolve` and `appearing`.
    """
    given = read_vocab(request.vocab, notice=say) if request.vocab else None
    saved_model = hub.resolve(request.handle)
    tokenizer_model = hub.resolve(request.tokenizer_model) if request.tokenizer_model else None
    provenance = {
        "source": {"handle": shown(request.handle), "sha256": digest(saved_model)},
        "versions": versions(),
    }
    if request.vocab:
        provenance["vocab"] = {"sha256": digest(request.vocab)}
    if request.tokenizer_model and tokenizer_model:
        handle, sha256 = shown(request.tokenizer_model), digest(tokenizer_model)
        provenance["tokenizer_model"] = {"handle": handle, "sha256": sha256}
    if is_current(out, provenance, request):
        say(f"{out} is up to date")
        return False

    say(f"loading {saved_model.name} in TensorFlow")
    tensorflow()
    from export import golden, graph, roles, tfjs

    vocab, spec, adds_special_tokens = tokenizer_of(request, given, tokenizer_model, say)
    source = graph.load(saved_model)
    frozen = graph.optimise(graph.freeze(source))
    inputs = roles.input_specs(frozen.inputs, saved_model)
    ids = next(spec.name for spec in inputs if spec.role == "input_ids")
    rows = graph.embedding_rows(frozen.graph_def, ids)
    if rows is not None and rows != len(vocab.tokens):
        raise UserError(
            f"{request.vocab or request.tokenizer_model} has {len(vocab.tokens)} tokens, but the "
            f"model's embedding has {rows} rows; give the vocab that the model was trained with"
        )
    with appearing(out) as directory:
        say("writing the TF.js graph")
        tfjs.write(frozen, directory)
        say(f"reading the tables of tokenizer {spec.algorithm}")
        contract = Contract(
            name=request.name or saved_model.name,
            architecture=request.architecture,
            trained=request.trained,
            weight_dtype="float32",
            inputs=inputs,
            outputs=roles.output_specs(frozen.outputs),
            padding="masked",
            max_length=MAX_LENGTH,
            tokenizer=write_tokenizer(directory, vocab, spec, adds_special_tokens),
            provenance=provenance,
        )
        say("computing the golden cases")
        twin = reference(spec, vocab)
        golden.write(twin.encode(golden.TEXTS, special_tokens=True), source, contract, directory)
        seal(directory, contract)
    return True


def tokenizer_of(
    request: Request, given: Vocab | None, model: Path | None, say: Any
) -> tuple[Vocab, TokenizerSpec, bool | None]:
    """The vocab, the tokenizer, and whether its Python side adds special tokens (None: default)."""
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
