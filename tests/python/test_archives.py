"""Malicious archives are refused, and leave no files on the disk."""

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

pytestmark = pytest.mark.quick

MODEL = ("m/saved_model.pb", b"\x08\x01\x12\x00")
SAFE = "expected plain files inside one folder"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "cache"
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(place))
    return place


def assert_refused(tmp_path: Path, content: bytes, message: str) -> None:
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


def special_member(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
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


def zip_member(name: str, kind: int) -> zipfile.ZipInfo:
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
def test_member_names_that_leave_the_folder_are_refused(
    tmp_path: Path, name: str, pack: Callable[..., bytes]
) -> None:
    assert_refused(tmp_path, pack(MODEL, (name, b"evil")), SAFE)


@pytest.mark.parametrize(
    "member",
    [
        special_member("m/link", tarfile.SYMTYPE, "../../outside"),
        special_member("m/link", tarfile.SYMTYPE, "saved_model.pb"),
        special_member("m/hard", tarfile.LNKTYPE, "/etc/passwd"),
        special_member("m/device", tarfile.CHRTYPE),
        special_member("m/device", tarfile.BLKTYPE),
        special_member("m/pipe", tarfile.FIFOTYPE),
    ],
    ids=lambda member: f"{member.name}-{member.type!r}",
)
@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_links_and_devices_in_a_tar_are_refused(
    tmp_path: Path, member: tarfile.TarInfo, mode: str
) -> None:
    assert_refused(tmp_path, tar_bytes(MODEL, member, mode=mode), SAFE)


def test_link_that_a_later_member_would_follow_is_refused(tmp_path: Path) -> None:
    link = special_member("m/out", tarfile.SYMTYPE, str(tmp_path))
    assert_refused(tmp_path, tar_bytes(MODEL, link, ("m/out/evil", b"evil")), SAFE)


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFSOCK])
def test_links_and_devices_in_a_zip_are_refused(tmp_path: Path, kind: int) -> None:
    assert_refused(tmp_path, zip_bytes(MODEL, zip_member("m/odd", kind)), SAFE)


@pytest.mark.parametrize("pack", [tar_bytes, zip_bytes])
@pytest.mark.parametrize(
    "second", ["m/saved_model.pb", "m/Saved_Model.PB", "m/./saved_model.pb", "m/saved_model.pb/a"]
)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_repeated_member_names_are_refused(
    tmp_path: Path, pack: Callable[..., bytes], second: str
) -> None:
    assert_refused(tmp_path, pack(MODEL, (second, b"evil")), f"twice, {SAFE}")


def test_file_with_the_name_of_a_directory_is_refused(tmp_path: Path) -> None:
    assert_refused(tmp_path, tar_bytes(MODEL, ("m", b"evil")), f"'m' twice, {SAFE}")


def test_encrypted_zip_is_refused(tmp_path: Path) -> None:
    content = bytearray(zip_bytes(MODEL))
    # Bit 0 of the flags, in the member's header and in the directory at the end.
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    assert_refused(tmp_path, bytes(content), "is encrypted, expected one without a password")


def test_zip_with_another_compression_is_refused(tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_LZMA) as file:
        file.writestr(*MODEL)
    assert_refused(tmp_path, out.getvalue(), "got compression method 14, expected deflate")


@pytest.mark.parametrize("pack", [tar_bytes, zip_bytes])
def test_archive_bomb_is_refused(
    tmp_path: Path, pack: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "MIN_LIMIT_BYTES", 1_000_000)
    bomb = pack(MODEL, ("m/zeros", bytes(30_000_000)))
    assert len(bomb) < 40_000
    assert_refused(tmp_path, bomb, "unpacks to more than 0.0 GB, expected a model")


@pytest.mark.parametrize("pack", [tar_bytes, zip_bytes])
def test_archive_larger_than_any_model_is_refused(
    tmp_path: Path, pack: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "MAX_BYTES", 1_000_000)
    assert_refused(tmp_path, pack(MODEL, ("m/zeros", bytes(2_000_000))), "unpacks to more than")


def test_small_archive_with_a_high_compression_ratio_is_allowed(tmp_path: Path) -> None:
    file = tmp_path / "m.zip"
    file.write_bytes(zip_bytes(MODEL, ("m/zeros", bytes(30_000_000))))
    assert (hub.resolve(str(file)) / "zeros").stat().st_size == 30_000_000


def test_member_that_declares_100_gigabytes_is_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("m/zeros")
    info.size = 100 << 30
    head = info.tobuf(tarfile.GNU_FORMAT)
    assert_refused(tmp_path, gzip.compress(head + bytes(5000)), "cut off or damaged")


def test_header_that_declares_a_gigabyte_is_refused(tmp_path: Path) -> None:
    # The long name of a member is in a header, which is read into memory at once.
    info = tarfile.TarInfo("././@LongLink")
    info.type = tarfile.GNUTYPE_LONGNAME
    info.size = 1 << 30
    assert_refused(
        tmp_path, gzip.compress(info.tobuf() + bytes(5000)), "holds a header of 1073741824"
    )


def test_sparse_member_is_refused(tmp_path: Path) -> None:
    # 512 bytes that unpack to 100 GB of zeros.
    head = bytearray(special_member("m/zeros", tarfile.GNUTYPE_SPARSE).tobuf(tarfile.GNU_FORMAT))
    head[386:410] = b"%011o\0%011o\0" % (0, 0)
    head[483:495] = b"\x80" + (100 << 30).to_bytes(11, "big")
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    assert_refused(tmp_path, gzip.compress(bytes(head) + bytes(2048)), SAFE)


@pytest.mark.parametrize("pack", [tar_bytes, zip_bytes])
def test_too_many_members_are_refused(
    tmp_path: Path, pack: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "MAX_MEMBERS", 5)
    assert_refused(
        tmp_path, pack(MODEL, *((f"m/{i}", b"") for i in range(9))), "(more than 5|10) files"
    )


def test_zip_with_wrong_sizes_is_refused(tmp_path: Path) -> None:
    content = bytearray(zip_bytes(MODEL, ("m/zeros", bytes(100_000))))
    directory = content.index(b"PK\x01\x02", content.index(b"PK\x01\x02") + 4)
    content[directory + 24 : directory + 28] = struct.pack("<I", 10)
    assert_refused(tmp_path, bytes(content), "cut off or damaged")


def assert_damage_refused(tmp_path: Path, content: bytes, name: str = "m.tar") -> None:
    """Checks the refusal; Python's readers would return the members before the damage."""
    assert_refused(tmp_path, content, "cut off or damaged")


SECOND = ("m/second", b"b" * 700)
PLAIN = tar_bytes(MODEL, ("m/first", b"a" * 700), SECOND, mode="w")
# The positions of the headers: each is one block, and data takes whole blocks.
HEADERS = [0, 2 * 512, 5 * 512]


@pytest.mark.parametrize("start", HEADERS)
@pytest.mark.parametrize("at", [0, 100, 148, 257])
def test_damaged_header_of_a_tar_is_refused(tmp_path: Path, start: int, at: int) -> None:
    content = bytearray(PLAIN)
    content[start + at] ^= 1
    file = tmp_path / "evil.archive"
    file.write_bytes(content)
    with pytest.raises(UserError, match="cut off or damaged|expected a .tar.gz"):
        hub.resolve(str(file))


@pytest.mark.parametrize("start", HEADERS[1:])
def test_truncated_tars_are_refused(tmp_path: Path, start: int) -> None:
    assert_damage_refused(tmp_path, PLAIN[:start])
    assert_damage_refused(tmp_path, PLAIN[: start + 100])
    assert_damage_refused(tmp_path, PLAIN[:start] + bytes(512) + PLAIN[start + 512 :])


@pytest.mark.parametrize(
    "content",
    [
        tar_bytes(("/absolute", b"evil"), mode="w"),
        tar_bytes(MODEL, special_member("m/link", tarfile.SYMTYPE, "saved_model.pb"), mode="w"),
        tar_bytes(MODEL, MODEL, mode="w"),
        PLAIN[: HEADERS[1] + 148] + b"x" + PLAIN[HEADERS[1] + 149 :],
        PLAIN[: HEADERS[1]],
    ],
    ids=["an absolute name", "a link", "a name twice", "a damaged header", "a cut"],
)
def test_python_s_own_filter_accepts_what_is_refused_here(tmp_path: Path, content: bytes) -> None:
    # The reason for our own checks. If this fails, Python may have learned to refuse it.
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        tar.extractall(tmp_path / "by_tarfile", filter="data")
    assert_refused(tmp_path, content, f"{SAFE}|cut off or damaged")


def test_data_after_the_end_of_a_tar_is_refused(tmp_path: Path) -> None:
    assert_damage_refused(tmp_path, PLAIN + b"x")
    assert_damage_refused(tmp_path, PLAIN + PLAIN)
    assert_damage_refused(tmp_path, gzip.compress(PLAIN) + b"garbage")
    assert_damage_refused(tmp_path, gzip.compress(PLAIN) + gzip.compress(PLAIN))
    assert_damage_refused(tmp_path, zip_bytes(MODEL) + b"garbage")
    end = 8 * 512
    assert_damage_refused(tmp_path, PLAIN[: end + 512])
    file = tmp_path / "good.tar"
    file.write_bytes(PLAIN[: end + 1024])
    assert (hub.resolve(str(file)) / "second").read_bytes() == b"b" * 700


def test_zip_whose_directory_omits_members_is_refused(tmp_path: Path) -> None:
    whole = zip_bytes(MODEL, SECOND)
    start = whole.index(b"PK\x01\x02")
    second = whole.index(b"PK\x01\x02", start + 4)
    end = whole.index(b"PK\x05\x06")
    for cut in (whole[:second] + whole[end:], whole[:start] + whole[second:]):
        content = bytearray(cut)
        record = content.index(b"PK\x05\x06")
        content[record + 8 : record + 16] = struct.pack("<HHI", 1, 1, record - start)
        assert_damage_refused(tmp_path, bytes(content))


def test_zip_with_data_descriptors_is_unpacked(tmp_path: Path) -> None:
    class Stream(io.BytesIO):
        """When Python writes to a pipe, it writes a member's sizes after the data."""

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
def test_changed_cache_is_unpacked_again(
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
def test_link_in_the_cache_is_not_followed(
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
