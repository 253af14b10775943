"""Converts the weights of a `tf_model.h5` in a confined process, for `build` and `inspect`."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from export.checkpoints import huggingface, tf1
from export.checkpoints.keras_h5 import H5Job, find_keras_file
from export.confined.confinement import Limits, run_confined

LIMITS = Limits()


@contextmanager
def converted_weights(path: Path, say: Callable[[str], None]) -> Iterator[list[Path] | None]:
    """Yields the checkpoint's weights as safetensors files, which are removed after the block.

    Yields None where nothing has to be converted: the checkpoint has safetensors or is of TF1, or
    has no `tf_model.h5`.

    Raises:
        UserError: see `keras_h5.convert`.
        EnvironmentProblem: see `run_confined`.
    """
    file = find_keras_file(path)
    if file is None or huggingface.weight_files(path) or tf1.find_prefix(path) is not None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="weights-") as folder:
        directory = Path(folder)
        job = H5Job(file.resolve(), directory)
        # What a link leads to: in Hugging Face's cache the file lies outside of the directory.
        run_confined("h5", job, (job.file,), directory, LIMITS, say, str(file))
        yield sorted(directory.glob("*.safetensors"))
