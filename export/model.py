"""`python -m export model`: a SavedModel and its vocab become a bundle."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export import hub
from export.bundle import CONTRACT, Contract, appearing, digest, seal
from export.errors import UserError
from export.quiet import tensorflow
from export.tokenizer import TokenizerSpec, read_vocab, reference, write_tokenizer
from export.versions import versions

MAX_LENGTH = 512


@dataclass(frozen=True)
class Request:
    """What to export. `architecture` and `trained` are what the source says of itself."""

    handle: str
    vocab: Path
    tokenizer: TokenizerSpec
    architecture: str = "unknown"
    trained: bool | None = None
    name: str | None = None


def export_model(request: Request, out: Path, say: Any = print) -> bool:
    """Writes the bundle; returns False where an equal one is there already.

    Raises:
        UserError: see `hub.resolve`, `read_vocab`, `graph.load` and `tfjs.write`.
        EnvironmentProblem: see `hub.resolve` and `appearing`.
    """
    vocab = read_vocab(request.vocab, notice=say)
    saved_model = hub.resolve(request.handle)
    provenance = {
        "source": {"handle": shown(request.handle), "sha256": digest(saved_model)},
        "vocab": {"sha256": digest(request.vocab)},
        "versions": versions(),
    }
    if is_current(out, provenance, request):
        say(f"{out} is up to date")
        return False

    say(f"loading {saved_model.name} in TensorFlow")
    tensorflow()
    from export import golden, graph, roles, tfjs

    source = graph.load(saved_model)
    frozen = graph.optimise(graph.freeze(source))
    inputs = roles.input_specs(frozen.inputs, saved_model)
    ids = next(spec.name for spec in inputs if spec.role == "input_ids")
    rows = graph.embedding_rows(frozen.graph_def, ids)
    if rows is not None and rows != len(vocab.tokens):
        raise UserError(
            f"{request.vocab} has {len(vocab.tokens)} lines, but the model's embedding has "
            f"{rows} rows; give the vocab that the model was trained with"
        )
    with appearing(out) as directory:
        say("writing the TF.js graph")
        tfjs.write(frozen, directory)
        say(f"reading the tables of tokenizer {request.tokenizer.algorithm}")
        contract = Contract(
            name=request.name or saved_model.name,
            architecture=request.architecture,
            trained=request.trained,
            weight_dtype="float32",
            inputs=inputs,
            outputs=roles.output_specs(frozen.outputs),
            padding="masked",
            max_length=MAX_LENGTH,
            tokenizer=write_tokenizer(directory, vocab, request.tokenizer),
            provenance=provenance,
        )
        say("computing the golden cases")
        twin = reference(request.tokenizer, vocab)
        golden.write(twin.encode(golden.TEXTS, special_tokens=True), source, contract, directory)
        seal(directory, contract)
    return True


def shown(handle: str) -> str:
    """The handle without this machine's folders, so that equal inputs make equal bundles."""
    return handle if "://" in handle else Path(handle).name


def is_current(out: Path, provenance: dict[str, Any], request: Request) -> bool:
    """Whether `out` holds a whole bundle of the same source, options and versions."""
    try:
        document = json.loads((out / CONTRACT).read_text(encoding="utf-8"))
        same = (
            document["provenance"] == provenance
            and document["tokenizer"]["algorithm"] == request.tokenizer.algorithm
            and document["tokenizer"]["options"] == request.tokenizer.options
            and document["architecture"] == request.architecture
        )
        return same and all(
            digest(out / name) == file["sha256"] for name, file in document["files"].items()
        )
    except (OSError, ValueError, KeyError):
        return False
