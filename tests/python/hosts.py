"""A test host for downloads: its responses can be truncated, changed, slow, or a web page."""

import http.server
import io
import random
import tarfile
import threading

TAG = '"one"'


def make_archive() -> bytes:
    """Returns a .tar.gz of about 200 kB with a SavedModel of one empty graph."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        noise = random.Random(1).randbytes(200_000)
        for name, content in (("m/saved_model.pb", b"\x08\x01\x12\x00"), ("m/noise", noise)):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


BODY = make_archive()


class Host(http.server.ThreadingHTTPServer):
    """Answers according to its attributes, and records the requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.body = BODY
        self.headers: dict[str, str] = {"ETag": TAG}
        self.ranges = True
        # Whether a request for the rest gets a part from the beginning.
        self.wrong_part = False
        # The connection breaks after this many bytes; None: never.
        self.cuts: list[int | None] = []
        self.asked: list[dict[str, str]] = []
        self.over = threading.Event()
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def url(self, path: str = "/m.tar.gz") -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Host

    def do_GET(self) -> None:  # noqa: N802
        self.server.asked.append({name.lower(): value for name, value in self.headers.items()})
        name = self.path.strip("/").split("/")[0].replace(".", "_")
        getattr(self, name, self.missing)()

    def missing(self) -> None:
        self.send_error(404)

    def blob(self) -> None:
        self.send(200, b"<html>a page about a file</html>" * 100, {"Content-Type": "text/html"})

    page = blob

    def m_tar_gz(self) -> None:
        wanted = self.headers.get("Range", "")
        same = self.headers.get("If-Range") in self.server.headers.values()
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and same else 0
        total = len(self.server.body)
        if start and self.server.ranges:
            start = 0 if self.server.wrong_part else start
            where = {"Content-Range": f"bytes {start}-{total - 1}/{total}"}
            self.send(206, self.server.body[start:], where | self.server.headers)
        else:
            self.send(200, self.server.body, self.server.headers)

    def gone(self) -> None:
        if "Range" in self.headers:
            self.send(416, b"", {})
        else:
            self.m_tar_gz()

    def chunked(self) -> None:
        self.protocol_version = "HTTP/1.1"
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for i in range(0, len(BODY), 5000):
            piece = BODY[i : i + 5000]
            self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        self.wfile.write(b"0\r\n\r\n")

    def silent(self) -> None:
        self.server.over.wait(20)

    def trickle(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        for byte in BODY:
            if self.server.over.wait(0.02):
                return
            try:
                self.wfile.write(bytes([byte]))
            except OSError:
                return

    def send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        cut = self.server.cuts.pop(0) if self.server.cuts else None
        self.wfile.write(body[:cut])

    def log_message(self, format: str, *args: object) -> None:
        pass
