"""A fake of Hugging Face's hub: its listing, its files, and a second host for the large ones.

It answers as the hub does: `/api/models/NAME/revision/REVISION`, and `HEAD` and `GET` of
`/NAME/resolve/REVISION/FILE` with `ETag`, `X-Repo-Commit`, `X-Linked-Etag` and `X-Linked-Size`. It
can also lie.
"""

import contextlib
import hashlib
import http.server
import json
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NAME = "owner/name"
LARGE = (".safetensors", ".h5", ".bin")
"""Files of these kinds are in Git LFS: their hash is a sha256, and another host has them."""


def git_sha1(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def hash_of(name: str, data: bytes) -> str:
    return hashlib.sha256(data).hexdigest() if name.endswith(LARGE) else git_sha1(data)


@dataclass
class Asked:
    """A request: where it went, and its headers in lower case."""

    method: str
    path: str
    headers: dict[str, str]


class Server(http.server.ThreadingHTTPServer):
    """A server that records what it was asked for."""

    daemon_threads = True

    def __init__(self, handler: type[http.server.BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.asked: list[Asked] = []
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def close(self) -> None:
        self.shutdown()
        self.server_close()


@dataclass
class Behaviour:
    """How the hub deviates from an honest one.

    Attributes:
        status: answers all with this status; None: as it should.
        error_code: the header `X-Error-Code` with it.
        siblings: the listing in place of the true one.
        hashes: the hashes that are said of files, where they are not the true ones.
        headers: of all answers for files, in place of the true ones.
        cuts: the connections to the second host break after so many bytes, one after the other.
        more: bytes that the second host sends in place of a file.
        encoding: the Content-Encoding of all answers.
        trickles: the second host sends a byte now and then, without end.
    """

    status: int | None = None
    error_code: str = ""
    siblings: Any = None
    hashes: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    cuts: list[int | None] = field(default_factory=list)
    more: bytes | None = None
    encoding: str = ""
    trickles: bool = False


class Storage(Server):
    """The second host, which has the large files by their hashes."""

    def __init__(self, hub: "FakeHub") -> None:
        self.hub = hub
        super().__init__(StorageHandler)


class FakeHub(Server):
    """A hub with one repository."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.behaviour = Behaviour()
        self.over = threading.Event()
        super().__init__(HubHandler)
        self.storage = Storage(self)

    def close(self) -> None:
        self.over.set()
        self.storage.close()
        super().close()

    def hash(self, name: str) -> str:
        return self.behaviour.hashes.get(name, hash_of(name, self.files[name]))

    def listing(self) -> list[dict[str, Any]]:
        """Returns the files as the hub lists them."""
        rows = []
        for name, data in self.files.items():
            row: dict[str, Any] = {"rfilename": name, "size": len(data), "blobId": git_sha1(data)}
            if name.endswith(LARGE):
                known = {"sha256": self.hash(name), "size": len(data), "pointerSize": 134}
                row |= {"lfs": known, "blobId": "0" * 40}
            else:
                row["blobId"] = self.hash(name)
            rows.append(row)
        return rows

    def paths(self, method: str) -> list[str]:
        """Returns the files that were asked for, from both hosts."""
        return [
            a.path.split("/", 5)[-1]
            for a in self.asked
            if a.method == method and "/resolve/" in a.path
        ]


class Handler(http.server.BaseHTTPRequestHandler):
    def record(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        assert isinstance(self.server, Server)
        self.server.asked.append(Asked(self.command, self.path, headers))

    def send(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class HubHandler(Handler):
    server: FakeHub

    def do_GET(self) -> None:  # noqa: N802
        self.record()
        behaviour = self.server.behaviour
        if behaviour.status is not None:
            code = {"X-Error-Code": behaviour.error_code} if behaviour.error_code else {}
            self.send(behaviour.status, code)
            return
        path = unquote(urlsplit(self.path).path)
        encoding = {"Content-Encoding": behaviour.encoding} if behaviour.encoding else {}
        if path == f"/api/models/{NAME}/revision/main" or path.endswith(f"/revision/{COMMIT}"):
            rows = self.server.listing() if behaviour.siblings is None else behaviour.siblings
            body = json.dumps({"id": NAME, "sha": COMMIT, "siblings": rows}).encode()
            self.send(200, encoding | {"Content-Type": "application/json"}, body)
        elif path.startswith(f"/{NAME}/resolve/{COMMIT}/"):
            self.send_file(path.split("/", 5)[5], encoding)
        else:
            wrong = "RevisionNotFound" if f"/{NAME}/" in path else "RepoNotFound"
            self.send(404, {"X-Error-Code": wrong})

    do_HEAD = do_GET  # noqa: N815

    def send_file(self, name: str, headers: dict[str, str]) -> None:
        data = self.server.files.get(name)
        if data is None:
            self.send(404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
            return
        known = self.server.hash(name)
        headers = headers | {"X-Repo-Commit": COMMIT, "ETag": f'"{known}"'}
        if name.endswith(LARGE):
            linked = {"X-Linked-Etag": f'"{known}"', "X-Linked-Size": str(len(data))}
            address = {"Location": f"{self.server.storage.url}/{name}"}
            self.send(302, headers | linked | address | self.server.behaviour.headers)
        else:
            self.send(200, headers | self.server.behaviour.headers, data)


class StorageHandler(Handler):
    server: Storage

    def do_GET(self) -> None:  # noqa: N802
        self.record()
        behaviour = self.server.hub.behaviour
        data = self.server.hub.files[unquote(self.path).strip("/")]
        data = data if behaviour.more is None else behaviour.more
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
        where = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if start else {}
        if behaviour.trickles:
            self.trickle()
            return
        cut = behaviour.cuts.pop(0) if behaviour.cuts else None
        length = {"Content-Length": str(len(data) - start)}
        self.send(206 if start else 200, length | where, data[start:][:cut])

    def trickle(self) -> None:
        self.send_response(200)
        self.end_headers()
        with contextlib.suppress(OSError):
            while not self.server.hub.over.wait(0.05):
                self.wfile.write(b"x")
                self.wfile.flush()


def read_files(directory: Path) -> dict[str, bytes]:
    """Returns the files below a directory by their names."""
    return {
        file.relative_to(directory).as_posix(): file.read_bytes()
        for file in sorted(directory.rglob("*"))
        if file.is_file()
    }
