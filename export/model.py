"""`python -m export model`: makes a bundle from a SavedModel and its vocab."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from export import saved_model_copy
from export.bundle import ClassifierContract, TensorSpec, refuse_other_source, versions
from export.classifier_choice import ClassifierChoice
from export.confined import confinement
from export.confined.confinement import Limits
from export.graph.verdict import Verdict, require_exportable
from export.output_directory import atomic_directory, recover_interrupted, refuse_overlap
from export.source import hub
from export.source.repository_source import PREFIX, parse_handle, read_source
from export.source.signature_choice import AskedSignature
from export.tokenizer import facts, library_versions
from export.tokenizer_choice import TokenizerChoice, handle_without_folders
from support.contracts import CONTRACT, read_bundle
from support.errors import UserError
from support.sha256 import path_sha256


@dataclass(frozen=True)
class ExportRequest:
    """What to export; `architecture` and `trained` are the source's own description.

    `with_saved_model` puts a copy of the source into the bundle, for native TensorFlow in Node.
    `replace` allows the replacement of another source's bundle. `asked` has the user's choice of
    graph, signature, inputs and outputs, `classifier` that of what the model decides. `limits`
    apply to the process that loads the model. `own`: the caller made the model itself, so this
    process may load it.
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
    replace: bool = False
    asked: AskedSignature = AskedSignature()
    classifier: ClassifierChoice = ClassifierChoice()
    limits: Limits = Limits()
    own: bool = False


@dataclass(frozen=True)
class ExportJob:
    """The bundle to write: of a model that was vetted and can be exported."""

    directory: Path
    saved_model: Path
    verdict: Verdict
    provenance: dict[str, Any]
    request: ExportRequest


def export_model(request: ExportRequest, out: Path, say: Any = print) -> bool:
    """Writes the bundle; returns False if an equal one exists already.

    Raises:
        UserError: see `_saved_model`, `require_exportable`, `TokenizerChoice`, `refuse_overlap`,
            `refuse_other_source`, `atomic_directory`, `run_confined` and `write_bundle`.
        CheckFailed: see `write_bundle`.
        EnvironmentProblem: see `_saved_model`, `run_confined` and `write_bundle`.
    """
    tokenizer_provenance = request.tokenizer.provenance()
    with _saved_model(request, out, say) as saved_model:
        return _export_saved_model(request, saved_model, tokenizer_provenance, out, say)


@contextmanager
def _saved_model(request: ExportRequest, out: Path, say: Any) -> Iterator[Path]:
    """Yields the directory of the vetted SavedModel; of a repository's checkpoint one is built.

    Raises:
        UserError: see `hub.resolve`, `build_saved_model` and `refuse_other_source`.
        EnvironmentProblem: see `hub.resolve` and `build_saved_model`.
    """
    repository = parse_handle(request.handle)
    if repository is None:
        yield hub.resolve(request.handle, request.sha256)
        return
    if request.sha256:
        raise UserError(
            f"--sha256 is for an archive or a URL, got the repository {request.handle}; "
            f"{PREFIX}{repository.name}@COMMIT binds all its files"
        )
    # Before a download of minutes.
    this = {"provenance": {"source": {"handle": request.handle}}, "tokenizer": {}}
    refuse_other_source(out, this, f"the model {request.handle}", request.replace)
    from export.build import BuildRequest, build_saved_model

    with tempfile.TemporaryDirectory(prefix="saved-model-") as folder:
        directory = Path(folder) / repository.name.rpartition("/")[2]
        build_saved_model(BuildRequest(Path(request.handle)), directory, say)
        yield hub.resolve(str(directory))


def _export_saved_model(
    request: ExportRequest,
    saved_model: Path,
    tokenizer_provenance: dict[str, Any],
    out: Path,
    say: Any,
) -> bool:
    """Writes the bundle of a vetted SavedModel; see `export_model`.

    Args:
        request: what to export.
        saved_model: the directory of the SavedModel.
        tokenizer_provenance: where its tokenizer comes from.
        out: the directory of the bundle.
        say: prints progress messages.
    """
    verdict = require_exportable(saved_model, request.asked)
    source_of: dict[str, Any] = {
        "handle": handle_without_folders(request.handle),
        "sha256": path_sha256(saved_model),
    }
    repository = read_source(saved_model)
    if repository is not None:
        source_of["repository"] = repository
    if request.asked != AskedSignature():
        source_of["asked"] = json.loads(json.dumps(asdict(request.asked)))
    if request.classifier != ClassifierChoice():
        source_of.setdefault("asked", {})["classifier"] = request.classifier.document()
    provenance = {"source": source_of, "versions": versions()} | tokenizer_provenance
    input_files = [path for path in [Path(request.handle)] if path.exists()]
    refuse_overlap(out, [saved_model, *input_files, *request.tokenizer.local_files()])
    recover_interrupted(out.resolve())
    this = {"provenance": provenance, "tokenizer": {}}
    refuse_other_source(out, this, f"the model {source_of['handle']}", request.replace)
    model_facts = facts.read_facts(saved_model)
    if _is_current(out, provenance, request, model_facts, verdict.classifier):
        say(f"{out} is up to date")
        return False

    with atomic_directory(out, CONTRACT) as directory:
        if request.own:
            from export.conversion import write_bundle

            write_bundle(ExportJob(directory, saved_model, verdict, provenance, request), say)
        else:
            tokenizer, files = request.tokenizer.confined()
            confined = replace(request, tokenizer=tokenizer)
            job = ExportJob(directory, saved_model, verdict, provenance, confined)
            read = (saved_model, *files)
            confinement.run_confined(
                "model", job, read, directory, request.limits, say, request.handle
            )
    return True


def _is_current(
    out: Path,
    provenance: dict[str, Any],
    request: ExportRequest,
    model_facts: facts.TokenizerFacts | None,
    carried: ClassifierContract | None,
) -> bool:
    """Whether `out` is a complete bundle of the same source, options and versions.

    Args:
        out: the directory of the bundle.
        provenance: the provenance of the new bundle.
        request: what to export.
        model_facts: what the model says about its tokenizer.
        carried: what the model says that it decides.
    """
    choice = request.tokenizer
    spec = choice.spec_before_loading(request.handle, model_facts)
    try:
        document = read_bundle(out)
        tokenizer, made_by = document["tokenizer"], document["provenance"].pop("tokenizer")
        outputs = [TensorSpec(**spec) for spec in document["outputs"]]
        chosen = request.classifier.choose(outputs, carried, lambda line: None)
        same = (
            document["provenance"] == provenance
            and made_by == library_versions(tokenizer["algorithm"], choice.python)
            and document["architecture"] == request.architecture
            and document["weight_dtype"] == request.dtype
            and document["classifier"] == (chosen and chosen.document())
            and saved_model_copy.has_saved_model(document["files"]) == request.with_saved_model
            and (
                choice.model is not None
                if spec is None
                else (tokenizer["algorithm"], tokenizer["options"])
                == (spec.algorithm, spec.options)
            )
        )
        return same and all(
            path_sha256(out / name) == file["sha256"] for name, file in document["files"].items()
        )
    except (UserError, OSError, KeyError):
        return False
