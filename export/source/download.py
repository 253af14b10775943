"""Downloads a URL into the cache, once; resumes an interrupted download.

tensorflow_hub can download too, but unpacks what arrives: it has no limit of size or time, checks
no archive, and begins anew after each interruption.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from export.source.archive import ARCHIVE_KINDS, HEAD_BYTES, detect_archive_kind
from export.source.connection import Connection, ConnectionBroken, NoAnswer
from support.errors import EnvironmentProblem, UserError
from support.input_files import read_object, require_type
from support.progress import BYTES, Progress

# An unfinished download, saved as long as it can be resumed.

# A file that nobody has written to for so long was left by a process that is gone.
ABANDONED_S = 120


class PartialFile:
    """The partial file of one URL.

    It is not written by `support.atomic`, which removes what is unfinished: this file stays for the
    next process, which resumes it.

    `version` is the server's name of this version of the file (an ETag or a date); without it no
    download can be resumed. The file's name includes it, so that two versions never mix, and the
    process id, so that two processes never write to one file.
    """

    def __init__(self, cache: Path, key: str) -> None:
        self.cache = cache
        self.key = key
        self.version: str | None = None

    @property
    def stem(self) -> str:
        """The start of the file's name: key and version."""
        return f"{self.key}-{hashlib.sha256((self.version or '').encode()).hexdigest()[:16]}"

    @property
    def path(self) -> Path:
        """The path of the partial file."""
        return self.cache / f"{self.stem}.{os.getpid()}.growing"

    def __enter__(self) -> "PartialFile":
        """Takes over the partial file of an earlier process."""
        for note in self.cache.glob(f"{self.key}-*.json"):
            with suppress(FileNotFoundError, UserError):
                self.version = require_type(read_object(note).get("version"), str, str(note))
                for left in self.left_behind():
                    left.replace(self.path)
                    return self
        self.version = None
        return self

    def left_behind(self) -> Iterator[Path]:
        """Yields files of this version that no process writes to."""
        saved = self.cache / f"{self.stem}.partial"
        if saved.exists():
            yield saved
        for partial_path in self.cache.glob(f"{self.stem}.*.growing"):
            if time.time() - partial_path.stat().st_mtime > ABANDONED_S:
                yield partial_path

    def __exit__(self, *_: object) -> None:
        """Saves the partial file if it can be resumed; after success there is none."""
        if self.version and self.size():
            self.path.replace(self.cache / f"{self.stem}.partial")
        else:
            self.forget()

    def size(self) -> int:
        """Returns the number of bytes in the file."""
        return self.path.stat().st_size if self.path.exists() else 0

    def start(self, version: str | None) -> None:
        """Starts again from the beginning, with this version of the file."""
        self.forget()
        self.version = version
        if version:
            note = json.dumps({"version": version})
            (self.cache / f"{self.stem}.json").write_text(note, encoding="utf-8")

    def finish(self, target: Path) -> None:
        """Renames the complete file to its target."""
        self.path.replace(target)

    def forget(self) -> None:
        """Removes the partial file."""
        self.path.unlink(missing_ok=True)
        (self.cache / f"{self.stem}.json").unlink(missing_ok=True)
        self.version = None


OTHER_SOURCES = "give a local directory, a .tar.gz, a .zip or another URL"
# Seconds until a host answers, and between two pieces.
TIMEOUT_S = 20
# A host that sends fewer bytes than this in this time hangs.
STALL_S, STALL_BYTES = 60, 10_000
# The longest time for a whole file.
TOTAL_S = 6 * 3600
ATTEMPTS = 3
PAUSE_S = 1.0
GIB = 1 << 30
# A SavedModel of BERT-large has 1.3 GB.
DEFAULT_GIB = 8
max_bytes = DEFAULT_GIB * GIB
"""The largest file that is downloaded; `--max-download` sets it."""


class NoArchive(Exception):
    """The response is no archive."""


def set_max_download(gib: int) -> None:
    """Sets the size limit of downloads."""
    global max_bytes
    max_bytes = gib * GIB


def refuse_larger(url: str, size: int, what: str = "has") -> None:
    """Refuses a file that is larger than allowed.

    Raises:
        UserError: it is larger.
    """
    if size > max_bytes:
        raise UserError(
            f"{url} {what} {size / GIB:.1f} GiB, expected at most {max_bytes / GIB:g}; give "
            "--max-download GIB if it is the right file"
        )


def download_archive(url: str, cache: Path, say: Callable[[str], None]) -> Path:
    """Downloads a file, unless the cache has it; returns its path.

    Raises:
        UserError: the host does not answer, the address is dead, or it is a web page.
        EnvironmentProblem: the connection broke several times, or the cache is not writable.
    """
    key = hashlib.sha256(url.encode()).hexdigest()
    target = cache / f"{key}.archive"
    if target.exists():
        return target
    try:
        with PartialFile(cache, key) as part:
            _fetch_with_retries(url, part, say)
            part.finish(target)
            part.forget()
    except OSError as error:
        raise EnvironmentProblem(
            f"cannot write the download to {cache}: {error.strerror}; make room, or set "
            "TFHUB_CACHE_DIR to another place"
        ) from error
    return target


def _fetch_with_retries(url: str, part: PartialFile, say: Callable[[str], None]) -> None:
    """Downloads the file, in a few attempts.

    Raises:
        UserError: see `download_archive`.
        EnvironmentProblem: the last attempt was interrupted too.
    """
    import requests

    until = time.monotonic() + TOTAL_S
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _fetch_once(url, part, until, say)
        except (requests.RequestException, NoAnswer) as error:
            reason = str(error) if isinstance(error, NoAnswer) else type(error).__name__
            if not part.size():
                raise UserError(f"{url} does not answer ({reason}); {OTHER_SOURCES}") from error
        except ConnectionBroken as error:
            reason = str(error)
        say(f"the download broke off at {part.size() / 1e6:.1f} MB ({reason})")
        if attempt < ATTEMPTS:
            time.sleep(PAUSE_S * attempt)
    raise EnvironmentProblem(
        f"{url}: the download broke off {ATTEMPTS} times; run the command again"
        + (f" to go on from {part.size() / 1e6:.1f} MB" if part.version else "")
    )


def _fetch_once(url: str, part: PartialFile, until: float, say: Callable[[str], None]) -> None:
    """Downloads the missing part of the file over one connection.

    Args:
        url: the URL of the file.
        part: the partial file.
        until: the deadline, by the monotonic clock.
        say: prints progress.

    Raises:
        ConnectionBroken: the connection ended too early.
        UserError: the response is another file, or a larger one than allowed.
    """
    headers = {"Accept-Encoding": "identity"}
    if part.version and part.size():
        # The server sends the rest if the version is the same, else the whole file.
        headers |= {"Range": f"bytes={part.size()}-", "If-Range": part.version}
    with Connection(url, headers, TIMEOUT_S) as connection:
        answer = connection.answer
        if answer.status_code == 416:
            part.forget()
            raise ConnectionBroken("it has another length now")
        if answer.status_code not in (200, 206):
            raise UserError(
                f"{url} answers {answer.status_code} {answer.reason}; "
                f"{OTHER_SOURCES}{_page_hint(url)}"
            )
        if not _is_continuation(answer.headers, answer.status_code, part.size()):
            part.start(_file_version(answer.headers))
        length = answer.headers.get("content-length", "")
        is_length = length.isascii() and length.isdecimal() and len(length) < 20
        total = part.size() + int(length) if is_length else None
        try:
            refuse_larger(url, total or 0)
            _copy_body(connection, part, total, until, say)
        except NoArchive as error:
            part.forget()
            kind = answer.headers.get("content-type", "something else")
            raise UserError(
                f"{url}: got {kind}, expected {ARCHIVE_KINDS}; {OTHER_SOURCES}{_page_hint(url)}"
            ) from (error)
        except UserError:
            part.forget()
            raise


def _is_continuation(headers: Any, status: int, position: int) -> bool:
    """Whether the response is the rest of the file from this position."""
    where: str = headers.get("content-range", "")
    return status == 206 and where.startswith(f"bytes {position}-")


def _file_version(headers: Any) -> str | None:
    """Returns the name of this version of the file; weak ETags cannot be used in a request."""
    tag: str | None = headers.get("etag")
    known: str | None = tag if tag and tag.startswith('"') else headers.get("last-modified")
    return known if headers.get("accept-ranges") != "none" else None


def _copy_body(
    connection: Connection,
    part: PartialFile,
    total: int | None,
    until: float,
    say: Callable[[str], None],
) -> None:
    """Writes the body to the partial file.

    Args:
        connection: the connection.
        part: the partial file.
        total: the size of the whole file, None if unknown.
        until: the deadline, by the monotonic clock.
        say: prints progress.

    Raises:
        ConnectionBroken: the body is incomplete, or almost nothing arrives.
        NoArchive: the file is no archive.
        UserError: it takes too long, or is larger than allowed.
    """
    progress = Progress("download", total, unit=BYTES, done=part.size(), say=say)
    with part.path.open("a+b") as file, progress:
        file.seek(0)
        head = file.read(HEAD_BYTES)
        size = file.seek(0, 2)
        for piece in connection.pieces(STALL_S, STALL_BYTES):
            head += piece[: max(0, HEAD_BYTES - len(head))]
            if len(head) == HEAD_BYTES and detect_archive_kind(head) is None:
                raise NoArchive
            size += len(piece)
            refuse_larger(connection.url, size, "goes on after")
            if time.monotonic() > until:
                raise UserError(
                    f"{connection.url} takes longer than {TOTAL_S / 3600:g} hours; {OTHER_SOURCES}"
                )
            file.write(piece)
            progress.add(len(piece))
    if total is not None and part.size() != total:
        raise ConnectionBroken("the server closed the connection")
    if detect_archive_kind(head) is None:
        raise NoArchive


def _page_hint(url: str) -> str:
    """Returns advice for the address of a page about a file."""
    if "/blob/" not in url:
        return ""
    return f"; the file itself is often at {url.replace('/blob/', '/raw/', 1)}"
