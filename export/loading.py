"""The one door through which a SavedModel is loaded, whoever made it: it is vetted first.

Nothing else in this project calls TensorFlow's or TF-Hub's loaders; a test looks for that.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from export.errors import UserError
from export.quiet import tensorflow
from export.vetting import vet

HUB_MODULE = "tfhub_module.pb"


def load_saved_model(directory: Path, tags: Sequence[str] | None = None) -> Any:
    """The loaded model, as `hub.load` gives it.

    Args:
        directory: of the SavedModel.
        tags: all tags of the graph to load; None where the file holds but one, or is a module of
            TF1's TF-Hub, whose graph for use has none.

    Raises:
        UserError: it does more than compute (see `vet`), or does not load.
        EnvironmentProblem: see `saved_model_messages.read`.
    """
    vet(directory)
    if tags is None and (directory / HUB_MODULE).is_file():
        tags = []
    tf, _ = tensorflow()
    try:
        return tf.saved_model.load(str(directory), tags=tags)
    except MemoryError:
        raise
    except Exception as error:
        # The loader trusts its file: a damaged one makes it raise anything at all.
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise UserError(f"{directory} does not load as a SavedModel: {reason}") from error
