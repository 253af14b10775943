"""Finds the SavedModel behind a handle.

A handle is a local directory, an archive (.tar.gz, .tgz, .tar, .zip), a URL of one, a page of
TF-Hub or Kaggle, or a name of the catalog. What comes out has been vetted, and not been loaded.
"""

import argparse
import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import printing
from export import archive, cache_trust, catalog, model_sites
from export.download import DEFAULT_GIB, OTHER_WAYS, downloaded
from export.errors import UserError
from export.input_files import plain_file
from export.vetting import vet

# What lies beside the weights of a publisher's checkpoint.
CONFIGS = ("bert_config.json", "config.json", "albert_config.json", "electra_config.json")
BUILD = "; of a checkpoint make one first: `python -m export build`"

HANDLE_HELP = "a directory, an archive (.tar.gz, .zip), a URL or a name of the catalog"


def gib(text: str) -> int:
    """An argument that is a whole number of GiB."""
    if not (text.isascii() and text.isdecimal() and len(text) < 6 and int(text) > 0):
        raise argparse.ArgumentTypeError(f"expected a positive whole number of GiB, got {text}")
    return int(text)


def add_download_option(command: argparse.ArgumentParser) -> None:
    """What a download may take."""
    command.add_argument(
        "--max-download",
        type=gib,
        metavar="GIB",
        help=f"the largest file to download (default {DEFAULT_GIB})",
    )


def resolve(
    handle: str, sha256: str | None = None, say: Callable[[str], None] = printing.say
) -> Path:
    """The local directory of the SavedModel that a handle names, vetted.

    Raises:
        UserError: see `located`, `checked` and `vet`.
        EnvironmentProblem: see `located`.
    """
    directory = checked(located(handle, sha256, say), handle)
    vet(directory)
    return directory


def located(
    handle: str, sha256: str | None = None, say: Callable[[str], None] = printing.say
) -> Path:
    """The local directory that a handle names, of whatever kind; archives are unpacked.

    Raises:
        UserError: no such path, a damaged or unsafe archive, a page instead of a file, a host that
            does not answer, another sha256 than the given one.
        EnvironmentProblem: a download that broke off, a cache that cannot be written to.
    """
    place = Path(handle)
    entry = catalog.find(handle)
    if place.is_dir():
        if sha256:
            raise UserError(f"--sha256 is for an archive or a URL, got the directory {handle}")
        return place
    if place.exists():
        plain_file(place, "a model's archive or directory")
        return checked_and_unpacked(place, sha256)
    if entry:
        return published(entry, sha256, say)
    if is_url(handle):
        return from_url(handle, sha256, say)
    raise UserError(
        f"{handle}: no such file or directory, nor a name of the catalog "
        f"(python -m export catalog); {OTHER_WAYS}"
    )


def is_url(handle: str) -> bool:
    """Whether a handle is an address.

    Raises:
        UserError: it begins as one, and names no host that there can be.
    """
    if not handle.startswith(("http://", "https://")):
        return False
    try:
        host = urlsplit(handle).hostname
    except ValueError as error:
        raise UserError(f"{handle}: is no address: {error}; correct it") from None
    if not host:
        raise UserError(f"{handle}: is no address: it names no host; correct it")
    return True


def published(entry: catalog.Entry, sha256: str | None, say: Callable[[str], None]) -> Path:
    """A model of the catalog.

    Raises:
        UserError: see `from_url`; says what else works, since its host is mostly gone.
    """
    try:
        return from_url(entry.url, sha256, say)
    except UserError as error:
        raise UserError(
            f"{entry.name}: {error}, set TFHUB_CACHE_DIR to a cache where Python loaded it once, "
            "or make it from its publisher's checkpoint with `python -m export build`"
        ) from error


def from_url(url: str, sha256: str | None, say: Callable[[str], None]) -> Path:
    """What lies behind an address, from a cache if it is there.

    Raises:
        UserError: see `located`.
        EnvironmentProblem: see `located`.
    """
    cache = trusted_cache()
    earlier = cache / hashlib.sha1(url.encode()).hexdigest()
    if not sha256 and (earlier / "saved_model.pb").is_file():
        cache_trust.check(earlier)
        # Where tensorflow_hub put it when Python loaded it.
        return earlier
    if model_sites.is_model_page(url):
        if sha256:
            raise UserError(f"--sha256 is for an archive or a URL of one, got the page {url}")
        return model_sites.fetched(url)
    file = downloaded(url, cache, say)
    if sha256 and archive.digest(file) != sha256.lower():
        # Perhaps an earlier file of the same address: only the host's own is judged.
        file.unlink()
        file = downloaded(url, cache, say)
    try:
        return checked_and_unpacked(file, sha256)
    except UserError:
        # Else the next attempt would find the same file and not download another.
        file.unlink(missing_ok=True)
        raise


def checked_and_unpacked(file: Path, sha256: str | None) -> Path:
    """An archive's content, if the archive is the one that was meant.

    Raises:
        UserError: it has another sha256; see `archive.unpacked`.
    """
    plain_file(file, archive.KINDS)
    content = archive.digest(file)
    if sha256 and content != sha256.lower():
        raise UserError(
            f"{file}: got sha256 {content}, expected {sha256}; "
            "give the right one, or get the file from somewhere else"
        )
    return archive.unpacked(file, trusted_cache(), content)


def cache_directory() -> Path:
    """Where downloads and unpacked archives stay: `TFHUB_CACHE_DIR`, as tensorflow_hub has it."""
    given = os.environ.get("TFHUB_CACHE_DIR")
    return Path(given) if given else Path(tempfile.gettempdir()) / "tfhub_modules"


def trusted_cache() -> Path:
    """The cache, made where there is none.

    Raises:
        EnvironmentProblem: see `cache_trust.prepared`.
    """
    return cache_trust.prepared(cache_directory())


def checked(directory: Path, handle: str) -> Path:
    """Returns the directory if it is a SavedModel; an archive may hold it one level down.

    Raises:
        UserError: there is none, or there are several.
    """
    candidates = [directory, *sorted(child for child in directory.iterdir() if child.is_dir())]
    found = [place for place in candidates if (place / "saved_model.pb").is_file()]
    if not found:
        holds = ", ".join(sorted(child.name for child in directory.iterdir())[:5]) or "nothing"
        how = (
            BUILD
            if any((place / name).exists() for place in candidates for name in CONFIGS)
            else ""
        )
        raise UserError(
            f"{handle} is no SavedModel: got {holds}, expected a saved_model.pb in it{how}"
        )
    if len(found) > 1 and found[0] != directory:
        names = ", ".join(place.name for place in found[:5])
        raise UserError(f"{handle} holds several SavedModels ({names}); give the directory of one")
    return found[0]
