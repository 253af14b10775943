"""Imports TensorFlow without its start-up messages; the only file that sets what it prints.

A program that imports TensorFlow at its top gets the level below from its package's `__init__.py`.
"""

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Read by TensorFlow's C++ code when it is loaded: errors only.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def tensorflow() -> tuple[Any, Any]:
    """Returns the modules `tensorflow` and `tensorflow_text`; they print errors only."""
    for name in ("tensorflow", "absl"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message="pkg_resources is deprecated", category=UserWarning)
    warnings.filterwarnings("ignore", module="tf_keras")
    with silent_stderr():
        import tensorflow as tf
        import tensorflow_text as tf_text
    return tf, tf_text


@contextmanager
def silent_stderr() -> Iterator[None]:
    """Discards what the block writes to file descriptor 2: C++ messages ignore the log level.

    An exception in the block is raised as usual.
    """
    sys.stderr.flush()
    saved = os.dup(2)
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123  a device, not a path of the user's
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
