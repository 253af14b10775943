"""One answer of a web server, read by a thread of its own, so that no part of it can hang for ever.

The timeout of a socket counts from byte to byte: a host that sends its status line, or the length
of a chunk, at a byte a second never reaches it; and looking up a name has no timeout at all.
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
    """The connection ended before the file did, or nothing to speak of arrives."""


class ReaderGone(Exception):
    """Tells the thread that nobody reads on."""


class NoAnswer(Exception):
    """Nothing came in answer to a request."""


class Connection:
    """An answer and what comes with it; closed at the end of the block.

    Raises:
        UserError: a redirect to where none may lead.
        NoAnswer: none in time.
        requests.RequestException: no connection.
    """

    def __init__(self, url: str, headers: dict[str, str], seconds: float) -> None:
        self.url = url
        self.headers = headers
        self.timeout = seconds
        self.over = threading.Event()
        # A few pieces, so that a fast host does not fill the memory.
        self.arrived: queue.Queue[Any] = queue.Queue(8)
        # A daemon: a thread that hangs in the system must not keep the program from its end.
        threading.Thread(target=self._read_or_stop, daemon=True).start()
        try:
            self.answer: requests.Response = self._next(seconds * (MAX_REDIRECTS + 1))
        except ConnectionBroken as error:
            raise NoAnswer(str(error)) from None

    def __enter__(self) -> "Connection":
        """The connection."""
        return self

    def __exit__(self, *_: object) -> None:
        """Lets go of it; the thread closes it when it comes to that."""
        self.over.set()

    def pieces(self, seconds: float, least: int) -> Iterator[bytes]:
        """What arrives, as soon as it does.

        Args:
            seconds: how long less than `least` bytes may arrive.
            least: a host that gives fewer hangs, even if now and then it gives a byte.

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
        """What the thread has next."""
        try:
            found = self.arrived.get(timeout=seconds)
        except queue.Empty:
            self.over.set()
            raise ConnectionBroken("nothing arrives") from None
        if isinstance(found, Exception):
            raise found
        return found

    def _read_or_stop(self) -> None:
        """The thread."""
        with contextlib.suppress(ReaderGone):
            self._read()

    def _read(self) -> None:
        """Hands over the answer, the pieces of its body, and None or an error at the end."""
        import urllib3

        try:
            with follow_redirects(self.url, self.headers, self.timeout) as answer:
                self._give(answer)
                while piece := answer.raw.read1(PIECE_BYTES):
                    self._give(piece)
                self._give(None)
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            import requests

            known = isinstance(error, requests.RequestException)
            self._give(error if known else ConnectionBroken(type(error).__name__))
        except ReaderGone:
            raise
        except Exception as error:
            self._give(error)

    def _give(self, what: Any) -> None:
        """Hands something over, unless nobody wants it any more."""
        while not self.over.is_set():
            try:
                return self.arrived.put(what, timeout=1)
            except queue.Full:
                continue
        raise ReaderGone


def follow_redirects(url: str, headers: dict[str, str], timeout: float) -> "requests.Response":
    """The answer behind the redirects of an address.

    Raises:
        UserError: too many of them, or one that leads from https to anything else.
        requests.RequestException: no connection.
    """
    import requests

    place = url
    for _ in range(MAX_REDIRECTS + 1):
        answer = requests.get(
            place, headers=headers, stream=True, timeout=timeout, allow_redirects=False
        )
        if not answer.is_redirect:
            return answer
        answer.close()
        before, place = place, urljoin(place, answer.headers["location"])
        scheme = urlsplit(place).scheme
        if scheme not in SCHEMES:
            raise UserError(f"{url} is redirected to {scheme}:, expected https; give another URL")
        if urlsplit(before).scheme == "https" != scheme:
            raise UserError(
                f"{url} is redirected from https to http, where anyone on the way can change the "
                "file; give the https address, or the http one itself with --sha256"
            )
    raise UserError(f"{url} is redirected more than {MAX_REDIRECTS} times; give the last address")
