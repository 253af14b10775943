"""Holds the connections of huggingface_hub to the limits of all other downloads.

The library trusts the host that it talks to. It waits as long as a byte arrives now and then, takes
a body of any size, follows a redirect from https to http, and names a file in its cache by a header
as it comes: `ETag: ../../x` leads out of the cache.
"""

import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx2
import huggingface_hub
from huggingface_hub import constants
from huggingface_hub.utils.tqdm import disable_progress_bars

from export.source import download
from export.source.connection import MAX_REDIRECTS, PIECE_BYTES, SCHEMES
from support.errors import EnvironmentProblem, UserError
from support.input_files import MAX_JSON
from support.progress import Progress

Result = TypeVar("Result")
HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
"""A commit, or the name of a file in the cache: its git sha1 or its sha256."""
POLL_S = 0.05
END_S = 5.0
"""Seconds that a thread which nobody waits for has to end; the daemon of a hung one stays."""


class Transfer:
    """What arrives while one repository is read; `run` runs the library's calls.

    Attributes:
        endpoint: the address of the hub or the mirror.
        commit: the commit whose files are asked for; None until it is known.
        largest: the most bytes of one body.
    """

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.commit: str | None = None
        self.largest = MAX_JSON
        self._received = 0
        self._answers = 0
        self._over = threading.Event()
        self._until = time.monotonic() + download.TOTAL_S
        _configure_library()
        huggingface_hub.set_client_factory(self._make_client)

    def _make_client(self) -> httpx2.Client:
        """Makes the client of all connections of the library."""
        return httpx2.Client(
            event_hooks={"request": [self._check_request], "response": [self._check_response]},
            follow_redirects=True,
            max_redirects=MAX_REDIRECTS,
            timeout=download.TIMEOUT_S,
        )

    def _check_request(self, request: httpx2.Request) -> None:
        """Refuses to leave the web, or https; asks for bodies that are not compressed."""
        scheme = request.url.scheme
        if scheme not in SCHEMES:
            raise UserError(
                f"{self.endpoint} redirects to {scheme}:, expected https; set HF_ENDPOINT to "
                "another mirror"
            )
        if urlsplit(self.endpoint).scheme == "https" != scheme:
            raise UserError(
                f"{self.endpoint} redirects from https to http, where anyone on the way can "
                "change the file; set HF_ENDPOINT to another mirror"
            )
        # A compressed body may be a thousand times as large as what arrives.
        request.headers["Accept-Encoding"] = "identity"

    def _check_response(self, response: httpx2.Response) -> None:
        """Refuses names that lead out of the cache, and counts the body as it arrives."""
        encoding = response.headers.get("content-encoding", "identity")
        if encoding != "identity":
            raise UserError(f"{self.endpoint}: got a body encoded as {encoding}, expected it plain")
        commit = response.headers.get(constants.HUGGINGFACE_HEADER_X_REPO_COMMIT)
        if response.request.method == "HEAD" and not response.is_error and commit is not None:
            linked = response.headers.get(constants.HUGGINGFACE_HEADER_X_LINKED_ETAG)
            name = (linked or response.headers.get("etag") or "").removeprefix("W/").strip('"')
            if commit != self.commit or not HASH.fullmatch(name):
                raise UserError(
                    f"{self.endpoint}: got the commit {commit[:80]} and the ETag {name[:80]} for a "
                    f"file, expected the commit {self.commit} and a hash; set HF_ENDPOINT to "
                    "another mirror"
                )
        self._answers += 1
        response.stream = _CountedStream(response.stream, self)

    def take(self, size: int, total: int) -> None:
        """Counts bytes of a body.

        Args:
            size: of the piece.
            total: of the body up to here.

        Raises:
            UserError: the body is too large, or everything takes too long.
            ConnectionAbortedError: nobody waits for the body any more.
        """
        if self._over.is_set():
            raise ConnectionAbortedError
        self._received += size
        if total > self.largest:
            raise UserError(
                f"{self.endpoint}: a file goes on after {self.largest} bytes, expected no more; "
                "set HF_ENDPOINT to another mirror"
            )
        if time.monotonic() > self._until:
            raise UserError(
                f"{self.endpoint} takes longer than {download.TOTAL_S / 3600:g} hours; "
                "set HF_ENDPOINT to another mirror"
            )

    def run(self, work: Callable[[], Result], progress: Progress | None = None) -> Result:
        """Runs calls of the library in a thread of its own, so that nothing can hang forever.

        Args:
            work: makes the calls.
            progress: gets the bytes that arrive.

        Raises:
            EnvironmentProblem: hardly anything arrives.
        """
        outcome: list[Any] = []

        def keep() -> None:
            try:
                outcome.extend((work(), None))
            # Whatever it is, the thread that waits raises it.
            except BaseException as error:
                outcome.extend((None, error))

        # A daemon, so that a hanging thread does not stop the program from ending.
        thread = threading.Thread(target=keep, daemon=True)
        thread.start()
        seen, before, since = (self._received, self._answers), self._received, time.monotonic()
        try:
            while thread.is_alive():
                thread.join(POLL_S)
                if progress is not None:
                    progress.add(self._received - before)
                before = self._received
                moved = self._received - seen[0] >= download.STALL_BYTES
                if moved or self._answers > seen[1]:
                    seen, since = (self._received, self._answers), time.monotonic()
                elif time.monotonic() - since > download.STALL_S:
                    raise EnvironmentProblem(
                        f"{self.endpoint}: hardly anything arrives; run the command again, or set "
                        "HF_ENDPOINT to another mirror"
                    )
        finally:
            self._over.set()
            # Time to remove an unfinished file.
            thread.join(END_S)
        self._over.clear()
        result, error = outcome
        if error is not None:
            raise error
        return result  # type: ignore[no-any-return]


class _CountedStream(httpx2.SyncByteStream):
    """The body of a response, whose bytes are counted."""

    def __init__(self, stream: Any, transfer: Transfer) -> None:
        self._stream = stream
        self._transfer = transfer

    def __iter__(self) -> Iterator[bytes]:
        """Yields the pieces of the body."""
        total = 0
        for piece in self._stream:
            total += len(piece)
            self._transfer.take(len(piece), total)
            yield piece

    def close(self) -> None:
        """Closes the body."""
        self._stream.close()


def _configure_library() -> None:
    """Turns off what the library prints and reports, and its protocol Xet; writes small pieces.

    Xet's connections are made by another program, to other hosts than the mirror, without these
    limits. Every file of Xet is there by HTTP too. After a break the library goes on from the last
    whole piece, which has 10 MB by default: on a bad line it would never end.
    """
    constants.DOWNLOAD_CHUNK_SIZE = PIECE_BYTES
    constants.HF_HUB_DISABLE_XET = True
    constants.HF_HUB_DISABLE_TELEMETRY = True
    disable_progress_bars()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
