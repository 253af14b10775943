"""Hubs of repositories that lie, hang or never end, and `tf_model.h5` files that are none.

Each hub is a thread of the command's own process and ends with it.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tests.hostile.case import HostileCase
from tests.hostile.download_cases import answering, trickle
from tests.hostile.export_cases import SPECIAL, build, checkpoint, no_output, sparse

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SHA = "9e26dfeeb6e641a33dae4961196235bdb965b21b"
"""git's hash of the file `{}`."""
SERVER = """import json, os, socket, sys, threading, time
sys.path.insert(0, os.getcwd())
from export.source import download
download.max_bytes, download.TIMEOUT_S, download.STALL_S = 1 << 20, 1, 2
listening = socket.create_server(('127.0.0.1', 0))
url = f'http://127.0.0.1:{{listening.getsockname()[1]}}'
os.environ |= {{'HF_ENDPOINT': url, 'HF_HOME': {home!r}}}
os.environ.pop('HF_HUB_CACHE', None)
def answer(link):
    asked = link.recv(65536)
    send = link.sendall
    def reply(status, headers, body=b''):
        lines = [f'HTTP/1.1 {{status}}', f'Content-Length: {{len(body)}}', *headers, '', '']
        send('\\r\\n'.join(lines).encode('latin-1') + (b'' if asked[:4] == b'HEAD' else body))
    try:
        if asked[:9] == b'GET /api/':
            {listing}
        else:
            {file}
    except OSError:
        pass
    link.close()
def serve():
    while True:
        threading.Thread(target=answer, args=listening.accept()[:1], daemon=True).start()
threading.Thread(target=serve, daemon=True).start()
from export.__main__ import main
sys.exit(main(['build', 'hf:owner/name', '--out', {out!r}]))
"""
NAMES = ("config.json", "model.safetensors")
ROWS = [{"rfilename": name, "size": 2, "blobId": SHA} for name in NAMES]


def listing_of(rows: Any = ROWS, commit: Any = COMMIT) -> str:
    """Returns code that sends a listing."""
    document = {"id": "owner/name", "sha": commit, "siblings": rows}
    return f"reply('200 OK', [], json.dumps({document!r}).encode())"


def file_of(*headers: str, body: str = "b'{}'", status: str = "200 OK") -> str:
    """Returns code that sends a file."""
    known = [f"X-Repo-Commit: {COMMIT}", *headers]
    if not any(header.startswith("ETag") for header in headers):
        known.append(f'ETag: "{SHA}"')
    return f"reply({status!r}, {known!r}, {body})"


LISTINGS = {
    "no end": answering("200 OK") + "; [send(b'[' * 65536) for _ in range(10**6)]",
    "silence": "time.sleep(60)",
    "nothing": "pass",
    "noise": "send(os.urandom(5000))",
    "a trickling status line": trickle("HTTP/1.1 2"),
    "a trickling body": trickle("HTTP/1.1 200 OK\r\n\r\n{"),
    "a page": "reply('200 OK', ['Content-Type: text/html'], b'<html>' * 100)",
    "a list": "reply('200 OK', [], b'[]')",
    "deep": "reply('200 OK', [], b'[' * 100000)",
    "no commit": listing_of(commit=None),
    "a commit that leads out": listing_of(commit="../../../escaped"),
    "a gzip": "reply('200 OK', ['Content-Encoding: gzip'], bytes(1000))",
    "a redirect to itself": "reply('302 Found', ['Location: ' + url + '/api/x'])",
    "a redirect to a file": "reply('302 Found', ['Location: file:///etc/passwd'])",
    "a reason with escapes": "reply('500 \\x1b[31m ::error::no', [])",
    "an error with escapes": "reply('403 No', ['X-Error-Message: \\x1b]0;x\\x07 ::error::'])",
    "a warning with escapes": "reply('404 No', ['X-HF-Warning: x; \\x1b[31m ::error::'])",
    "wait an hour": "reply('429 No', ['Retry-After: 3600'])",
    "names that lead out": listing_of(
        [{"rfilename": name, "size": 2} for name in ("../config.json", "/config.json", "\x1b[31m")]
    ),
    "a size of 10 TiB": listing_of([*ROWS[:1], ROWS[1] | {"size": 10 << 40}]),
    "a negative size": listing_of([row | {"size": -5} for row in ROWS]),
    "a hash with escapes": listing_of([row | {"blobId": "\x1b[31m"} for row in ROWS]),
}
FILES = {
    "other bytes than the hash": file_of(body="b'[]'"),
    "an ETag that leads out": file_of('ETag: "../../../../escaped"'),
    "an ETag with escapes": file_of('ETag: "\x1b[31m"'),
    "another commit": file_of("X-Repo-Commit: ../../escaped"),
    "a redirect to a file": file_of("Location: file:///etc/passwd", status="302 Found"),
    "a redirect to itself": file_of("Location: /owner/name", status="302 Found"),
    "no end": answering("200 OK", f"X-Repo-Commit: {COMMIT}", f'ETag: "{SHA}"')
    + "; [send(bytes(65536)) for _ in range(10**6)]",
    "a redirect to ftp": file_of("Location: ftp://127.0.0.1/x", status="302 Found"),
    "a trickle": trickle(f'HTTP/1.1 200 OK\r\nX-Repo-Commit: {COMMIT}\r\nETag: "{SHA}"\r\n\r\n'),
    "silence": "time.sleep(60)",
    "nothing": "pass",
    "a lying length": file_of(body="b'{}' * 1000"),
}
SAYS = {
    "other bytes than the hash": "which the repository itself says",
    "an ETag that leads out": "expected the commit",
    "a size of 10 TiB": "--max-download",
    "a trickle": "hardly anything arrives",
    "wait an hour": "answers 429",
}


def cases() -> Iterator[HostileCase]:
    """Yields each hub, and each file."""
    for what, code in LISTINGS.items():
        yield _hub(f"repository: a listing of {what}", code, file_of(), SAYS.get(what, ""))
    for what, code in FILES.items():
        rows = listing_of([row | {"size": 5000} for row in ROWS] if "trickle" in what else ROWS)
        yield _hub(f"repository: a file of {what}", rows, code, SAYS.get(what, ""))
    for name in ("hf:", "hf:../..", "hf:a/b@../../x", "hf:a/\x1b[31m", "hf:a/b\n::error::"):
        yield HostileCase(f"repository: the name {name!r}", partial(_build_named, name))
    yield from _h5_files()


def _hub(name: str, listing: str, file: str, says: str) -> HostileCase:
    """Returns the case of a hub.

    Args:
        name: of the case.
        listing: code that answers the request for the files.
        file: code that answers a request for a file.
        says: a text that the output must have.
    """
    make = partial(_build_from_hub, listing, file)
    return HostileCase(name, make, says=says, check=_nothing_escaped, seconds=90)


def _build_from_hub(listing: str, file: str, workdir: Path) -> list[str]:
    """Returns a command that builds a model of a hub of its own."""
    home, out = str(workdir.parent / "home" / "hf"), str(workdir / "out")
    script = workdir / "run.py"
    script.write_text(SERVER.format(listing=listing, file=file, home=home, out=out), "utf-8")
    return ["python", str(script)]


def _build_named(name: str, workdir: Path) -> list[str]:
    """Returns a command that builds a model of a name."""
    return ["python", "-m", "export", "build", name, "--out", str(workdir / "out")]


def _nothing_escaped(workdir: Path) -> str:
    """Checks that no output remains, and no file at a path that the host chose."""
    left = [path.name for path in workdir.parent.rglob("*") if "escaped" in path.name]
    return f"left behind: {left}" if left else no_output(workdir)


KERNEL = "bert/tf_bert_model/bert/encoder/layer_._0/attention/self/query/kernel:0"


def _external(file: h5py.File) -> None:
    file.create_dataset(KERNEL, (4, 4), "f4", external=[("/etc/passwd", 0, 64)])


def _links(file: h5py.File) -> None:
    file[KERNEL] = h5py.ExternalLink("/etc/passwd", "x")
    file["bert/soft"] = h5py.SoftLink("/bert")
    file["loop"] = file["/"]


def _terabytes(file: h5py.File) -> None:
    file.create_dataset(KERNEL, (1 << 40, 1 << 20), "f4", chunks=(1024, 1024))


def _bomb(file: h5py.File) -> None:
    file.create_dataset(KERNEL, data=np.zeros(1 << 24, "f4"), compression="gzip")


def _objects(file: h5py.File) -> None:
    file.create_dataset(KERNEL, data=["a"], dtype=h5py.string_dtype())


def _many(file: h5py.File) -> None:
    for i in range(11_000):
        file.create_dataset(f"a/b/{i}", data=0)


def _escapes(file: h5py.File) -> None:
    file["bert/x/\x1b[31m::error::\n"] = np.zeros((4, 4), "f4")


H5_FILES: dict[str, Callable[[h5py.File], None]] = {
    "values in another file": _external,
    "links": _links,
    "terabytes": _terabytes,
    "a bomb": _bomb,
    "objects": _objects,
    "eleven thousand variables": _many,
    "names with escapes": _escapes,
    "nothing": lambda file: None,
}


def _h5_files() -> Iterator[HostileCase]:
    """Yields files in the place of `tf_model.h5`."""

    def of_bytes(data: bytes, workdir: Path) -> list[str]:
        model = checkpoint(workdir)
        (model / "model.safetensors").unlink()
        (model / "tf_model.h5").write_bytes(data)
        return build(model)

    def of_h5(make: Callable[[h5py.File], None], workdir: Path) -> list[str]:
        command = of_bytes(b"", workdir)
        with h5py.File(workdir / "m" / "tf_model.h5", "w") as file:
            make(file)
        return command

    def special(make: Callable[[Path], Path], workdir: Path) -> list[str]:
        command = of_bytes(b"", workdir)
        (workdir / "m" / "tf_model.h5").unlink()
        make(workdir / "m" / "tf_model.h5")
        return command

    signature = b"\x89HDF\r\n\x1a\n"
    contents = {
        "empty": b"",
        "noise": bytes(range(256)) * 20,
        "a signature": signature,
        "zeros": signature + bytes(5000),
        "a Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\n",
    }
    for what, data in contents.items():
        yield HostileCase(f"tf_model.h5: {what}", partial(of_bytes, data), check=no_output)
    for what, make in H5_FILES.items():
        yield HostileCase(f"tf_model.h5: {what}", partial(of_h5, make), check=no_output)
    for what, place in SPECIAL.items():
        if place is not sparse:
            yield HostileCase(f"tf_model.h5: {what}", partial(special, place), seconds=60)
