"""Pages of TF-Hub and Kaggle, resolved by tensorflow_hub, which knows their protocol."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from export import download
from export.errors import UserError
from export.quiet import tensorflow

HOSTS = {"tfhub.dev", "www.tfhub.dev", "kaggle.com", "www.kaggle.com", "hub.tensorflow.google.cn"}


def is_model_page(url: str) -> bool:
    """Whether tensorflow_hub is the one to ask."""
    parts = urlsplit(url)
    kaggle = "kaggle" in (parts.hostname or "")
    return parts.hostname in HOSTS and (not kaggle or parts.path.startswith("/models/"))


def fetched(url: str) -> Path:
    """The directory that tensorflow_hub downloads a model to.

    Raises:
        UserError: the site does not answer, or not with a model.
    """
    tensorflow()
    import tensorflow_hub

    try:
        with impatient():
            directory = Path(tensorflow_hub.resolve(url))
    # Whatever it is: a site that is gone fails in many ways, and none of them is for a person.
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise UserError(f"{url} gives no model ({reason}); {download.OTHER_WAYS}") from error
    if not directory.is_dir():
        raise UserError(f"{url} leads to {directory}, expected a directory; {download.OTHER_WAYS}")
    return directory


@contextmanager
def impatient() -> Iterator[None]:
    """tensorflow_hub waits for ever for a host, and ten minutes for another process's lock."""
    from tensorflow_hub import compressed_module_resolver

    before = socket.getdefaulttimeout()
    lock_before = compressed_module_resolver.LOCK_FILE_TIMEOUT_SEC
    socket.setdefaulttimeout(download.TIMEOUT_S)
    compressed_module_resolver.LOCK_FILE_TIMEOUT_SEC = download.STALL_S
    # Else it would hand out an address in a storage bucket instead of a directory.
    format_before = os.environ.pop("TFHUB_MODEL_LOAD_FORMAT", None)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
        compressed_module_resolver.LOCK_FILE_TIMEOUT_SEC = lock_before
        if format_before is not None:
            os.environ["TFHUB_MODEL_LOAD_FORMAT"] = format_before
