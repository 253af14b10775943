"""The confined process: runs one job that loads an untrusted model, and reports the result.

    python -m export.confined.worker PIPE < JOB

A job is JSON: `kind` (`model`, `tokenizer` or `h5`), and the fields of `ExportJob`, `TokenizerJob`
or `H5Job`. The process writes lines of JSON to the pipe: `{"say": line}` for progress, and at the
end, only after an error, `{"error": class, "message": line}`.
"""

import json
import os
import sys
import types
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from support.command_line import INTERNAL, OUT_OF_MEMORY_CLASSES, describe_failure, summarize_error
from support.errors import CheckFailed, EnvironmentProblem, UserError

ERROR_CLASSES = {kind.exit_code: kind for kind in (CheckFailed, UserError, EnvironmentProblem)}


def main(arguments: list[str]) -> int:
    """Runs the job from stdin; returns exit code 0 always, since the pipe reports errors."""
    with os.fdopen(int(arguments[0]), "w", encoding="utf-8", buffering=1) as pipe:

        def send(**message: str) -> None:
            pipe.write(json.dumps(message) + "\n")

        try:
            _run_job(json.loads(sys.stdin.read()), lambda line: send(say=line))
        except Exception as error:
            # Any error that an untrusted model causes in TensorFlow or a rewrite becomes one line.
            line, code = describe_failure(error)
            if code == INTERNAL:
                reason = summarize_error(error)
                line = f"the export stopped at {reason}; please report it with the model"
            if type(error).__name__ in OUT_OF_MEMORY_CLASSES:
                line = f"the model needs more memory than it may use; --memory-limit GIB: {line}"
            send(error=ERROR_CLASSES.get(code, UserError).__name__, message=line)
    return 0


def _run_job(job: dict[str, Any], say: Any) -> None:
    """Runs a job."""
    kind = job.pop("kind")
    if kind == "model":
        from export import conversion, model

        conversion.write_bundle(decode_value(model.ExportJob, job), say)
    elif kind == "h5":
        from export.checkpoints import keras_h5

        keras_h5.convert(decode_value(keras_h5.H5Job, job))
    else:
        from export import tokenizer_bundle

        tokenizer_bundle.write_tokenizer_bundle(
            decode_value(tokenizer_bundle.TokenizerJob, job), say
        )


def encode_job(job: Any) -> dict[str, Any]:
    """Converts a dataclass to JSON values."""
    document: dict[str, Any] = json.loads(json.dumps(asdict(job), default=str))
    return document


def decode_value(kind: Any, value: Any) -> Any:
    """Converts JSON values from `encode_job` back to a value of this type."""
    if value is None:
        return None
    if is_dataclass(kind) and isinstance(kind, type):
        hints = get_type_hints(kind)
        values = {f.name: decode_value(hints[f.name], value[f.name]) for f in fields(kind)}
        return kind(**values)
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        (kind,) = (one for one in inner if one is not type(None))
        return decode_value(kind, value)
    if origin is tuple:
        kinds = [inner[0]] * len(value) if inner[1:] == (...,) else inner
        return tuple(decode_value(one, part) for one, part in zip(kinds, value, strict=True))
    return Path(value) if kind is Path else value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
