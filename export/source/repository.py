"""A model's repository on Hugging Face's hub or a mirror of it: `hf:OWNER/NAME[@REVISION]`.

huggingface_hub downloads the files that are asked for into its own cache, where other programs may
have put them already, and goes on after a broken connection. Here each file, new or cached, is held
against the hash that the repository itself says. Where the network is closed, the cache alone may
have all files.
"""

import hashlib
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import huggingface_hub
from huggingface_hub import constants

from export.source import download
from export.source.cache import check_owner, prepare_cache
from export.source.guarded_client import HASH, Transfer
from export.source.repository_errors import OTHER_CACHE, explain
from export.source.repository_source import RepositoryHandle, RepositorySource
from support.atomic import write_file
from support.errors import EnvironmentProblem, UserError
from support.input_files import short_json
from support.printing import Say
from support.progress import BYTES, Progress
from support.sha256 import file_sha256

HUB = "https://huggingface.co"
MAX_FILES = 100_000
COMMIT = re.compile(r"[0-9a-f]{40}")
SHA256_LENGTH = 64
CACHED = ("config.json", "modules.json")
"""Files of which every checkpoint has one."""


@dataclass(frozen=True)
class ListedFile:
    """A file's size in bytes and its git sha1 or its sha256, where the repository says them."""

    size: int | None = None
    hash: str | None = None


@dataclass
class Repository:
    """An opened repository; `fetch` brings files into `directory`.

    Attributes:
        handle: what was asked for.
        commit: its commit.
        endpoint: see `RepositorySource`.
        directory: the commit's directory in the cache.
        listed: its files.
        say: prints progress messages.
        transfer: the connections; None where the network is closed.
        files: the sha256 of each file that was fetched.
    """

    handle: RepositoryHandle
    commit: str
    endpoint: str
    directory: Path
    listed: dict[str, ListedFile]
    say: Say
    transfer: Transfer | None = None
    files: dict[str, str] = field(default_factory=dict)

    def fetch(self, names: Iterable[str]) -> None:
        """Downloads files, unless the cache has them, and checks their hashes.

        Raises:
            UserError: they are too large, their bytes are not those of their hashes, or see
                `explain`.
            EnvironmentProblem: see `explain`.
        """
        wanted = [name for name in names if name not in self.files]
        missing = [name for name in wanted if not (self.directory / name).is_file()]
        if self.transfer is not None and missing:
            _download(self, self.transfer, missing)
        for name in wanted:
            self._check_hash(name)
            self.files[name] = file_sha256(self.directory / name)
        if self.transfer is not None and self.handle.revision != self.commit:
            self._remember_commit()

    def _remember_commit(self) -> None:
        """Writes the revision's commit into the cache, as the library does when it is asked so.

        It is asked for a commit, so that all files are of one.
        """
        file = self.directory.parents[1] / "refs" / self.handle.revision
        # A cache may be read only; then it will not be enough without a network.
        with suppress(OSError):
            if not file.is_file() or file.read_text("utf-8") != self.commit:
                write_file(file, self.commit)

    def _check_hash(self, name: str) -> None:
        """Holds a file against its hash; removes it from the cache if it has another.

        Without links in the cache and without a network nothing says the hash.

        Raises:
            UserError: it has another hash.
        """
        file = self.directory / name
        blob = file.resolve()
        expected = self.listed[name].hash or (blob.name if file.is_symlink() else None)
        if expected is None or not HASH.fullmatch(expected):
            return
        got = file_sha256(file) if len(expected) == SHA256_LENGTH else _git_sha1(file)
        if got != expected:
            raise UserError(
                f"{self.handle.text}: {name}: got the hash {got}, expected {expected}, which the "
                f"repository itself says; {self._remove(file, blob)}: run the command again, or "
                "set HF_ENDPOINT to another mirror"
            )

    def _remove(self, file: Path, blob: Path) -> str:
        """Removes a file, and what it leads to in the cache; returns what was done."""
        try:
            file.unlink()
            # A person may have put a link to a file of their own there.
            if blob.is_relative_to((self.directory.parents[1] / "blobs").resolve()):
                blob.unlink(missing_ok=True)
        except OSError as error:
            return f"remove {file} ({error.strerror})"
        return "the file was removed"

    def source(self) -> RepositorySource:
        """Returns where the fetched files come from."""
        handle = self.handle
        files = dict(sorted(self.files.items()))
        return RepositorySource(handle.name, handle.revision, self.commit, self.endpoint, files)


def open_repository(handle: RepositoryHandle, say: Say) -> Repository:
    """Reads which files a repository has; where no host answers, which of them the cache has.

    Raises:
        UserError: there is no such repository or revision, or nobody without a token may read it;
            or the endpoint is no hub.
        EnvironmentProblem: no host answers and the cache lacks it, or the cache may be anyone's.
    """
    cache = Path(constants.HF_HUB_CACHE)
    if huggingface_hub.is_offline_mode():
        cached = _open_cached(handle, cache, say)
        if cached is None:
            raise EnvironmentProblem(
                f"{handle.text}: HF_HUB_OFFLINE is set, and the cache {cache} has no config.json "
                "of it; unset it, or download the files elsewhere and give their directory"
            )
        return cached
    prepare_cache(cache, OTHER_CACHE)
    try:
        return _open_online(handle, cache, say)
    except EnvironmentProblem as error:
        cached = _open_cached(handle, cache, say)
        if cached is None:
            raise
        say(f"NOTICE: {error}; taking commit {cached.commit[:12]} from the cache")
        return cached


def _open_cached(handle: RepositoryHandle, cache: Path, say: Say) -> Repository | None:
    """Opens what the cache has of a repository; None if it has not even a config."""
    for name in CACHED:
        found = huggingface_hub.try_to_load_from_cache(
            handle.name, name, cache_dir=cache, revision=handle.revision
        )
        if isinstance(found, str):
            check_owner(cache, OTHER_CACHE)
            directory = Path(found).parent
            names = (
                (Path(folder) / file).relative_to(directory).as_posix()
                for folder, _, files in os.walk(directory)
                for file in files
            )
            listed = {name: ListedFile() for name in names}
            return Repository(handle, directory.name, "cache", directory, listed, say)
    return None


def _open_online(handle: RepositoryHandle, cache: Path, say: Say) -> Repository:
    """Asks the endpoint for the commit and the files of a repository."""
    endpoint = (os.environ.get("HF_ENDPOINT") or HUB).rstrip("/")
    if not endpoint.startswith(("https://", "http://")):
        raise UserError(f"HF_ENDPOINT: got {endpoint}, expected an address such as {HUB}")
    transfer = Transfer(endpoint)
    ask = partial(
        huggingface_hub.HfApi(endpoint=endpoint).model_info,
        handle.name,
        revision=handle.revision,
        files_metadata=True,
        timeout=download.TIMEOUT_S,
    )
    try:
        info = transfer.run(ask)
        listed = _read_listing(info.siblings)
    except Exception as error:
        raise explain(error, handle, endpoint) from error
    if not isinstance(info.sha, str) or not COMMIT.fullmatch(info.sha):
        raise UserError(
            f"{endpoint}: got the commit {short_json(info.sha)}, expected 40 hex digits"
        )
    transfer.commit = info.sha
    folder = "--".join(["models", *handle.name.split("/")])
    directory = cache / folder / "snapshots" / info.sha
    kind = "hub" if endpoint == HUB else "mirror"
    return Repository(handle, info.sha, kind, directory, listed, say, transfer)


def _read_listing(siblings: Any) -> dict[str, ListedFile]:
    """Returns the files of a listing by name; their names are not safe as paths."""
    if not isinstance(siblings, list) or len(siblings) > MAX_FILES:
        raise ValueError("no list of files")
    listed = {}
    for file in siblings:
        known = file.lfs.sha256 if file.lfs is not None else file.blob_id
        size = file.lfs.size if file.lfs is not None else file.size
        if known is not None and not HASH.fullmatch(known):
            raise ValueError("a file whose hash is none")
        if size is not None and (type(size) is not int or size < 0):
            raise ValueError("a file whose size is none")
        listed[str(file.rfilename)] = ListedFile(size, known)
    return listed


def _download(repository: Repository, transfer: Transfer, names: list[str]) -> None:
    """Downloads files into the cache.

    Raises:
        UserError: they are larger than allowed, or see `explain`.
        EnvironmentProblem: see `explain`.
    """
    sizes = [repository.listed[name].size for name in names]
    total = sum(size or 0 for size in sizes)
    download.refuse_larger(repository.handle.text, total)
    known = None if None in sizes else total
    try:
        with Progress("download", known, unit=BYTES, say=repository.say) as progress:
            for name, size in zip(names, sizes, strict=True):
                transfer.largest = download.max_bytes if size is None else size
                get = partial(
                    huggingface_hub.hf_hub_download,
                    repository.handle.name,
                    name,
                    revision=repository.commit,
                    endpoint=transfer.endpoint,
                    cache_dir=repository.directory.parents[2],
                    etag_timeout=download.TIMEOUT_S,
                )
                transfer.run(get, progress)
    except Exception as error:
        raise explain(error, repository.handle, transfer.endpoint) from error


def _git_sha1(file: Path) -> str:
    """Returns the hash by which git knows a file's content."""
    content = hashlib.sha1(b"blob %d\0" % file.stat().st_size)
    with file.open("rb") as stream:
        while piece := stream.read(1 << 20):
            content.update(piece)
    return content.hexdigest()
