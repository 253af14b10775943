"""Downloads from all kinds of hosts: good, dead, slow, broken, changing, or with a web page."""

import hashlib
import io
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from export.source import download, hub
from export.source.download import ABANDONED_S, PartialFile
from support import progress
from support.errors import EnvironmentProblem, UserError
from support.sha256 import path_sha256
from tests.python.hosts import BODY, TAG, Host


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.setattr(download, "PAUSE_S", 0.0)
    server = Host()
    yield server
    server.over.set()
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "cache"
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(place))
    return place


def cached_names(cache: Path) -> set[str]:
    return {child.suffix for child in cache.iterdir()}


def is_unpacked_model(directory: Path) -> bool:
    noise = (directory / "noise").read_bytes()
    return noise == random.Random(1).randbytes(200_000)


def test_file_is_downloaded_once(host: Host, cache: Path) -> None:
    expected = hashlib.sha256(BODY).hexdigest()
    assert is_unpacked_model(hub.resolve(host.url(), expected))
    assert is_unpacked_model(hub.resolve(host.url()))
    assert len(host.asked) == 1
    assert cached_names(cache) == {".archive", ""}


def test_broken_connection_is_resumed(host: Host) -> None:
    host.cuts = [70_000, 50_000]
    lines: list[str] = []
    assert is_unpacked_model(hub.resolve(host.url(), say=lines.append))
    assert [asked.get("range") for asked in host.asked] == [None, "bytes=70000-", "bytes=120000-"]
    assert {asked.get("if-range") for asked in host.asked[1:]} == {TAG}
    assert len(lines) == 2 and "broke off at 0.1 MB" in lines[0]


def test_next_command_resumes_the_download(
    host: Host, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "ATTEMPTS", 1)
    host.cuts = [70_000]
    with pytest.raises(EnvironmentProblem, match="broke off.*run the command again to go on"):
        hub.resolve(host.url())
    assert cached_names(cache) == {".partial", ".json"}
    assert is_unpacked_model(hub.resolve(host.url()))
    assert host.asked[1]["range"] == "bytes=70000-"
    assert cached_names(cache) == {".archive", ""}


def test_a_download_with_a_weak_etag_is_resumed_by_its_date(host: Host) -> None:
    date = "Wed, 21 Oct 2020 07:28:00 GMT"
    host.headers = {"ETag": 'W/"weak"', "Last-Modified": date}
    host.cuts = [70_000]
    assert is_unpacked_model(hub.resolve(host.url()))
    assert host.asked[1]["if-range"] == date


def test_server_without_ranges_sends_the_whole_file_again(host: Host) -> None:
    host.ranges = False
    host.cuts = [70_000]
    assert is_unpacked_model(hub.resolve(host.url()))
    assert host.asked[1]["range"] == "bytes=70000-"


@pytest.mark.parametrize("headers", [{}, {"ETag": TAG, "Accept-Ranges": "none"}])
def test_server_without_versions_sends_the_whole_file_again(
    host: Host, cache: Path, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    host.headers = headers
    host.cuts = [70_000]
    assert is_unpacked_model(hub.resolve(host.url()))
    assert "range" not in host.asked[1]

    monkeypatch.setattr(download, "ATTEMPTS", 1)
    host.cuts = [70_000]
    with pytest.raises(EnvironmentProblem, match="run the command again$"):
        hub.resolve(host.url("/m.tar.gz/second"))
    assert cached_names(cache) == {".archive", ""}


def test_changed_file_is_downloaded_from_the_start(
    host: Host, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "ATTEMPTS", 1)
    host.body = b"\x1f\x8b" + bytes(100_000)
    host.cuts = [70_000]
    with pytest.raises(EnvironmentProblem):
        hub.resolve(host.url())
    host.body, host.headers = BODY, {"ETag": '"two"'}
    assert is_unpacked_model(hub.resolve(host.url()))
    assert host.asked[1]["if-range"] == TAG
    assert cached_names(cache) == {".archive", ""}


def test_invalid_range_starts_from_the_beginning(host: Host) -> None:
    host.cuts = [70_000]
    assert is_unpacked_model(hub.resolve(host.url("/gone")))
    assert [asked.get("range") for asked in host.asked] == [None, "bytes=70000-", None]


def test_a_part_from_another_position_is_not_appended(host: Host) -> None:
    host.cuts, host.wrong_part = [70_000], True
    assert is_unpacked_model(hub.resolve(host.url()))
    assert [asked.get("range") for asked in host.asked] == [None, "bytes=70000-"]


def test_partial_file_of_a_killed_process_is_resumed(host: Host, cache: Path) -> None:
    cache.mkdir()
    part = PartialFile(cache, hashlib.sha256(host.url().encode()).hexdigest())
    part.start(TAG)
    left = cache / f"{part.stem}.7.growing"
    left.write_bytes(BODY[:1000])
    assert is_unpacked_model(hub.resolve(host.url()))
    assert "range" not in host.asked[0], "another process may be writing to it"

    (archive_file,) = cache.glob("*.archive")
    archive_file.unlink()
    part.start(TAG)
    left.write_bytes(BODY[:1000])
    old = time.time() - ABANDONED_S - 1
    os.utime(left, (old, old))
    assert is_unpacked_model(hub.resolve(host.url()))
    assert host.asked[1]["range"] == "bytes=1000-"


def test_file_of_unknown_length_is_downloaded(host: Host) -> None:
    assert is_unpacked_model(hub.resolve(host.url("/chunked")))


def test_file_with_a_wrong_sha256_is_removed(host: Host, cache: Path) -> None:
    got = hashlib.sha256(BODY).hexdigest()
    with pytest.raises(UserError, match=f"got sha256 {got}, expected {'0' * 64}"):
        hub.resolve(host.url(), "0" * 64)
    assert not any(cache.iterdir())


def test_damaged_file_is_downloaded_again(host: Host) -> None:
    host.body = BODY[:-5000]
    with pytest.raises(UserError, match="cut off or damaged"):
        hub.resolve(host.url())
    host.body = BODY
    assert is_unpacked_model(hub.resolve(host.url()))


def test_dead_host_is_an_error() -> None:
    with pytest.raises(UserError, match="does not answer.*give a local directory"):
        hub.resolve("http://127.0.0.1:1/model.tar.gz")


def test_silent_host_is_an_error(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    # Long enough to connect on a busy machine.
    monkeypatch.setattr(download, "TIMEOUT_S", 2)
    with pytest.raises(UserError, match="does not answer .ReadTimeout.; give a local directory"):
        hub.resolve(host.url("/silent"))


def test_very_slow_host_is_an_error(
    host: Host, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "STALL_S", 0.1)
    with pytest.raises(EnvironmentProblem, match="broke off 3 times"):
        hub.resolve(host.url("/trickle"))
    assert not any(cache.iterdir())


def test_web_page_instead_of_a_file_is_refused(host: Host, cache: Path) -> None:
    with pytest.raises(UserError, match="got text/html, expected a .tar.gz.*give a local"):
        hub.resolve(host.url("/page"))
    assert not any(cache.iterdir())


def test_a_web_page_about_a_file_is_refused_with_the_usual_address(host: Host) -> None:
    with pytest.raises(UserError, match="got text/html.*often at http.*/raw/m.tar.gz"):
        hub.resolve(host.url("/blob/m.tar.gz"))


def test_dead_address_is_an_error(host: Host, cache: Path) -> None:
    with pytest.raises(UserError, match="answers 404 Not Found; give a local directory"):
        hub.resolve(host.url("/nothing"))
    assert not any(cache.iterdir())


def test_cache_that_is_not_writable_is_an_error(host: Host, cache: Path) -> None:
    cache.write_text("a file")
    with pytest.raises(EnvironmentProblem, match="cannot write.*TFHUB_CACHE_DIR"):
        hub.resolve(host.url())


def test_progress_in_a_log_is_lines(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
    lines: list[str] = []
    hub.resolve(host.url(), say=lines.append)
    size = f"{len(BODY) / 1e6:.1f}"
    assert lines[-2:] == [f"download: {size} of {size} MB", f"download: {size} of {size} MB in 0 s"]


def test_progress_on_a_terminal_is_a_bar(
    host: Host, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setattr(progress, "BAR_AFTER_S", 0.0)
    hub.resolve(host.url())
    assert "download:   0%" in capsys.readouterr().err


def test_sha256_is_checked_before_the_export(
    host: Host, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An older model of the same address in tensorflow_hub's cache, and an older download: neither
    # has the requested sha256.
    from export import model
    from export.tokenizer_choice import TokenizerChoice

    url = host.url()
    older = cache / hashlib.sha1(url.encode()).hexdigest()
    older.mkdir(parents=True)
    (older / "saved_model.pb").write_bytes(b"\x08\x01\x12\x00")
    (cache / f"{hashlib.sha256(url.encode()).hexdigest()}.archive").write_bytes(BODY[:-1])
    wanted = hashlib.sha256(BODY).hexdigest()
    seen: list[Path] = []

    class Seen(Exception):
        pass

    def required(directory: Path, asked: object) -> None:
        seen.append(directory)
        raise Seen

    monkeypatch.setattr(model, "require_exportable", required)
    request = model.ExportRequest(handle=url, tokenizer=TokenizerChoice(), sha256=wanted)
    with pytest.raises(Seen):
        model.export_model(request, cache / "out", print)
    assert seen == [cache / wanted / "m"]
    # The same for the archive of the tokenizer's model.
    (cache / f"{hashlib.sha256(url.encode()).hexdigest()}.archive").write_bytes(BODY[:-1])
    provenance = TokenizerChoice(model=url, model_sha256=wanted).provenance()
    assert provenance["tokenizer_model"]["sha256"] == path_sha256(cache / wanted / "m")
    with pytest.raises(UserError, match=f"got sha256 {wanted}, expected {'0' * 64}"):
        TokenizerChoice(model=url, model_sha256="0" * 64).provenance()


def test_changed_archive_is_unpacked_again(cache: Path, tmp_path: Path) -> None:
    file = tmp_path / "m.tar.gz"
    file.write_bytes(BODY)
    wanted = hashlib.sha256(BODY).hexdigest()
    assert hub.resolve(str(file), wanted) == cache / wanted / "m"
    file.write_bytes(BODY[:-1])
    with pytest.raises(UserError, match=f"expected {wanted}"):
        hub.resolve(str(file), wanted)


def test_the_sha256_options_reach_the_model_and_the_tokenizer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from export import __main__ as command
    from export import model

    requests: list[model.ExportRequest] = []
    monkeypatch.setattr(model, "export_model", lambda request, out, say: requests.append(request))
    arguments = ["model", "m", "--sha256", "aa", "--tokenizer-model", "t", "--out", str(tmp_path)]
    assert command.main([*arguments, "--tokenizer-sha256", "bb"]) == 0
    (request,) = requests
    assert (request.sha256, request.tokenizer.model_sha256) == ("aa", "bb")
    assert command.main(["vocab", "v", "--tokenizer-sha256", "bb", "--out", str(tmp_path)]) == 2


@pytest.mark.parametrize("path", ["", "/chunked"])
def test_too_large_file_is_refused(
    host: Host, cache: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "max_bytes", 100_000)
    # The first host sends the length, the second does not.
    with pytest.raises(UserError, match=r"GiB, expected at most .*--max-download GIB"):
        hub.resolve(host.url(path) if path else host.url())
    assert not any(cache.iterdir())


def test_too_long_download_is_stopped(
    host: Host, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "TOTAL_S", 0.3)
    with pytest.raises(UserError, match="takes longer than"):
        hub.resolve(host.url("/trickle"))
    assert not any(cache.iterdir())


def redirect_hosts(monkeypatch: pytest.MonkeyPatch, *locations: str) -> list[str]:
    """Redirects each address to the next; returns the list of requested addresses."""
    import requests

    asked: list[str] = []

    def get(url: str, **_: object) -> requests.Response:
        asked.append(url)
        answer = requests.Response()
        answer.status_code = 302
        answer.raw = io.BytesIO()
        answer.headers["location"] = locations[min(len(asked), len(locations)) - 1]
        return answer

    monkeypatch.setattr(requests, "get", get)
    return asked


@pytest.mark.parametrize(
    ("first", "locations", "message"),
    [
        ("https://a/m", ["http://a/m"], "redirected from https to http"),
        ("https://a/m", ["https://b/m", "http://b/m"], "redirected from https to http"),
        ("http://a/m", ["https://b/m", "http://b/m"], "redirected from https to http"),
        ("https://a/m", ["file:///etc/passwd"], "redirected to file:"),
        ("http://a/m", ["ftp://a/m"], "redirected to ftp:"),
        ("https://a/m", ["/m"], "redirected more than 5 times"),
    ],
)
def test_forbidden_redirects_are_refused(
    first: str, locations: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = redirect_hosts(monkeypatch, *locations)
    with pytest.raises(UserError, match=message):
        hub.resolve(first)
    assert asked[0] == first
    assert all(one.startswith(("http:", "https:")) for one in asked)
    assert len(asked) <= 6


def test_cache_that_others_can_change_is_refused(
    host: Host, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache.mkdir(mode=0o700)
    for mode in (0o702, 0o777):
        cache.chmod(mode)
        with pytest.raises(EnvironmentProblem, match="written to by other users.*chmod go-w"):
            hub.resolve(host.url())
    cache.chmod(0o700)
    cache.parent.chmod(0o777)
    with pytest.raises(EnvironmentProblem, match="may put another directory in its place"):
        hub.resolve(host.url())
    # Sticky, as /tmp: nobody can move files of others.
    cache.parent.chmod(0o1777)
    assert is_unpacked_model(hub.resolve(host.url()))
    if os.geteuid() == 0:
        os.chown(cache, 12345, 12345)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(EnvironmentProblem, match="belongs to another user"):
        hub.resolve(host.url())


def test_new_cache_is_private(host: Host, cache: Path) -> None:
    hub.resolve(host.url())
    assert cache.stat().st_mode & 0o777 == 0o700
