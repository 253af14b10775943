"""Handles that lead nowhere: each its own message, nothing half-written left behind."""

import http.server
import io
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from export import hub
from export.errors import EnvironmentProblem, UserError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "cache"
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(place))
    return place


def archive(path: Path, name: str = "albert/saved_model.pb", content: bytes = b"x" * 5000) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return path


class Server(http.server.BaseHTTPRequestHandler):
    """/page is HTML, /model.tar.gz an archive, /short breaks off, the rest 404."""

    body = b""

    def do_GET(self) -> None:  # noqa: N802
        if self.path == "/page":
            self.answer(b"<html>sign in</html>", "text/html")
        elif self.path == "/model.tar.gz":
            self.answer(self.body, "application/gzip")
        elif self.path == "/short":
            self.send_response(200)
            self.send_header("Content-Length", str(len(self.body)))
            self.end_headers()
            self.wfile.write(self.body[:20])
        else:
            self.send_error(404)

    def answer(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    Server.body = archive(tmp_path / "served.tar.gz").read_bytes()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_directory_and_archive_and_url_lead_to_the_saved_model(tmp_path: Path, host: str) -> None:
    assert hub.resolve(str(archive(tmp_path / "m.tar.gz"))).name == "albert"
    assert (hub.resolve(f"{host}/model.tar.gz") / "saved_model.pb").stat().st_size == 5000
    here = tmp_path / "here"
    here.mkdir()
    (here / "saved_model.pb").touch()
    assert hub.resolve(str(here)) == here


def test_missing_path() -> None:
    with pytest.raises(UserError, match="no such file.*give a local directory, a .tar.gz"):
        hub.resolve("no/such/model")


def test_directory_without_a_model(tmp_path: Path) -> None:
    (tmp_path / "readme.md").touch()
    with pytest.raises(UserError, match="is no SavedModel: got .*readme.md"):
        hub.resolve(str(tmp_path))


@pytest.mark.parametrize("keep", [10, 100, -30])
def test_archive_cut_off(tmp_path: Path, cache: Path, keep: int) -> None:
    whole = archive(tmp_path / "m.tar.gz", content=bytes(range(256)) * 200)
    cut = tmp_path / "cut.tar.gz"
    cut.write_bytes(whole.read_bytes()[:keep])
    with pytest.raises(UserError, match="cut off or damaged"):
        hub.resolve(str(cut))
    assert not any(cache.iterdir())


def test_file_that_is_no_archive(tmp_path: Path) -> None:
    page = tmp_path / "m.tar.gz"
    page.write_text("<html>")
    with pytest.raises(UserError, match="got no gzip file"):
        hub.resolve(str(page))


@pytest.mark.parametrize("name", ["../outside", "/absolute", "a/../../b"])
def test_archive_that_reaches_out(tmp_path: Path, cache: Path, name: str) -> None:
    with pytest.raises(UserError, match="expected plain files inside one folder"):
        hub.resolve(str(archive(tmp_path / "m.tar.gz", name)))
    assert not any(cache.iterdir())


def test_host_is_gone() -> None:
    with pytest.raises(UserError, match="does not answer.*give a local directory"):
        hub.resolve("http://127.0.0.1:1/model.tar.gz")


def test_page_instead_of_a_file(host: str, cache: Path) -> None:
    with pytest.raises(UserError, match="got text/html, expected a .tar.gz"):
        hub.resolve(f"{host}/page")
    assert not any(cache.iterdir())


def test_address_that_is_dead(host: str) -> None:
    with pytest.raises(UserError, match="answers 404"):
        hub.resolve(f"{host}/nothing")


def test_download_that_breaks_off(host: str, cache: Path) -> None:
    with pytest.raises((EnvironmentProblem, UserError), match="broke off|does not answer"):
        hub.resolve(f"{host}/short")
    assert not any(cache.iterdir())
