"""Archives: damaged at every position, with missing members, too large, or leading elsewhere."""

import gzip
import io
import os
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tests.hostile.case import HostileCase

MODEL = b"\x08\x01\x12\x00"
FILES = {"m/saved_model.pb": MODEL, "m/a.bin": b"a" * 700, "m/b.bin": b"b" * 700}
BLOCK = 512


def cases() -> Iterator[HostileCase]:
    """Yields plain tars with headers damaged at several offsets, and the same for .gz and .zip."""
    yield from tars()
    yield from gzips()
    yield from zips()
    yield from handles()
    yield from caches()


def inspect(name: str, data: bytes, workdir: Path) -> list[str]:
    """Writes an archive; returns the command that inspects it."""
    (workdir / name).write_bytes(data)
    return ["python", "-m", "export", "inspect", str(workdir / name)]


def tar_of(files: dict[str, bytes], kind: int = tarfile.GNU_FORMAT) -> bytes:
    """Makes a plain tar; each member begins at a multiple of 512."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=kind) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def header_offsets(data: bytes) -> list[int]:
    """Returns the offsets of a tar's headers."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return [member.offset for member in tar]


def tars() -> Iterator[HostileCase]:
    """Yields plain tars: Python's reader treats a bad header after the first one as the end."""
    sound = tar_of(FILES)
    starts = header_offsets(sound)
    end = starts[-1] + BLOCK + 2 * BLOCK
    for number, start in enumerate(starts):
        for what, at in {
            "name": 0,
            "mode": 100,
            "size": 130,
            "checksum": 150,
            "magic": 257,
        }.items():
            data = bytearray(sound)
            data[start + at] ^= 0x15
            yield refused(f"tar: {what} of header {number} flipped", "m.tar", bytes(data))
        zeros = sound[:start] + bytes(BLOCK) + sound[start + BLOCK :]
        yield refused(f"tar: header {number} is zeros", "m.tar", zeros)
        yield refused(f"tar: cut off in header {number}", "m.tar", sound[: start + 300])
        yield refused(f"tar: cut off before header {number}", "m.tar", sound[:start])
        yield refused(f"tar: cut off in the data of {number}", "m.tar", sound[: start + 520])
    yield refused("tar: no end", "m.tar", sound[:end])
    yield refused("tar: half an end", "m.tar", sound[: end + BLOCK])
    yield refused("tar: members behind the end", "m.tar", sound + sound)
    yield refused("tar: something behind the end", "m.tar", sound + b"x")
    odd = tarfile.TarInfo("m/odd")
    for what, kind in {
        "a link": tarfile.SYMTYPE,
        "a hard link": tarfile.LNKTYPE,
        "a device": tarfile.CHRTYPE,
        "a pipe": tarfile.FIFOTYPE,
    }.items():
        odd.type, odd.linkname = kind, "/etc/passwd"
        yield refused(f"tar: {what}", "m.tar", odd.tobuf() + sound)
    for name in ("../out", "/out", "m/../../out", "C:out", "m\\out", "m/saved_model.pb"):
        twice = tar_of({name: b"x"})[: 2 * BLOCK]
        yield refused(f"tar: the name {name}", "m.tar", twice + sound)
    huge = tarfile.TarInfo("m/huge")
    huge.size = 1 << 45
    yield refused("tar: a member that claims 32 TiB", "m.tar", huge.tobuf() + sound)
    long = tarfile.TarInfo("././@LongLink")
    long.type, long.size = tarfile.GNUTYPE_LONGNAME, 1 << 30
    yield refused("tar: a name of a gigabyte", "m.tar", long.tobuf() + sound)
    extended = tarfile.TarInfo("pax")
    extended.type = tarfile.XHDTYPE
    body = b"99999999999 path=x\n"
    extended.size = len(body)
    block = extended.tobuf() + body.ljust(BLOCK, b"\0")
    yield refused("tar: a PAX record that claims too much", "m.tar", block + sound)


def refused(name: str, file: str, data: bytes) -> HostileCase:
    """Makes the case of an archive that must be refused, without unpacking anything."""
    return HostileCase(name, partial(inspect, file, data), check=nothing_unpacked)


def nothing_unpacked(workdir: Path) -> str:
    """Checks that the cache, which is next to the case's directory, has no model."""
    found = list((workdir.parent / "home").rglob("saved_model.pb"))
    return f"unpacked: {found}" if found else ""


def gzips() -> Iterator[HostileCase]:
    """Yields .tar.gz files, whose checksum is at the end."""
    sound = gzip.compress(tar_of(FILES))
    yield refused("gzip: something behind", "m.tgz", sound + b"garbage")
    yield refused("gzip: a second archive behind", "m.tgz", sound + sound)
    for at in (1, 12, len(sound) // 2, len(sound) - 7, len(sound) - 2):
        data = bytearray(sound)
        data[at] ^= 0x41
        yield refused(f"gzip: byte {at} flipped", "m.tgz", bytes(data))
    for keep in (1, 15, len(sound) // 2, len(sound) - 1):
        yield refused(f"gzip: cut off at {keep}", "m.tgz", sound[:keep])
    plain = tar_of(FILES)
    second = header_offsets(plain)[1]
    broken = plain[: second + 150] + b"\x01" + plain[second + 151 :]
    yield refused("gzip: a header with another checksum", "m.tgz", gzip.compress(broken))
    bomb = io.BytesIO()
    with gzip.GzipFile(fileobj=bomb, mode="wb", compresslevel=1) as stream:
        info = tarfile.TarInfo("m/zeros")
        info.size = 3 << 30
        stream.write(info.tobuf())
        for _ in range(1200):
            stream.write(bytes(1 << 20))
    yield refused("gzip: a bomb", "m.tgz", bomb.getvalue())


def zip_of(files: dict[str, bytes]) -> bytes:
    """Makes a zip."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in files.items():
            file.writestr(name, data)
    return out.getvalue()


def zips() -> Iterator[HostileCase]:
    """Yields zips, whose directory at the end may omit members."""
    sound = zip_of(FILES)
    directory = sound.index(b"PK\x01\x02")
    entries = [i for i in range(len(sound)) if sound[i : i + 4] == b"PK\x01\x02"]
    end = sound.index(b"PK\x05\x06")
    yield refused("zip: something behind", "m.zip", sound + b"garbage")
    # The file must begin like a zip, or it is not treated as one.
    yield refused("zip: something before", "m.zip", b"PK\x03\x04garbage" + sound)
    for number, start in enumerate(entries):
        stop = [*entries, end][number + 1]
        without = bytearray(sound[:start] + sound[stop:])
        record = without.index(b"PK\x05\x06")
        count = len(entries) - 1
        without[record + 8 : record + 12] = struct.pack("<HH", count, count)
        without[record + 12 : record + 16] = struct.pack("<I", record - directory)
        yield refused(f"zip: entry {number} left out of the directory", "m.zip", bytes(without))
    for what, at in {
        "signature": 0,
        "method": 8,
        "size": 22,
        "name": 32,
        "data": 40,
    }.items():
        start = sound.index(b"PK\x03\x04", 10)
        data = bytearray(sound)
        data[start + at] ^= 0x15
        if what != "size":  # only the size in the directory counts
            yield refused(f"zip: {what} of a member flipped", "m.zip", bytes(data))
    for what, at in {"crc": 16, "size": 20, "offset": 42, "name length": 28}.items():
        data = bytearray(sound)
        data[entries[1] + at] ^= 0x15
        yield refused(f"zip: {what} in the directory flipped", "m.zip", bytes(data))
    for keep in (10, directory, end, len(sound) - 1):
        yield refused(f"zip: cut off at {keep}", "m.zip", sound[:keep])
    for name in ("../out", "/out", "m\\..\\out", "C:out", "m/Saved_Model.pb"):
        yield refused(f"zip: the name {name}", "m.zip", zip_of(FILES | {name: b"x"}))


def handles() -> Iterator[HostileCase]:
    """Yields files that are no archives."""

    def of(make: Callable[[Path], object], workdir: Path) -> list[str]:
        make(workdir / "m.tar.gz")
        return ["python", "-m", "export", "inspect", str(workdir / "m.tar.gz")]

    kinds: dict[str, Callable[[Path], object]] = {
        "a pipe": os.mkfifo,
        "an endless device": lambda file: file.symlink_to("/dev/zero"),
        "an empty device": lambda file: file.symlink_to("/dev/null"),
        "a link to nothing": lambda file: file.symlink_to("/nowhere"),
        "empty": lambda file: file.write_bytes(b""),
        "text": lambda file: file.write_text("hello"),
        "a directory": Path.mkdir,
    }
    for what, make in kinds.items():
        yield HostileCase(f"archive: {what}", partial(of, make), seconds=30)


def caches() -> Iterator[HostileCase]:
    """Yields caches that another user may have filled."""
    sound = tar_of(FILES)

    def with_cache(harm: str, workdir: Path) -> list[str]:
        file = workdir / "m.tar"
        file.write_bytes(sound)
        script = workdir / "run.py"
        script.write_text(
            "import hashlib, os, pathlib, sys\n"
            "sys.path.insert(0, os.getcwd())\n"
            f"file = pathlib.Path({str(file)!r})\n"
            "cache = file.parent / 'cache'; os.environ['TFHUB_CACHE_DIR'] = str(cache)\n"
            "content = hashlib.sha256(file.read_bytes()).hexdigest()\n"
            "cache.mkdir(mode=0o700); planted = cache / content\n"
            f"{harm}\n"
            "from export.source import hub\n"
            "from export.__main__ import main\n"
            "code = main(['inspect', str(file), '--json'])\n"
            "if code == 0: assert (planted / 'm/a.bin').read_bytes() == b'a' * 700\n"
            "sys.exit(code)\n",
            "utf-8",
        )
        return ["python", str(script)]

    plant = (
        "(planted / 'm').mkdir(parents=True); (planted / 'm/saved_model.pb').write_bytes(b'evil')"
    )
    yield HostileCase("cache: a planted model", partial(with_cache, plant), "survived")
    link = "planted.symlink_to(file.parent)"
    yield HostileCase("cache: a planted link", partial(with_cache, link), "survived")
    yield HostileCase(
        "cache: a planted file", partial(with_cache, "planted.write_bytes(b'x')"), "survived"
    )
    open_to_all = "cache.chmod(0o777)"
    yield HostileCase(
        "cache: others may write", partial(with_cache, open_to_all), says="other users"
    )
    above = "file.parent.chmod(0o777)"
    yield HostileCase("cache: others may move it", partial(with_cache, above), says="other users")
    if os.geteuid() == 0:
        foreign = "os.chown(cache, 12345, 12345)"
        yield HostileCase(
            "cache: of somebody else", partial(with_cache, foreign), says="another user"
        )
