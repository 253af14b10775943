"""Repositories of Hugging Face's hub, from a fake one: honest, closed, broken, and lying."""

import errno
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from huggingface_hub import constants, file_download

from export.checkpoints.repository_files import download_checkpoint
from export.source import download, hub
from export.source.repository import Repository
from export.source.repository_source import (
    SOURCE_FILE,
    RepositoryHandle,
    parse_handle,
    read_source,
    write_source,
)
from support.errors import EnvironmentProblem, UserError
from tests.python.fake_hub import COMMIT, NAME, FakeHub, hash_of, read_files
from tests.python.publishers import publisher

pytestmark = pytest.mark.quick
HANDLE = f"hf:{NAME}"
TEXTS = {
    "vocab.txt": "[PAD]\n[UNK]\n",
    "tokenizer_config.json": "{}",
    "README.md": "# A model",
    "modeling_owner.py": "import os",
    ".gitattributes": "",
}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, bytes]:
    """The files of a small BERT, as its repository has them."""
    directory = publisher("bert", "hf").write(tmp_path / "published")
    for name in ("pytorch_model.bin", "tf_model.h5", "flax_model.msgpack"):
        (directory / name).write_bytes(b"other weights")
    for name, text in TEXTS.items():
        (directory / name).write_text(text, "utf-8")
    return read_files(directory)


@pytest.fixture
def fake(
    files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, cache: Path
) -> Iterator[FakeHub]:
    server = FakeHub(files)
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    # The library waits so long between two attempts.
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    yield server
    server.close()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "cache"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(place))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    return place


def fetch(handle: str = HANDLE, said: list[str] | None = None) -> Repository:
    parsed = parse_handle(handle)
    assert parsed is not None
    return download_checkpoint(parsed, (said if said is not None else []).append)


def test_only_the_needed_files_are_downloaded_once(fake: FakeHub, files: dict[str, bytes]):
    said: list[str] = []
    repository = fetch(said=said)
    needed = {"config.json", "model.safetensors", "tokenizer_config.json", "vocab.txt"}
    assert read_files(repository.directory) == {name: files[name] for name in needed}
    assert set(fake.paths("HEAD")) == needed
    # The other host has the large file.
    assert set(fake.paths("GET")) == needed - {"model.safetensors"}
    assert [asked.path for asked in fake.storage.asked] == ["/model.safetensors"]
    assert said == [f"{HANDLE}: commit {COMMIT}, model.safetensors"]
    source = repository.source()
    assert (source.repository, source.revision, source.commit) == (NAME, "main", COMMIT)
    assert source.endpoint == "mirror"
    assert source.files["model.safetensors"] == hash_of("x.bin", files["model.safetensors"])
    assert set(source.files) == needed

    fake.asked.clear()
    fetch()
    assert fake.paths("HEAD") == fake.paths("GET") == []
    assert len(fake.storage.asked) == 1


@pytest.mark.parametrize(
    ("lacking", "taken"),
    [
        ([], ["model.safetensors"]),
        (["model.safetensors"], ["tf_model.h5"]),
    ],
)
def test_the_best_weights_are_taken(fake: FakeHub, lacking: list[str], taken: list[str]):
    for name in lacking:
        del fake.files[name]
    names = set(read_files(fetch().directory))
    assert sorted(n for n in names if n.endswith((".safetensors", ".h5", ".bin"))) == taken


def test_shards_are_taken_as_their_index_names_them(fake: FakeHub):
    del fake.files["model.safetensors"]
    shards = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    fake.files |= {name: name.encode() for name in shards}
    fake.files["model-00001-of-00005.safetensors"] = b"of another index"
    index = {"weight_map": {"a": shards[0], "b": shards[1], "c": "../config.json", "d": 7}}
    fake.files["model.safetensors.index.json"] = json.dumps(index).encode()
    got = read_files(fetch().directory)
    assert [n for n in got if n.endswith(".safetensors")] == shards


def test_pickles_alone_are_refused_before_they_are_downloaded(fake: FakeHub):
    del fake.files["model.safetensors"], fake.files["tf_model.h5"]
    with pytest.raises(UserError, match="pytorch_model.bin, a pickle, which can run code"):
        fetch()
    assert fake.storage.asked == []
    del fake.files["pytorch_model.bin"]
    with pytest.raises(UserError, match="got .gitattributes, README.md, .* expected model.safet"):
        fetch()


def test_the_modules_of_sentence_transformers_are_taken(fake: FakeHub):
    modules = [
        {"type": "sentence_transformers.models.Transformer", "path": ""},
        {"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"},
        {"type": "sentence_transformers.models.Dense", "path": "2_Dense"},
        {"type": "x", "path": "../../.ssh"},
        {"type": "x", "path": "/etc"},
        {"type": "x", "path": 7},
        7,
    ]
    fake.files |= {
        "modules.json": json.dumps(modules).encode(),
        "sentence_bert_config.json": b"{}",
        "1_Pooling/config.json": b"{}",
        "2_Dense/config.json": b"{}",
        "2_Dense/model.safetensors": b"dense",
        "onnx/model.onnx": b"",
        "onnx/config.json": b"{}",
    }
    got = set(read_files(fetch().directory)) - {"config.json", "vocab.txt", "tokenizer_config.json"}
    assert got == {
        "model.safetensors",
        "modules.json",
        "sentence_bert_config.json",
        "1_Pooling/config.json",
        "2_Dense/config.json",
        "2_Dense/model.safetensors",
    }
    del fake.files["2_Dense/model.safetensors"]
    fake.files["2_Dense/pytorch_model.bin"] = b"dense"
    with pytest.raises(UserError, match="got 2_Dense/pytorch_model.bin, a pickle"):
        fetch()


@pytest.mark.parametrize(
    ("handle", "name", "revision"),
    [
        ("hf:hfl/rbt3", "hfl/rbt3", "main"),
        ("hf:bert-base-chinese", "bert-base-chinese", "main"),
        ("hf:a_b/c.d-e@refs/pr/1", "a_b/c.d-e", "refs/pr/1"),
        (f"hf:a/b@{COMMIT}", "a/b", COMMIT),
    ],
)
def test_a_handle_has_a_name_and_a_revision(handle: str, name: str, revision: str):
    assert parse_handle(handle) == RepositoryHandle(handle, name, revision)


@pytest.mark.parametrize(
    "handle",
    ["hf:", "hf:/", "hf:a/b/c", "hf:../b", "hf:a/..", "hf:a/b@", "hf:a/b@../x", "hf:a/b@-x",
     "hf:a--b/c", "hf:a b/c", "hf://a/b", "hf:a/b\n", "hf:好/b", "hf:a/b@v 1"],
)  # fmt: skip
def test_what_is_no_handle_is_refused(handle: str):
    with pytest.raises(UserError, match=r"is no repository, expected hf:OWNER/NAME or hf:OWNER"):
        parse_handle(handle)
    assert parse_handle("./hf:a/b") is None


def test_a_revision_may_be_a_commit(fake: FakeHub):
    assert fetch(f"{HANDLE}@{COMMIT}").source().revision == COMMIT


@pytest.mark.parametrize(
    ("handle", "message"),
    [
        (f"{HANDLE}@v9", "has no revision v9; give a branch, tag or commit"),
        ("hf:owner/other", "has no such repository or file; correct the name"),
    ],
)
def test_an_unknown_repository_or_revision_is_the_users_mistake(
    fake: FakeHub, handle: str, message: str
):
    with pytest.raises(UserError, match=f"^{handle}: {fake.url} {message}$"):
        fetch(handle)


@pytest.mark.parametrize(("status", "code"), [(401, ""), (403, "GatedRepo"), (401, "RepoNotFound")])
def test_a_repository_for_some_people_asks_for_a_token(
    fake: FakeHub, status: int, code: str, monkeypatch: pytest.MonkeyPatch
):
    fake.behaviour.status, fake.behaviour.error_code = status, code
    with pytest.raises(UserError, match=f"answers {status}: .* got no token; .* and set HF_TOKEN$"):
        fetch()
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with pytest.raises(UserError, match="got the token in use may not read it") as refused:
        fetch()
    assert "hf_secret" not in str(refused.value)


def test_the_token_goes_to_the_endpoint_alone(fake: FakeHub, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    fetch()
    assert {asked.headers.get("authorization") for asked in fake.asked} == {"Bearer hf_secret"}
    assert [a.headers.get("authorization") for a in fake.storage.asked] == [None]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_failing_hub_is_a_problem_of_the_environment(fake: FakeHub, status: int):
    fake.behaviour.status = status
    with pytest.raises(
        EnvironmentProblem, match=f"answers {status}; try again later, or set HF_EN"
    ):
        fetch()


def test_a_closed_network_is_one_line(cache: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    message = r"does not answer \(ConnectError\); set HF_ENDPOINT to a mirror such as https://hf-m"
    with pytest.raises(EnvironmentProblem, match=message):
        fetch()
    monkeypatch.setenv("HF_ENDPOINT", "hf-mirror.com")
    with pytest.raises(UserError, match="HF_ENDPOINT: got hf-mirror.com, expected an address"):
        fetch()


def test_without_a_network_the_cache_is_enough(fake: FakeHub, monkeypatch: pytest.MonkeyPatch):
    online = fetch()
    fake.close()
    said: list[str] = []
    cached = fetch(said=said)
    assert cached.directory == online.directory
    assert cached.source().files == online.source().files
    assert cached.source().endpoint == "cache"
    assert said[0].startswith(f"NOTICE: {HANDLE}: {fake.url} does not answer (ConnectError); ")
    assert said[0].endswith(f"taking commit {COMMIT[:12]} from the cache")

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    said.clear()
    assert fetch(said=said).source() == cached.source()
    assert said == [f"{HANDLE}: commit {COMMIT}, model.safetensors"]
    with pytest.raises(EnvironmentProblem, match="HF_HUB_OFFLINE is set, and the cache .* has no"):
        fetch("hf:owner/other")
    (cached.directory / "model.safetensors").unlink()
    with pytest.raises(EnvironmentProblem, match="the cache has config.json, .* alone, expected"):
        fetch()


def test_a_changed_file_in_the_cache_is_found_without_a_network(
    fake: FakeHub, monkeypatch: pytest.MonkeyPatch
):
    directory = fetch().directory
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    (directory / "vocab.txt").resolve().write_bytes(b"[PAD]\n[SEP]\n")
    with pytest.raises(UserError, match="vocab.txt: got the hash .* expected"):
        fetch()


def test_a_file_outside_of_the_cache_is_never_removed(fake: FakeHub, tmp_path: Path):
    own = tmp_path / "own.txt"
    own.write_text("mine", "utf-8")
    link = fetch().directory / "vocab.txt"
    link.unlink()
    link.symlink_to(own)
    with pytest.raises(UserError, match="vocab.txt: got the hash .* the file was removed"):
        fetch()
    assert own.read_text("utf-8") == "mine" and not link.is_symlink()


def test_a_broken_connection_is_resumed(fake: FakeHub, files: dict[str, bytes]):
    piece = 1 << 16
    fake.files["model.safetensors"] = files["model.safetensors"] = bytes(range(256)) * 1000
    fake.behaviour.cuts = [piece + 1000, piece + 10]
    assert read_files(fetch().directory)["model.safetensors"] == files["model.safetensors"]
    ranges = [asked.headers.get("range") for asked in fake.storage.asked]
    assert ranges == [None, f"bytes={piece}-", f"bytes={2 * piece}-"]


def test_a_connection_that_always_breaks_is_an_error(fake: FakeHub, cache: Path):
    fake.behaviour.cuts = [100, *[0] * 20]
    with pytest.raises(
        EnvironmentProblem, match=r"broke off \(RemoteProtocolError\); run the comm"
    ):
        fetch()
    assert not list(cache.rglob("*.incomplete"))


@pytest.mark.parametrize("name", ["model.safetensors", "vocab.txt"])
def test_other_bytes_than_the_hash_says_are_refused_and_removed(
    fake: FakeHub, cache: Path, name: str
):
    fake.behaviour.hashes = {name: hash_of(name, b"what the publisher had")}
    with pytest.raises(
        UserError, match=f"{name}: got the hash .*, expected .* the file was removed"
    ):
        fetch()
    assert not list(cache.rglob(name))
    fake.behaviour.hashes = {}
    assert name in read_files(fetch().directory)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (b"short", "gives no such files as a hub does .OSError: Consistency check failed"),
        (b"x" * 100_000, "a file goes on after [0-9]+ bytes, expected no more"),
    ],
)
def test_a_file_of_another_size_is_refused(fake: FakeHub, cache: Path, more: bytes, message: str):
    fake.behaviour.more = more
    with pytest.raises(UserError, match=message):
        fetch()
    assert not list(cache.rglob("*.incomplete")) and not list(cache.rglob("model.safetensors"))


@pytest.mark.parametrize(
    "headers",
    [
        {"ETag": '"../../../../escaped"'},
        {"ETag": '"/tmp/escaped"'},
        {"ETag": ""},
        {"X-Linked-Etag": "../../escaped"},
        {"X-Repo-Commit": "../../escaped"},
        {"X-Repo-Commit": "f" * 40},
    ],
)
def test_a_name_for_the_cache_that_leads_out_is_refused(
    fake: FakeHub, tmp_path: Path, headers: dict[str, str]
):
    fake.behaviour.headers = headers
    with pytest.raises(UserError, match="for a file, expected the commit|no such files as a hub"):
        fetch()
    assert not list(tmp_path.rglob("*escaped*"))


@pytest.mark.parametrize(
    ("endpoint", "address", "message"),
    [
        ("http", "ftp://127.0.0.1/x", "redirects to ftp:, expected https"),
        ("https", "http://127.0.0.1/x", "redirects from https to http, where anyone on the way"),
    ],
)
def test_forbidden_redirects_are_refused(
    cache: Path, endpoint: str, address: str, message: str, monkeypatch: pytest.MonkeyPatch
):
    asked: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(str(request.url))
        return httpx2.Response(302, headers={"location": address})

    transport = httpx2.MockTransport(answer)
    monkeypatch.setattr(httpx2.Client, "_transport_for_url", lambda *_: transport)
    monkeypatch.setenv("HF_ENDPOINT", f"{endpoint}://hub")
    with pytest.raises(UserError, match=message):
        fetch()
    assert len(asked) == 1


def test_names_in_the_listing_are_never_paths(fake: FakeHub, tmp_path: Path):
    names = ["../escaped/config.json", "/etc/passwd", "a/../../config.json", "..", "\x1b[31m", ""]
    known = {"size": 3, "blobId": "0" * 40}
    fake.behaviour.siblings = [*fake.listing(), *({"rfilename": n} | known for n in names)]
    assert "model.safetensors" in read_files(fetch().directory)
    assert not list(tmp_path.rglob("escaped"))


@pytest.mark.parametrize(
    "siblings",
    [7, "x", [7], [{}], [{"rfilename": "config.json", "size": "x"}],
     [{"rfilename": "config.json", "blobId": 7}], [{"rfilename": "config.json", "blobId": "x"}],
     [{"rfilename": "config.json", "size": -5}], [{"rfilename": "a", "lfs": 7}]],
)  # fmt: skip
def test_a_listing_that_is_none_is_refused(fake: FakeHub, siblings: Any):
    fake.behaviour.siblings = siblings
    with pytest.raises(UserError, match="gives no such files as a hub does"):
        fetch()


def test_what_is_larger_than_allowed_is_refused(fake: FakeHub, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(download, "max_bytes", 1000)
    with pytest.raises(UserError, match=r"GiB, expected at most .*; give --max-download GIB"):
        fetch()
    assert fake.storage.asked == []


def test_a_body_that_unpacks_is_refused(fake: FakeHub):
    fake.behaviour.encoding = "gzip"
    with pytest.raises(UserError, match="got a body encoded as gzip, expected it plain"):
        fetch()
    assert {asked.headers["accept-encoding"] for asked in fake.asked} == {"identity"}


def test_a_full_disk_is_one_line(fake: FakeHub, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(file_download, "http_get", full)
    with pytest.raises(
        EnvironmentProblem, match="No space left on device; make room, or set HF_HU"
    ):
        fetch()


def test_a_host_that_hangs_is_an_error(fake: FakeHub, cache: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(download, "STALL_S", 0.2)
    fake.behaviour.trickles = True
    with pytest.raises(EnvironmentProblem, match="hardly anything arrives; run the command again"):
        fetch()
    assert not list(cache.rglob("*.incomplete"))


def test_a_cache_that_others_can_change_is_refused(fake: FakeHub, cache: Path):
    cache.mkdir()
    cache.chmod(0o777)
    with pytest.raises(EnvironmentProblem, match="may be written to by other users.*HF_HUB_CACHE"):
        fetch()


def test_the_source_travels_in_the_assets(fake: FakeHub, tmp_path: Path):
    source = fetch().source()
    assert read_source(tmp_path) is None
    write_source(tmp_path, source)
    assert read_source(tmp_path) == source.document()
    (tmp_path / SOURCE_FILE).write_text('{"repository": "a/b", "files": {}}', "utf-8")
    with pytest.raises(UserError, match=f"{SOURCE_FILE}: .*build the SavedModel again"):
        read_source(tmp_path)


@pytest.mark.parametrize(
    ("handle", "message"),
    [
        (HANDLE, "got a repository of a checkpoint, expected a SavedModel; of a checkpoint make"),
        ("https://huggingface.co/hfl/rbt3", "is the page of a repository, .*; give hf:hfl/rbt3$"),
        ("https://hf-mirror.com/hfl/rbt3/", "is the page of a repository, .*; give hf:hfl/rbt3$"),
    ],
)
def test_a_repository_in_the_place_of_a_saved_model_is_explained(handle: str, message: str):
    with pytest.raises(UserError, match=message):
        hub.locate(handle)
