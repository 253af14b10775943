"""Servers that never end, trickle, lie about lengths, redirect, or send no archive.

Each server is a thread of the command's own process and ends with it.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from tests.hostile.case import HostileCase

# The first bytes of a gzip, so that the download goes on.
GZIP = "b'\\x1f\\x8b' + bytes(1000)"
SERVER = """import os, socket, sys, threading, time
sys.path.insert(0, os.getcwd())
from export.source import download
download.max_bytes, download.TIMEOUT_S, download.STALL_S, download.PAUSE_S = 1 << 20, 0.4, 1, 0
listening = socket.create_server(('127.0.0.1', 0))
url = f'http://127.0.0.1:{{listening.getsockname()[1]}}/m.tar.gz'
def answer(link):
    link.recv(65536)
    send = link.sendall
    try:
        {body}
    except OSError:
        pass
    link.close()
def serve():
    while True:
        threading.Thread(target=answer, args=listening.accept()[:1], daemon=True).start()
threading.Thread(target=serve, daemon=True).start()
from export.__main__ import main
sys.exit(main(['inspect', url, *{options!r}]))
"""


def trickle(text: str) -> str:
    """Returns code that sends a text, then a byte each 0.1 s without end."""
    return f"send({text!r}.encode()); [(send(b'1'), time.sleep(0.1)) for _ in range(10**6)]"


def answering(status: str, *headers: str, body: str = "b''") -> str:
    """Returns code that sends a whole answer."""
    lines = "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status}", *headers, ""))
    return f"send({lines!r}.encode('latin-1') + {body})"


BODIES = {
    "no end": answering("200 OK") + "; [send(b'\\x1f\\x8b' + bytes(65534)) for _ in range(10**6)]",
    "no end, in chunks": answering("200 OK", "Transfer-Encoding: chunked")
    + "; [send(b'8000\\r\\n' + b'\\x1f\\x8b' + bytes(32766) + b'\\r\\n') for _ in range(10**6)]",
    "a length of 10 GiB": answering("200 OK", "Content-Length: 10737418240", body=GZIP),
    "a length of 5,000 digits": answering("200 OK", f"Content-Length: {'9' * 5000}", body=GZIP),
    "a negative length": answering("200 OK", "Content-Length: -5", body=GZIP),
    "a length that is no number": answering("200 OK", "Content-Length: many", body=GZIP),
    "a length too long": answering("200 OK", "Content-Length: 5000", body=GZIP),
    "a trickling status line": trickle("HTTP/1.1 2"),
    "a trickling header": trickle("HTTP/1.1 200 OK\r\nX-Long: "),
    "headers without end": "send(b'HTTP/1.1 200 OK\\r\\n'); "
    "[send(b'X: ' + b'y' * 1000 + b'\\r\\n') for _ in range(10**6)]",
    "a trickling length of a chunk": trickle(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    ),
    "a trickling body": answering("200 OK", "Content-Length: 100000", body="b'\\x1f\\x8b'")
    + "; [(send(b'1'), time.sleep(0.1)) for _ in range(10**6)]",
    "a chunk without end": answering(
        "200 OK", "Transfer-Encoding: chunked", body="b'ffffffffffffffff\\r\\n\\x1f\\x8b'"
    ),
    "a length of a chunk that is none": answering(
        "200 OK", "Transfer-Encoding: chunked", body="b'zz\\r\\nxx'"
    ),
    "silence": "time.sleep(60)",
    "nothing": "pass",
    "noise": "send(os.urandom(5000))",
    "a reason with escapes": answering("500 \x1b[31m\x9b31m ::error::no"),
    "no reason": answering("404"),
    "status 999": answering("999 What"),
    "status 206 unasked": answering("206 Partial", "Content-Range: bytes 7-9/10", body=GZIP),
    "a page": answering(
        "200 OK", "Content-Type: text/html", "Content-Length: 600", body="b'<' * 600"
    ),
    "a type with escapes": answering(
        "200 OK", "Content-Type: \x1b]0;x\x07", "Content-Length: 600", body="b'<' * 600"
    ),
    "an empty file": answering("200 OK", "Content-Length: 0"),
    "half of a gzip": answering("200 OK", "Content-Length: 1002", body=GZIP),
    "a tag with escapes": answering(
        "200 OK", 'ETag: "\x1b[31m"', "Content-Length: 5000", body=GZIP
    ),
    "a redirect to itself": answering("302 Found", "Location: /m.tar.gz"),
    "a redirect to a file": answering("302 Found", "Location: file:///etc/passwd"),
    "a redirect to ftp": answering("302 Found", "Location: ftp://127.0.0.1/m.tar.gz"),
    "a redirect to data": answering("302 Found", "Location: data:,x"),
    "a redirect to nowhere": answering("302 Found", "Location: http://"),
    "a redirect to a port of none": answering("302 Found", "Location: http://127.0.0.1:99999/"),
    "a redirect with escapes": answering("302 Found", "Location: \x1b[31m://x"),
    "a redirect without a location": answering("302 Found"),
}
SAYS = {
    "no end": "--max-download",
    "no end, in chunks": "--max-download",
    "a length of 10 GiB": "10.0 GiB",
    "a redirect to itself": "redirected more than 5 times",
    "a redirect to a file": "redirected to file:",
    "a redirect to ftp": "redirected to ftp:",
    "a trickling status line": "does not answer",
    "a trickling header": "does not answer",
}
ADDRESSES = (
    "http://",
    "https://",
    "http://[::1",
    "http://127.0.0.1:1/m.tar.gz",
    "http://127.0.0.1:99999/m.tar.gz",
    "http://user:pass@127.0.0.1:1/m.tar.gz",
    "http://\x1b[31m/m.tar.gz",
    "http://127.0.0.1:1/::error::",
    "file:///etc/passwd",
    "ftp://127.0.0.1/m.tar.gz",
    "http://xn--/m",
    "http://" + "a" * 300 + "/m",
)


def cases() -> Iterator[HostileCase]:
    """Yields each server and each address."""
    for what, body in BODIES.items():
        yield HostileCase(
            f"download: {what}",
            partial(download_from_server, body, []),
            says=SAYS.get(what, ""),
            check=check_empty_cache,
            seconds=60,
        )
    sound = (
        "import io, tarfile; out = io.BytesIO(); tar = tarfile.open(fileobj=out, mode='w:gz'); "
        "info = tarfile.TarInfo('m/saved_model.pb'); info.size = 4; "
        "tar.addfile(info, io.BytesIO(b'\\x08\\x01\\x12\\x00')); tar.close(); "
        "send(b'HTTP/1.1 200 OK\\r\\n\\r\\n' + out.getvalue())"
    )
    yield HostileCase("download: a sound one", partial(download_from_server, sound, []), "survived")
    wrong = ["--sha256", "0" * 64]
    yield HostileCase(
        "download: another sha256", partial(download_from_server, sound, wrong), says="got sha256"
    )
    for address in ADDRESSES:
        yield HostileCase(
            f"download: the address {address[:40]!r}",
            partial(download_address, address),
            seconds=60,
        )


def download_from_server(body: str, options: list[str], workdir: Path) -> list[str]:
    """Returns a command that downloads from a server of its own."""
    script = workdir / "run.py"
    script.write_text(SERVER.format(body=body, options=options), "utf-8")
    return ["python", str(script)]


def download_address(address: str, workdir: Path) -> list[str]:
    """Returns a command that downloads an address."""
    return ["python", "-m", "export", "inspect", address]


def check_empty_cache(workdir: Path) -> str:
    """Checks that no archive and no model remains in the cache."""
    cache = workdir.parent / "home" / "hub"
    left = [path.name for path in cache.glob("*") if path.suffix not in (".json", ".partial")]
    return f"left in the cache: {left}" if left else ""
