"""Frozen graphs of small TensorFlow functions, by way of a SavedModel as in an export."""

import tempfile
from pathlib import Path
from typing import Any

from support.quiet_tensorflow import tensorflow


def frozen_of(function: Any, held: list[Any], *signature: Any) -> tuple[Any, Any]:
    """The frozen graph of a function that returns a dict, and the function itself."""
    source, plain = source_of(function, held, *signature)
    from export.graph import graph

    return graph.freeze(source, graph.inline_calls(source)), plain


def source_of(function: Any, held: list[Any], *signature: Any) -> tuple[Any, Any]:
    """The same, saved and loaded again; `held` are variables and tables it uses."""
    tf, _ = tensorflow()
    from export.graph import graph

    class Model(tf.Module):  # type: ignore[misc,name-defined]
        """Keeps what the function uses."""

        def __init__(self) -> None:
            super().__init__()
            self.held = held

    module = Model()
    plain = tf.function(function, input_signature=list(signature))
    with tempfile.TemporaryDirectory() as place:
        tf.saved_model.save(module, place, signatures={"serving_default": plain})
        return graph.load_source(Path(place)), plain
