"""One response of a web server, read by a separate thread, so that nothing can hang forever.

A socket's timeout restarts with every byte: a host that sends its status line, or the length of a
chunk, at one byte per second never reaches it. The look-up of a host name has no timeout at all.
"""

import contextlib
import queue
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from support.errors import UserError

if TYPE_CHECKING:
    import requests

PIECE_BYTES = 1 << 16
MAX_REDIRECTS = 5
SCHEMES = ("https", "http")


class ConnectionBroken(Exception):
    """The connection ended before the file did, or almost nothing arrives."""


class ReaderGone(Exception):
    """Stops the thread when nobody reads its data any more."""


class NoAnswer(Exception):
    """No response came to a request."""


class Connection:
    """A response and its body; closed at the end of the block.

    Raises:
        UserError: a forbidden redirect.
        NoAnswer: no response in time.
        requests.RequestException: no connection.
    """

    def __init__(self, url: str, headers: dict[str, str], seconds: float) -> None:
        self.url = url
        self.headers = headers
        self.timeout = seconds
        self.over = threading.Event()
        # A few pieces, so that a fast host does not use up the memory.
        self.arrived: queue.Queue[Any] = queue.Queue(8)
        # A daemon, so that a hanging thread does not stop the program from ending.
        threading.Thread(target=self._read_or_stop, daemon=True).start()
        try:
            self.answer: requests.Response = self._next(seconds * (MAX_REDIRECTS + 1))
        except ConnectionBroken as error:
            raise NoAnswer(str(error)) from None

    def __enter__(self) -> "Connection":
        """Returns the connection."""
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the reading; the thread closes the connection."""
        self.over.set()

    def pieces(self, seconds: float, least: int) -> Iterator[bytes]:
        """Yields the pieces of the body as they arrive.

        Args:
            seconds: the longest time in which fewer than `least` bytes may arrive.
            least: the fewest bytes in this time.

        Raises:
            BrokenOff: the connection ended too early, or hangs.
        """
        arrived, since = 0, time.monotonic()
        while True:
            piece = self._next(seconds)
            if piece is None:
                return
            yield piece
            arrived += len(piece)
            if time.monotonic() - since > seconds:
                if arrived < least:
                    raise ConnectionBroken("hardly anything arrives")
                arrived, since = 0, time.monotonic()

    def _next(self, seconds: float) -> Any:
        """Returns the thread's next item."""
        try:
            found = self.arrived.get(timeout=seconds)
        except queue.Empty:
            self.over.set()
            raise ConnectionBroken("nothing arrives") from None
        if isinstance(found, Exception):
            raise found
        return found

    def _read_or_stop(self) -> None:
        """Runs in the thread; ends quietly when nobody reads any more."""
        with contextlib.suppress(ReaderGone):
            self._read()

    def _read(self) -> None:
        """Puts the response, the pieces of its body, and None or an error into the queue."""
        import urllib3

        try:
            with _follow_redirects(self.url, self.headers, self.timeout) as answer:
                self._put(answer)
                while piece := answer.raw.read1(PIECE_BYTES):
                    self._put(piece)
                self._put(None)
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            import requests

            known = isinstance(error, requests.RequestException)
            self._put(error if known else ConnectionBroken(type(error).__name__))
        except ReaderGone:
            raise
        except Exception as error:
            self._put(error)

    def _put(self, what: Any) -> None:
        """Puts an item into the queue, unless nobody reads any more."""
        while not self.over.is_set():
            try:
                return self.arrived.put(what, timeout=1)
            except queue.Full:
                continue
        raise ReaderGone


def _follow_redirects(url: str, headers: dict[str, str], timeout: float) -> "requests.Response":
    """Follows the redirects of a URL and returns the response.

    Raises:
        UserError: there are too many redirects, or one leads from https to anything else.
        requests.RequestException: no connection.
    """
    import requests

    location = url
    for _ in range(MAX_REDIRECTS + 1):
        answer = requests.get(
            location, headers=headers, stream=True, timeout=timeout, allow_redirects=False
        )
        if not answer.is_redirect:
            return answer
        answer.close()
        before, location = location, urljoin(location, answer.headers["location"])
        scheme = urlsplit(location).scheme
        if scheme not in SCHEMES:
            raise UserError(f"{url} is redirected to {scheme}:, expected https; give another URL")
        if urlsplit(before).scheme == "https" != scheme:
            raise UserError(
                f"{url} is redirected from https to http, where anyone on the way can change the "
                "file; give the https address, or the http one itself with --sha256"
            )
    raise UserError(f"{url} is redirected more than {MAX_REDIRECTS} times; give the last address")
