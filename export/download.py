"""Downloads a URL into the cache, once; a download that broke off is taken up again."""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.archive import HEAD, KINDS, kind_of
from export.errors import EnvironmentProblem, UserError
from export.partial import Partial
from export.progress import Progress

if TYPE_CHECKING:
    import requests

OTHER_WAYS = "give a local directory, a .tar.gz, a .zip or another URL"
# Seconds until a host answers, and between two pieces.
TIMEOUT_S = 20
# A host that gives less than this in this time hangs, even if now and then it gives a byte.
STALL_S, STALL_BYTES = 60, 10_000
ATTEMPTS = 3
PAUSE_S = 1.0
PIECE = 1 << 16


class BrokenOff(Exception):
    """The connection ended before the file did."""


class NoArchive(Exception):
    """What arrives is something else than an archive."""


def downloaded(url: str, cache: Path, say: Callable[[str], None]) -> Path:
    """The file behind a URL.

    Raises:
        UserError: a host that does not answer, a dead address, a page instead of a file.
        EnvironmentProblem: the connection broke, again and again, or the cache is not writable.
    """
    key = hashlib.sha256(url.encode()).hexdigest()
    target = cache / f"{key}.archive"
    if target.exists():
        return target
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with Partial(cache, key) as part:
            fetch(url, part, say)
            part.finish(target)
            part.forget()
    except OSError as error:
        raise EnvironmentProblem(
            f"cannot write the download to {cache}: {error.strerror}; make room, or set "
            "TFHUB_CACHE_DIR to another place"
        ) from error
    return target


def fetch(url: str, part: Partial, say: Callable[[str], None]) -> None:
    """Fills the part, with a few attempts.

    Raises:
        UserError: see `downloaded`.
        EnvironmentProblem: the last attempt broke off too.
    """
    import requests

    for attempt in range(1, ATTEMPTS + 1):
        try:
            return fetch_once(url, part, say)
        except requests.RequestException as error:
            reason = type(error).__name__
            if not part.size():
                raise UserError(f"{url} does not answer ({reason}); {OTHER_WAYS}") from error
        except BrokenOff as error:
            reason = str(error)
        say(f"the download broke off at {part.size() / 1e6:.1f} MB ({reason})")
        if attempt < ATTEMPTS:
            time.sleep(PAUSE_S * attempt)
    raise EnvironmentProblem(
        f"{url}: the download broke off {ATTEMPTS} times; run the command again"
        + (f" to go on from {part.size() / 1e6:.1f} MB" if part.version else "")
    )


def fetch_once(url: str, part: Partial, say: Callable[[str], None]) -> None:
    """One connection: what is missing of the part.

    Raises:
        BrokenOff: it ended too early.
        UserError: not the file that was asked for.
    """
    import requests

    headers = {"Accept-Encoding": "identity"}
    if part.version and part.size():
        # The server sends the rest if the file is still this version, else all of it.
        headers |= {"Range": f"bytes={part.size()}-", "If-Range": part.version}
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_S) as answer:
        if answer.status_code == 416:
            part.forget()
            raise BrokenOff("it has another length now")
        if answer.status_code not in (200, 206):
            raise UserError(
                f"{url} answers {answer.status_code} {answer.reason}; {OTHER_WAYS}{hint(url)}"
            )
        if not goes_on(answer, part.size()):
            part.start(version_of(answer.headers))
        length = answer.headers.get("content-length", "")
        total = part.size() + int(length) if length.isdecimal() else None
        try:
            copy(answer, part, total, say)
        except NoArchive as error:
            part.forget()
            kind = answer.headers.get("content-type", "something else")
            raise UserError(f"{url}: got {kind}, expected {KINDS}; {OTHER_WAYS}{hint(url)}") from (
                error
            )


def goes_on(answer: "requests.Response", position: int) -> bool:
    """Whether the answer is the rest of the file from here on."""
    where = answer.headers.get("content-range", "")
    return answer.status_code == 206 and where.startswith(f"bytes {position}-")


def version_of(headers: Any) -> str | None:
    """What names this version of the file; a weak ETag may not be asked with."""
    tag: str | None = headers.get("etag")
    known: str | None = tag if tag and tag.startswith('"') else headers.get("last-modified")
    return known if headers.get("accept-ranges") != "none" else None


def copy(
    answer: "requests.Response", part: Partial, total: int | None, say: Callable[[str], None]
) -> None:
    """Writes what arrives.

    Raises:
        BrokenOff: less than all of it did, or nothing to speak of any more.
        NoArchive: it is something else.
    """
    with part.path.open("a+b") as file, Progress(total, part.size(), say) as progress:
        file.seek(0)
        head = file.read(HEAD)
        for piece in pieces(answer):
            head += piece[: max(0, HEAD - len(head))]
            if len(head) == HEAD and kind_of(head) is None:
                raise NoArchive
            file.write(piece)
            progress.add(len(piece))
    if total is not None and part.size() != total:
        raise BrokenOff("the server closed the connection")
    if kind_of(head) is None:
        raise NoArchive


def pieces(answer: "requests.Response") -> Any:
    """What arrives, as soon as it does.

    Raises:
        BrokenOff: see `copy`.
    """
    import urllib3

    arrived, since = 0, time.monotonic()
    while True:
        try:
            piece = answer.raw.read1(PIECE)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise BrokenOff(type(error).__name__) from error
        if not piece:
            return
        yield piece
        arrived += len(piece)
        if time.monotonic() - since > STALL_S:
            if arrived < STALL_BYTES:
                raise BrokenOff("hardly anything arrives")
            arrived, since = 0, time.monotonic()


def hint(url: str) -> str:
    """What to try where the address is a page about a file."""
    if "/blob/" not in url:
        return ""
    return f"; the file itself is often at {url.replace('/blob/', '/raw/', 1)}"
