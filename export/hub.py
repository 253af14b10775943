"""Finds the SavedModel behind a handle: a directory, a .tar.gz or a URL."""

import gzip
import hashlib
import os
import shutil
import tarfile
import tempfile
from pathlib import Path, PurePosixPath

from export.errors import EnvironmentProblem, UserError

OTHER_WAYS = "give a local directory, a .tar.gz or another URL"
GZIP = b"\x1f\x8b"
TIMEOUT_S = 20


def resolve(handle: str) -> Path:
    """The local directory of the SavedModel that a handle names.

    Raises:
        UserError: no such path, no SavedModel in it, a damaged archive, a page instead of a file,
            a host that does not answer.
        EnvironmentProblem: a download that broke off, a cache that cannot be written to.
    """
    path = archive_of(handle) if handle.startswith(("http://", "https://")) else Path(handle)
    if not path.exists():
        raise UserError(f"{handle}: no such file or directory; {OTHER_WAYS}")
    return checked(path if path.is_dir() else unpacked(path), handle)


def cache_directory() -> Path:
    """Where downloads and unpacked archives stay: `TFHUB_CACHE_DIR`, as tensorflow_hub has it."""
    given = os.environ.get("TFHUB_CACHE_DIR")
    return Path(given) if given else Path(tempfile.gettempdir()) / "tfhub_modules"


def checked(directory: Path, handle: str) -> Path:
    """Returns the directory if it is a SavedModel; an archive may hold it one level down."""
    candidates = [directory, *sorted(child for child in directory.iterdir() if child.is_dir())]
    found = [place for place in candidates if (place / "saved_model.pb").is_file()]
    if not found:
        holds = ", ".join(sorted(child.name for child in directory.iterdir())[:5]) or "nothing"
        raise UserError(f"{handle} is no SavedModel: got {holds}, expected a saved_model.pb in it")
    return found[0]


def archive_of(url: str) -> Path:
    """Downloads a URL into the cache, once."""
    import requests
    from tqdm import tqdm

    target = cache_directory() / f"{hashlib.sha256(url.encode()).hexdigest()}.tar.gz"
    if target.exists():
        return target
    growing = target.with_suffix(f".{os.getpid()}.partial")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with requests.get(url, stream=True, timeout=TIMEOUT_S) as answer, growing.open("wb") as out:
            if answer.status_code != 200:
                raise UserError(f"{url} answers {answer.status_code} {answer.reason}; {OTHER_WAYS}")
            size = int(answer.headers.get("content-length", 0)) or None
            with tqdm(total=size, unit="B", unit_scale=True, desc="download") as bar:
                for chunk in answer.iter_content(1 << 20):
                    if bar.n == 0 and not chunk.startswith(GZIP):
                        kind = answer.headers.get("content-type", "something else")
                        raise UserError(f"{url}: got {kind}, expected a .tar.gz; {OTHER_WAYS}")
                    out.write(chunk)
                    bar.update(len(chunk))
                arrived = bar.n
            if size is not None and arrived != size:
                raise EnvironmentProblem(f"{url}: the download broke off; try again")
        growing.rename(target)
    except requests.RequestException as error:
        raise UserError(f"{url} does not answer ({type(error).__name__}); {OTHER_WAYS}") from error
    finally:
        growing.unlink(missing_ok=True)
    return target


def unpacked(archive: Path) -> Path:
    """Unpacks a .tar.gz into the cache, once for each content."""
    with archive.open("rb") as stream:
        if stream.read(2) != GZIP:
            raise UserError(f"{archive}: got no gzip file, expected a .tar.gz; {OTHER_WAYS}")
        stream.seek(0)
        content = hashlib.file_digest(stream, "sha256").hexdigest()
    target = cache_directory() / content
    if target.exists():
        return target
    growing = target.with_name(f".{content}.{os.getpid()}.partial")
    growing.mkdir(parents=True)
    try:
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                refuse_unsafe(member, archive)
                tar.extract(member, growing, filter="data")
        growing.rename(target)
    except (EOFError, gzip.BadGzipFile, tarfile.TarError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise EnvironmentProblem(f"cannot unpack {archive}: {error.strerror}") from error
        raise UserError(
            f"{archive} is cut off or damaged ({error}); download or copy it again"
        ) from error
    finally:
        shutil.rmtree(growing, ignore_errors=True)
    return target


def refuse_unsafe(member: tarfile.TarInfo, archive: Path) -> None:
    """Stops at anything but plain files and directories inside the archive's own folder."""
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or not (member.isfile() or member.isdir()):
        raise UserError(f"{archive} holds {member.name!r}, expected plain files inside one folder")
