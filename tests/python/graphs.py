"""Makes frozen graphs of small TensorFlow functions, through a SavedModel as in an export."""

import tempfile
from pathlib import Path
from typing import Any

from support.quiet_tensorflow import tensorflow


def freeze_function(function: Any, variables: list[Any], *signature: Any) -> tuple[Any, Any]:
    """Returns the frozen graph of a function that returns a dict, and the function itself."""
    source, plain = save_and_load(function, variables, *signature)
    from export.graph import graph

    return graph.freeze(source, graph.inline_calls(source)), plain


def save_and_load(function: Any, variables: list[Any], *signature: Any) -> tuple[Any, Any]:
    """Saves and loads a function; `variables` are the variables and tables that it uses."""
    tf, _ = tensorflow()
    from export.graph import graph

    class Model(tf.Module):  # type: ignore[misc,name-defined]
        """Owns what the function uses."""

        def __init__(self) -> None:
            super().__init__()
            self.owned = variables

    module = Model()
    plain = tf.function(function, input_signature=list(signature))
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures={"serving_default": plain})
        return graph.load_source(Path(folder)), plain
