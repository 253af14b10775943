"""Finds the SavedModel of a handle.

A handle is a local directory, an archive (.tar.gz, .tgz, .tar, .zip), a URL of one, a page of
TF-Hub or Kaggle, or a name of the catalog. The result is vetted, but not loaded.
"""

import argparse
import hashlib
import os
import re
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from export.source import archive, catalog, download
from export.source.archive import ARCHIVE_KINDS
from export.source.cache import check_owner, prepare_cache
from export.source.download import DEFAULT_GIB, OTHER_SOURCES, download_archive
from export.source.repository_source import PREFIX, parse_handle
from export.source.vetting import vet
from support import printing
from support.errors import UserError
from support.input_files import plain_file_size
from support.quiet_tensorflow import tensorflow
from support.sha256 import file_sha256

# Pages of TF-Hub and Kaggle; tensorflow_hub resolves them, since it knows their protocol.

PAGE_HOSTS = {
    "tfhub.dev",
    "www.tfhub.dev",
    "kaggle.com",
    "www.kaggle.com",
    "hub.tensorflow.google.cn",
}


def is_model_page(url: str) -> bool:
    """Whether tensorflow_hub can resolve a URL."""
    parts = urlsplit(url)
    kaggle = "kaggle" in (parts.hostname or "")
    return parts.hostname in PAGE_HOSTS and (not kaggle or parts.path.startswith("/models/"))


def _resolve_page(url: str) -> Path:
    """Downloads a model with tensorflow_hub; returns its directory.

    Raises:
        UserError: the site does not answer, or does not send a model.
    """
    tensorflow()
    import tensorflow_hub

    try:
        with short_timeouts():
            directory = Path(tensorflow_hub.resolve(url))
    # A dead site causes many kinds of errors, which users would not understand.
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0] or type(error).__name__
        raise UserError(f"{url} gives no model ({reason}); {download.OTHER_SOURCES}") from error
    if not directory.is_dir():
        raise UserError(
            f"{url} leads to {directory}, expected a directory; {download.OTHER_SOURCES}"
        )
    return directory


@contextmanager
def short_timeouts() -> Iterator[None]:
    """Limits how long tensorflow_hub waits: by default forever for a host, 10 min for a lock."""
    from tensorflow_hub import compressed_module_resolver

    before = socket.getdefaulttimeout()
    lock_before = compressed_module_resolver.LOCK_FILE_TIMEOUT_SEC
    socket.setdefaulttimeout(download.TIMEOUT_S)
    compressed_module_resolver.LOCK_FILE_TIMEOUT_SEC = download.STALL_S
    # Otherwise it would return an address in a storage bucket instead of a directory.
    format_before = os.environ.pop("TFHUB_MODEL_LOAD_FORMAT", None)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
        compressed_module_resolver.LOCK_FILE_TIMEOUT_SEC = lock_before
        if format_before is not None:
            os.environ["TFHUB_MODEL_LOAD_FORMAT"] = format_before


# The page of a model; files have `/resolve/REVISION/` in their address.
REPOSITORY_PAGE = re.compile(
    r"https?://(?:huggingface\.co|hf\.co|hf-mirror\.com)/([\w.-]+/[\w.-]+)/?"
)
# Files beside the weights of a publisher's checkpoint.
CONFIG_FILES = ("bert_config.json", "config.json", "albert_config.json", "electra_config.json")
OTHER_CACHE = "set TFHUB_CACHE_DIR to a directory of your own"
BUILD_ADVICE = "; of a checkpoint make one first: `python -m export build`"

HANDLE_HELP = "a directory, an archive (.tar.gz, .zip), a URL or a name of the catalog"


def _positive_gib(text: str) -> int:
    """Parses an argument that is a positive whole number of GiB."""
    if not (text.isascii() and text.isdecimal() and len(text) < 6 and int(text) > 0):
        raise argparse.ArgumentTypeError(f"expected a positive whole number of GiB, got {text}")
    return int(text)


def add_download_option(command: argparse.ArgumentParser) -> None:
    """Adds the option that limits a download."""
    command.add_argument(
        "--max-download",
        type=_positive_gib,
        metavar="GIB",
        help=f"the largest file to download (default {DEFAULT_GIB})",
    )


def resolve(
    handle: str, sha256: str | None = None, say: Callable[[str], None] = printing.say
) -> Path:
    """Returns the local directory of a handle's SavedModel, vetted.

    Raises:
        UserError: see `locate`, `find_saved_model` and `vet`.
        EnvironmentProblem: see `locate`.
    """
    directory = find_saved_model(locate(handle, sha256, say), handle)
    vet(directory)
    return directory


def locate(
    handle: str, sha256: str | None = None, say: Callable[[str], None] = printing.say
) -> Path:
    """Returns the local directory of a handle; downloads and unpacks as needed.

    Raises:
        UserError: there is no such path, the archive is damaged or unsafe, the URL is a web page,
            the host does not answer, or the sha256 is another.
        EnvironmentProblem: the download was interrupted, or the cache is not writable.
    """
    repository = parse_handle(handle)
    if repository is not None:
        raise UserError(
            f"{handle}: got a repository of a checkpoint, expected a SavedModel{BUILD_ADVICE}"
        )
    path = Path(handle)
    entry = catalog.find_entry(handle)
    if path.is_dir():
        if sha256:
            raise UserError(f"--sha256 is for an archive or a URL, got the directory {handle}")
        return path
    if path.exists():
        plain_file_size(path, "a model's archive or directory")
        return _check_and_unpack(path, sha256)
    if entry:
        return _resolve_published(entry, sha256, say)
    if _is_url(handle):
        return resolve_url(handle, sha256, say)
    raise UserError(
        f"{handle}: no such file or directory, nor a name of the catalog "
        f"(python -m export catalog); {OTHER_SOURCES}"
    )


def _is_url(handle: str) -> bool:
    """Whether a handle is a URL.

    Raises:
        UserError: it begins like a URL, but has no valid host; or it is the page of a repository
            of Hugging Face.
    """
    if not handle.startswith(("http://", "https://")):
        return False
    try:
        host = urlsplit(handle).hostname
    except ValueError as error:
        raise UserError(f"{handle}: is no address: {error}; correct it") from None
    if not host:
        raise UserError(f"{handle}: is no address: it names no host; correct it")
    page = REPOSITORY_PAGE.fullmatch(handle)
    if page is not None:
        raise UserError(
            f"{handle}: is the page of a repository, expected {ARCHIVE_KINDS}; give "
            f"{PREFIX}{page[1]}"
        )
    return True


def _resolve_published(
    entry: catalog.Entry, sha256: str | None, say: Callable[[str], None]
) -> Path:
    """Returns the directory of a model of the catalog.

    Raises:
        UserError: see `resolve_url`; the message has alternatives, since most hosts are gone.
    """
    try:
        return resolve_url(entry.url, sha256, say)
    except UserError as error:
        raise UserError(
            f"{entry.name}: {error}, set TFHUB_CACHE_DIR to a cache where Python loaded it once, "
            "or make it from its publisher's checkpoint with `python -m export build`"
        ) from error


def resolve_url(url: str, sha256: str | None, say: Callable[[str], None]) -> Path:
    """Returns the directory of a URL's model, from the cache if possible.

    Raises:
        UserError: see `locate`.
        EnvironmentProblem: see `locate`.
    """
    cache = _trusted_cache()
    earlier = cache / hashlib.sha1(url.encode()).hexdigest()
    if not sha256 and (earlier / "saved_model.pb").is_file():
        check_owner(earlier, OTHER_CACHE)
        # The directory in which tensorflow_hub stored it when Python loaded it.
        return earlier
    if is_model_page(url):
        if sha256:
            raise UserError(f"--sha256 is for an archive or a URL of one, got the page {url}")
        return _resolve_page(url)
    file = download_archive(url, cache, say)
    if sha256 and file_sha256(file) != sha256.lower():
        # This may be an older file of the same URL: check the host's current one.
        file.unlink()
        file = download_archive(url, cache, say)
    try:
        return _check_and_unpack(file, sha256)
    except UserError:
        # Otherwise the next attempt would find the same file and not download it again.
        file.unlink(missing_ok=True)
        raise


def _check_and_unpack(file: Path, sha256: str | None) -> Path:
    """Checks an archive's sha256 and unpacks it; returns the directory.

    Raises:
        UserError: it has another sha256; or see `archive.unpack`.
    """
    plain_file_size(file, ARCHIVE_KINDS)
    content = file_sha256(file)
    if sha256 and content != sha256.lower():
        raise UserError(
            f"{file}: got sha256 {content}, expected {sha256}; "
            "give the right one, or get the file from somewhere else"
        )
    return archive.unpack(file, _trusted_cache(), content)


def _cache_directory() -> Path:
    """Returns the directory of downloads and unpacked archives, that of tensorflow_hub."""
    configured = os.environ.get("TFHUB_CACHE_DIR")
    return Path(configured) if configured else Path(tempfile.gettempdir()) / "tfhub_modules"


def _trusted_cache() -> Path:
    """Returns the cache, created if needed.

    Raises:
        EnvironmentProblem: see `prepare_cache`.
    """
    return prepare_cache(_cache_directory(), OTHER_CACHE)


def find_saved_model(directory: Path, handle: str) -> Path:
    """Returns the directory, or its only subdirectory, that is a SavedModel.

    Raises:
        UserError: there is none, or there are several.
    """
    candidates = [directory, *sorted(child for child in directory.iterdir() if child.is_dir())]
    found = [path for path in candidates if (path / "saved_model.pb").is_file()]
    if not found:
        holds = ", ".join(sorted(child.name for child in directory.iterdir())[:5]) or "nothing"
        how = (
            BUILD_ADVICE
            if any((path / name).exists() for path in candidates for name in CONFIG_FILES)
            else ""
        )
        raise UserError(
            f"{handle} is no SavedModel: got {holds}, expected a saved_model.pb in it{how}"
        )
    if len(found) > 1 and found[0] != directory:
        names = ", ".join(path.name for path in found[:5])
        raise UserError(f"{handle} holds several SavedModels ({names}); give the directory of one")
    return found[0]
