"""The confined process: does one job that loads a stranger's model, and tells what came of it.

    python -m export.confined.worker PIPE < JOB

A job is JSON: `kind`, `model` or `tokenizer`, and the fields of `model.Job` or of
`tokenizer_bundle.Job`. To the pipe go lines of JSON: `{"say": line}` for progress, and at the end
`{"error": class, "message": line}` unless all is well.
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
    """Does the job on stdin; always exit code 0, since the pipe tells how it ended."""
    with os.fdopen(int(arguments[0]), "w", encoding="utf-8", buffering=1) as pipe:

        def tell(**message: str) -> None:
            pipe.write(json.dumps(message) + "\n")

        try:
            run_job(json.loads(sys.stdin.read()), lambda line: tell(say=line))
        except Exception as error:
            # Whatever a stranger's model makes TensorFlow or a rewrite do ends here, in one line.
            line, code = describe_failure(error)
            if code == INTERNAL:
                reason = summarize_error(error)
                line = f"the export stopped at {reason}; please report it with the model"
            if type(error).__name__ in OUT_OF_MEMORY_CLASSES:
                line = f"the model needs more memory than it may use; --memory-limit GIB: {line}"
            tell(error=ERROR_CLASSES.get(code, UserError).__name__, message=line)
    return 0


def run_job(job: dict[str, Any], say: Any) -> None:
    """Does a job."""
    kind = job.pop("kind")
    if kind == "model":
        from export import conversion, model

        conversion.write_bundle(decode_value(model.ExportJob, job), say)
    else:
        from export import tokenizer_bundle

        tokenizer_bundle.write_tokenizer_bundle(
            decode_value(tokenizer_bundle.TokenizerJob, job), say
        )


def encode_job(job: Any) -> dict[str, Any]:
    """A dataclass as JSON has it."""
    document: dict[str, Any] = json.loads(json.dumps(asdict(job), default=str))
    return document


def decode_value(kind: Any, value: Any) -> Any:
    """A value of this type from what `encoded` made of it."""
    if value is None:
        return None
    if is_dataclass(kind) and isinstance(kind, type):
        hints = get_type_hints(kind)
        given = {f.name: decode_value(hints[f.name], value[f.name]) for f in fields(kind)}
        return kind(**given)
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
