"""Archives by someone who means ill: refused, and nothing of them is left on the disk."""

import gzip
import hashlib
import io
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from export.source import hub, unpacking
from support.errors import UserError

MODEL = ("m/saved_model.pb", b"\x08\x01\x12\x00")
SAFE = "expected plain files inside one folder"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "cache"
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(place))
    return place


def refused(tmp_path: Path, content: bytes, message: str) -> None:
    before = sorted(tmp_path.rglob("*"))
    file = tmp_path / "evil.archive"
    file.write_bytes(content)
    with pytest.raises(UserError, match=message):
        hub.resolve(str(file))
    left = {*tmp_path.rglob("*")} - {*before, file, tmp_path / "cache"}
    assert not left


def tar_bytes(*members: tarfile.TarInfo | tuple[str, bytes], mode: str = "w:gz") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as tar:  # type: ignore[call-overload]
        for member in members:
            if isinstance(member, tuple):
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                tar.addfile(info, io.BytesIO(member[1]))
            else:
                tar.addfile(member)
    return out.getvalue()


def odd(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = target
    return info


def zip_bytes(*members: zipfile.ZipInfo | tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for member in members:
            if isinstance(member, tuple):
                file.writestr(*member)
            else:
                file.writestr(member, "elsewhere")
    return out.getvalue()


def zip_kind(name: str, kind: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = (kind | 0o777) << 16
    return info


NAMES = [
    "../outside",
    "/absolute",
    "a/../../b",
    "m/..",
    "..\\outside",
    "m\\..\\b",
    "\\\\server\\share",
    "C:evil",
    "c:/evil",
    "line\nbreak",
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("pack", [tar_bytes, zip_bytes])
def test_names_that_lead_out(tmp_path: Path, name: str, pack: Callable[..., bytes]) -> None:
    refused(tmp_path, pack(MODEL, (name, b"evil")), SAFE)


@pytest.mark.parametrize(
    "member",
    [
        odd("m/link", tarfile.SYMTYPE, "../../outside"),
        odd("m/link", tarfile.SYMTYPE, "saved_model.pb"),
        odd("m/hard", tarfile.LNKTYPE, "/etc/passwd"),
        odd("m/device", tarfile.CHRTYPE),
        odd("m/device", tarfile.BLKTYPE),
        odd("m/pipe", tarfile.FIFOTYPE),
    ],
    ids=lambda member: f"{member.name}-{member.type!r}",
)
@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_tar_of_what_is_no_file(tmp_path: Path, member: tarfile.TarInfo, mode: str) -> None:
    refused(tmp_path, tar_bytes(MODEL, member, mode=mode), SAFE)


def test_link_that_a_later_member_goes_through(tmp_path: Path) -> None:
    link = odd("m/out", tarfile.SYMTYPE, str(tmp_path))
    refused(tmp_path, tar_bytes(MODEL, link, ("m/out/evil", b"evil")), SAFE)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFSOCK])
def test_zip_of_what_is_no_file(tmp_path: Path, kind: int) -> None:
    refused(tmp_path, zip_bytes(MODEL, zip_kind("m/odd", kind)), SAFE)


@pytest.mark.parametrize("pack", [tar_bytes, zip_bytes])
@pytest.mark.parametrize(
    "second", ["m/saved_model.pb", "m/Saved_Model.PB", "m/./saved_model.pb", "m/saved_model.pb/a"]
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_names_that_come_twice(tmp_path: Path, pack: Callable[..., bytes], second: str) -> None:
    refused(tmp_path, pack(MODEL, (second, b"evil")), f"twice, {SAFE}")


def test_file_where_a_directory_is(tmp_path: Path) -> None:
    refused(tmp_path, tar_bytes(MODEL, ("m", b"evil")), f"'m' twice, {SAFE}")


def test_zip_with_a_password(tmp_path: Path) -> None:
    content = bytearray(zip_bytes(MODEL))
    # Bit 0 of the flags, in the member's own header and in the directory at the end.
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    refused(tmp_path, bytes(content), "is encrypted, expected one without a password")


def test_zip_of_another_compression(tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_LZMA) as file:
        file.writestr(*MODEL)
    refused(tmp_path, out.getvalue(), "got compression method 14, expected deflate")


@pytest.mark.parametrize("pack", [tar_bytes, zip_bytes])
def test_bomb(tmp_path: Path, pack: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "MIN_LIMIT_BYTES", 1_000_000)
    bomb = pack(MODEL, ("m/zeros", bytes(30_000_000)))
    assert len(bomb) < 40_000
    refused(tmp_path, bomb, "unpacks to more than 0.0 GB, expected a model")


@pytest.mark.parametrize("pack", [tar_bytes, zip_bytes])
def test_more_than_any_model(
    tmp_path: Path, pack: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "MAX_BYTES", 1_000_000)
    refused(tmp_path, pack(MODEL, ("m/zeros", bytes(2_000_000))), "unpacks to more than")


def test_small_archives_may_compress_well(tmp_path: Path) -> None:
    file = tmp_path / "m.zip"
    file.write_bytes(zip_bytes(MODEL, ("m/zeros", bytes(30_000_000))))
    assert (hub.resolve(str(file)) / "zeros").stat().st_size == 30_000_000


def test_member_that_claims_100_gigabytes(tmp_path: Path) -> None:
    info = tarfile.TarInfo("m/zeros")
    info.size = 100 << 30
    head = info.tobuf(tarfile.GNU_FORMAT)
    refused(tmp_path, gzip.compress(head + bytes(5000)), "cut off or damaged")


def test_header_that_claims_a_gigabyte(tmp_path: Path) -> None:
    # The long name of a member stands in a header, which is read into memory in one piece.
    info = tarfile.TarInfo("././@LongLink")
    info.type = tarfile.GNUTYPE_LONGNAME
    info.size = 1 << 30
    refused(tmp_path, gzip.compress(info.tobuf() + bytes(5000)), "holds a header of 1073741824")


def test_sparse_member(tmp_path: Path) -> None:
    # 512 bytes that stand for 100 GB of zeros.
    head = bytearray(odd("m/zeros", tarfile.GNUTYPE_SPARSE).tobuf(tarfile.GNU_FORMAT))
    head[386:410] = b"%011o\0%011o\0" % (0, 0)
    head[483:495] = b"\x80" + (100 << 30).to_bytes(11, "big")
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    refused(tmp_path, gzip.compress(bytes(head) + bytes(2048)), SAFE)


@pytest.mark.parametrize("pack", [tar_bytes, zip_bytes])
def test_too_many_members(
    tmp_path: Path, pack: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "MAX_MEMBERS", 5)
    refused(tmp_path, pack(MODEL, *((f"m/{i}", b"") for i in range(9))), "more than 5 files")


def test_zip_that_lies_about_sizes(tmp_path: Path) -> None:
    content = bytearray(zip_bytes(MODEL, ("m/zeros", bytes(100_000))))
    directory = content.index(b"PK\x01\x02", content.index(b"PK\x01\x02") + 4)
    content[directory + 24 : directory + 28] = struct.pack("<I", 10)
    refused(tmp_path, bytes(content), "cut off or damaged")


def members_missing(tmp_path: Path, content: bytes, name: str = "m.tar") -> None:
    """Refused, although Python's own readers would give the members before the damage."""
    refused(tmp_path, content, "cut off or damaged")


SECOND = ("m/second", b"b" * 700)
PLAIN = tar_bytes(MODEL, ("m/first", b"a" * 700), SECOND, mode="w")
# Headers of the members: each has one block, and its data fills whole blocks.
HEADERS = [0, 2 * 512, 5 * 512]


@pytest.mark.parametrize("start", HEADERS)
@pytest.mark.parametrize("at", [0, 100, 148, 257])
def test_a_damaged_header_of_a_plain_tar(tmp_path: Path, start: int, at: int) -> None:
    content = bytearray(PLAIN)
    content[start + at] ^= 1
    file = tmp_path / "evil.archive"
    file.write_bytes(content)
    with pytest.raises(UserError, match="cut off or damaged|expected a .tar.gz"):
        hub.resolve(str(file))


@pytest.mark.parametrize("start", HEADERS[1:])
def test_tars_that_end_before_their_end(tmp_path: Path, start: int) -> None:
    members_missing(tmp_path, PLAIN[:start])
    members_missing(tmp_path, PLAIN[: start + 100])
    members_missing(tmp_path, PLAIN[:start] + bytes(512) + PLAIN[start + 512 :])


def test_what_follows_the_end(tmp_path: Path) -> None:
    members_missing(tmp_path, PLAIN + b"x")
    members_missing(tmp_path, PLAIN + PLAIN)
    members_missing(tmp_path, gzip.compress(PLAIN) + b"garbage")
    members_missing(tmp_path, gzip.compress(PLAIN) + gzip.compress(PLAIN))
    members_missing(tmp_path, zip_bytes(MODEL) + b"garbage")
    end = 8 * 512
    members_missing(tmp_path, PLAIN[: end + 512])
    file = tmp_path / "good.tar"
    file.write_bytes(PLAIN[: end + 1024])
    assert (hub.resolve(str(file)) / "second").read_bytes() == b"b" * 700


def test_a_zip_whose_directory_leaves_members_out(tmp_path: Path) -> None:
    whole = zip_bytes(MODEL, SECOND)
    start = whole.index(b"PK\x01\x02")
    second = whole.index(b"PK\x01\x02", start + 4)
    end = whole.index(b"PK\x05\x06")
    for cut in (whole[:second] + whole[end:], whole[:start] + whole[second:]):
        content = bytearray(cut)
        record = content.index(b"PK\x05\x06")
        content[record + 8 : record + 16] = struct.pack("<HHI", 1, 1, record - start)
        members_missing(tmp_path, bytes(content))


def test_a_zip_with_sizes_behind_its_data(tmp_path: Path) -> None:
    class Stream(io.BytesIO):
        """As a pipe is, to which Python writes a member's sizes behind it."""

        def seekable(self) -> bool:
            return False

        def seek(self, *_: int) -> int:
            raise io.UnsupportedOperation

        def tell(self) -> int:
            raise io.UnsupportedOperation

    out = Stream()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(*MODEL)
        file.writestr(*SECOND)
    (tmp_path / "m.zip").write_bytes(out.getvalue())
    assert out.getvalue()[6] & 8
    assert (hub.resolve(str(tmp_path / "m.zip")) / "second").read_bytes() == b"b" * 700


@pytest.mark.parametrize("pack", [tar_bytes, zip_bytes])
def test_an_unpacked_model_is_what_its_archive_holds(
    tmp_path: Path, cache: Path, pack: Callable[..., bytes]
) -> None:
    file = tmp_path / "m.archive"
    file.write_bytes(pack(MODEL, SECOND))
    found = hub.resolve(str(file))
    before = (found / "second").stat().st_mtime_ns
    hub.resolve(str(file))
    assert (found / "second").stat().st_mtime_ns == before, "unpacked again for nothing"

    def linked() -> None:
        (found / "second").unlink()
        (found / "second").symlink_to("/etc/passwd")

    changes: list[Callable[[], object]] = [
        lambda: (found / "second").write_bytes(b"c" * 700),
        lambda: (found / "second").write_bytes(b"b" * 701),
        lambda: (found / "third").write_bytes(b""),
        (found / "second").unlink,
        linked,
    ]
    for change in changes:
        change()
        assert hub.resolve(str(file)) == found
        assert {path.name for path in found.iterdir()} == {"saved_model.pb", "second"}
        assert (found / "second").read_bytes() == b"b" * 700
        assert not (found / "second").is_symlink()


@pytest.mark.parametrize("pack", [tar_bytes, zip_bytes])
def test_a_planted_link_is_not_followed(
    tmp_path: Path, cache: Path, pack: Callable[..., bytes]
) -> None:
    file = tmp_path / "m.archive"
    file.write_bytes(pack(MODEL))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "saved_model.pb").write_bytes(b"mine")
    cache.mkdir(mode=0o700)
    content = hashlib.sha256(file.read_bytes()).hexdigest()
    (cache / content).symlink_to(tmp_path / "mine")
    assert (hub.resolve(str(file)) / "saved_model.pb").read_bytes() == MODEL[1]
    assert (tmp_path / "mine" / "saved_model.pb").read_bytes() == b"mine"
