"""The confined process: does one job that loads a stranger's model, and tells what came of it.

    python -m export.worker PIPE < JOB

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

from command_line import MACHINE
from export.errors import CheckFailed, EnvironmentProblem, UserError

OUT_OF_MEMORY = ("MemoryError", "ResourceExhaustedError")


def main(arguments: list[str]) -> int:
    """Does the job on stdin; always exit code 0, since the pipe tells how it ended."""
    with os.fdopen(int(arguments[0]), "w", encoding="utf-8", buffering=1) as pipe:

        def tell(**message: str) -> None:
            pipe.write(json.dumps(message) + "\n")

        try:
            do(json.loads(sys.stdin.read()), lambda line: tell(say=line))
        except (UserError, EnvironmentProblem, CheckFailed) as error:
            tell(error=type(error).__name__, message=str(error))
        except OSError as error:
            reason = f"{error.filename}: {error.strerror}" if error.strerror else str(error)
            kind = EnvironmentProblem if error.errno in MACHINE else UserError
            tell(error=kind.__name__, message=f"{reason}; give another place or make room")
        except Exception as error:
            # Whatever a stranger's model makes TensorFlow or a rewrite do ends here, in one line.
            name, line = type(error).__name__, next(iter(str(error).splitlines()), "")
            if name in OUT_OF_MEMORY:
                reason = f"the model needs more memory than it may use ({line}); --memory-limit"
                tell(error="EnvironmentProblem", message=f"{reason} GIB gives it more")
            else:
                reason = f"the export of this model stopped at {name}: {line} ({place_of(error)})"
                tell(error="UserError", message=f"{reason}; please report it with the model")
    return 0


def do(job: dict[str, Any], say: Any) -> None:
    """Does a job."""
    kind = job.pop("kind")
    if kind == "model":
        from export import conversion, model

        conversion.write_bundle(decoded(model.Job, job), say)
    else:
        from export import tokenizer_bundle

        tokenizer_bundle.write(decoded(tokenizer_bundle.Job, job), say)


def place_of(error: BaseException) -> str:
    """The line of this project where an error came up."""
    place, trace = "", error.__traceback__
    while trace is not None:
        file = Path(trace.tb_frame.f_code.co_filename)
        if file.parent.parent == Path(__file__).parents[1] or file.parent == Path(__file__).parent:
            place = f"{file.name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return place


def encoded(job: Any) -> dict[str, Any]:
    """A dataclass as JSON has it."""
    document: dict[str, Any] = json.loads(json.dumps(asdict(job), default=str))
    return document


def decoded(kind: Any, value: Any) -> Any:
    """A value of this type from what `encoded` made of it."""
    if value is None:
        return None
    if is_dataclass(kind) and isinstance(kind, type):
        hints = get_type_hints(kind)
        given = {f.name: decoded(hints[f.name], value[f.name]) for f in fields(kind)}
        return kind(**given)
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        (kind,) = (one for one in inner if one is not type(None))
        return decoded(kind, value)
    if origin is tuple:
        kinds = [inner[0]] * len(value) if inner[1:] == (...,) else inner
        return tuple(decoded(one, part) for one, part in zip(kinds, value, strict=True))
    return Path(value) if kind is Path else value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
