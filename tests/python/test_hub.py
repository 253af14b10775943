"""Handles: the directory of each valid one, and the message for each invalid one."""

import gzip
import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from export.source import hub
from support.errors import UserError

# A SavedModel of one empty graph.
EMPTY_MODEL = b"\x08\x01\x12\x00"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "cache"
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(place))
    return place


def tar_of(files: dict[str, bytes], mode: str = "w:gz") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as tar:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return out.getvalue()


def zip_of(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return out.getvalue()


def model(path: Path) -> Path:
    path.mkdir(parents=True)
    (path / "saved_model.pb").write_bytes(EMPTY_MODEL)
    return path


FILES = {"albert/saved_model.pb": EMPTY_MODEL, "albert/variables/variables.index": b"x" * 5000}
ARCHIVES = {
    "m.tar.gz": tar_of(FILES),
    "m.tgz": tar_of(FILES),
    "m.tar": tar_of(FILES, "w"),
    "m.zip": zip_of(FILES),
    # The content, not the name, decides what a file is.
    "m.bin": zip_of({"./albert/": b""} | FILES),
    # Without an outer folder, as the collection packed its models.
    "m": tar_of({f"./{name.removeprefix('albert/')}": data for name, data in FILES.items()}),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_archive_is_unpacked(tmp_path: Path, cache: Path, name: str) -> None:
    file = tmp_path / name
    file.write_bytes(ARCHIVES[name])
    directory = hub.resolve(str(file))
    assert (directory / "saved_model.pb").read_bytes() == EMPTY_MODEL
    assert (directory / "variables" / "variables.index").read_bytes() == b"x" * 5000
    assert hub.resolve(str(file)) == directory
    assert [child.name for child in cache.iterdir()] == [hashlib.sha256(ARCHIVES[name]).hexdigest()]


def test_directory_is_returned(tmp_path: Path) -> None:
    here = model(tmp_path / "here")
    assert hub.resolve(str(here)) == here
    assert hub.resolve(str(tmp_path)) == here


def test_missing_path_is_an_error() -> None:
    with pytest.raises(UserError, match="no such file.*catalog.*give a local directory, a .tar.gz"):
        hub.resolve("no/such/model")


def test_directory_without_a_model_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "readme.md").touch()
    with pytest.raises(UserError, match="is no SavedModel: got .*readme.md"):
        hub.resolve(str(tmp_path))


def test_checkpoint_is_recognised(tmp_path: Path) -> None:
    (tmp_path / "bert_config.json").touch()
    with pytest.raises(UserError, match="is no SavedModel: .*python -m export build"):
        hub.resolve(str(tmp_path))


def test_several_models_are_an_error(tmp_path: Path) -> None:
    model(tmp_path / "a")
    model(tmp_path / "b")
    with pytest.raises(UserError, match=r"several SavedModels \(a, b\)"):
        hub.resolve(str(tmp_path))


def test_file_that_is_no_archive_is_an_error(tmp_path: Path) -> None:
    page = tmp_path / "m.tar.gz"
    page.write_text("<html>")
    with pytest.raises(UserError, match="got no archive, expected a .tar.gz"):
        hub.resolve(str(page))


def test_damaged_model_is_an_error(tmp_path: Path) -> None:
    place = model(tmp_path / "m")
    for content in (b"\xff\xff\xff", b"\x12\xff", b""):
        (place / "saved_model.pb").write_bytes(content)
        with pytest.raises(UserError, match="is damaged|is empty"):
            hub.resolve(str(place))


def test_sha256_is_checked(tmp_path: Path, cache: Path) -> None:
    file = tmp_path / "m.zip"
    file.write_bytes(ARCHIVES["m.zip"])
    expected = hashlib.sha256(ARCHIVES["m.zip"]).hexdigest()
    assert hub.resolve(str(file), expected.upper()).is_dir()
    with pytest.raises(UserError, match=f"got sha256 {expected}, expected {'0' * 64}"):
        hub.resolve(str(file), "0" * 64)
    with pytest.raises(UserError, match="--sha256 is for an archive or a URL, got the directory"):
        hub.resolve(str(tmp_path), expected)


def test_a_model_in_the_cache_of_tensorflow_hub_needs_no_network(cache: Path) -> None:
    # tensorflow_hub stores a model under the sha1 of its handle.
    url = "https://code.aliyun.com/qhduan/albert_tiny.tar.gz"
    place = model(cache / hashlib.sha1(url.encode()).hexdigest())
    assert hub.resolve(url) == place


@pytest.mark.parametrize(
    "url",
    [
        "https://tfhub.dev/google/bert_zh/2",
        "https://www.kaggle.com/models/google/albert/tensorFlow2/xlarge/3",
        "https://kaggle.com/models/google/albert/tensorFlow2/xlarge/3",
    ],
)
def test_model_pages_go_through_tensorflow_hub(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tensorflow_hub

    here = model(tmp_path / "here")
    answers: dict[str, object] = {url: str(here)}

    def resolve(handle: str) -> str:
        import socket

        assert socket.getdefaulttimeout() == 20
        answer = answers[handle]
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    monkeypatch.setattr(tensorflow_hub, "resolve", resolve)
    assert hub.resolve(url) == here
    for answer, message in (
        (TimeoutError("timed out"), "gives no model .timed out.; give a local directory"),
        (ValueError(), "gives no model .ValueError.; give a local directory"),
        ("gs://bucket/model", "leads to gs:.*expected a directory"),
    ):
        answers[url] = answer
        with pytest.raises(UserError, match=message):
            hub.resolve(url)
    with pytest.raises(UserError, match="--sha256 is for an archive"):
        hub.resolve(url, "0" * 64)


def test_other_urls_are_downloaded_as_files() -> None:
    assert not hub.is_model_page("https://www.kaggle.com/datasets/a/b")
    assert not hub.is_model_page("https://example.com/models/m.tar.gz")


@pytest.mark.parametrize("keep", [10, 100, -30, -5])
def test_truncated_archive_is_an_error(tmp_path: Path, cache: Path, keep: int) -> None:
    whole = tar_of({"m/saved_model.pb": bytes(range(256)) * 200})
    cut = tmp_path / "cut.tar.gz"
    cut.write_bytes(whole[:keep])
    with pytest.raises(UserError, match="cut off or damaged"):
        hub.resolve(str(cut))
    assert not any(cache.iterdir())


@pytest.mark.parametrize("content", [gzip.compress(b"<html>" * 500, mtime=0), zip_of(FILES)[:-40]])
def test_archive_without_a_model_is_an_error(tmp_path: Path, cache: Path, content: bytes) -> None:
    file = tmp_path / "m"
    file.write_bytes(content)
    with pytest.raises(UserError, match="cut off or damaged"):
        hub.resolve(str(file))
    assert not any(cache.iterdir())
