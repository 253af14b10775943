"""The hashes of files, directories and code, against ones that are put together by hand."""

from hashlib import sha256
from pathlib import Path

import pytest

from support.sha256 import code_sha256, directory_sha256, file_sha256, path_sha256

pytestmark = pytest.mark.quick


def hexadecimal(data: bytes) -> str:
    return sha256(data).hexdigest()


def test_a_directory_has_the_hash_of_its_files_and_their_names(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "好").write_bytes(b"2")
    (tmp_path / "a").write_bytes(b"1")
    lines = f"a\0{hexadecimal(b'1')}\nb/好\0{hexadecimal(b'2')}\n"
    assert directory_sha256(tmp_path) == hexadecimal(lines.encode())
    assert path_sha256(tmp_path) == directory_sha256(tmp_path)
    assert path_sha256(tmp_path / "a") == file_sha256(tmp_path / "a") == hexadecimal(b"1")
    # Two identical saves differ in the first, and the second is this program's own.
    for name in ("fingerprint.pb", "bert-bridge.json"):
        (tmp_path / name).write_bytes(b"3")
    assert directory_sha256(tmp_path) == hexadecimal(lines.encode())


def test_code_has_the_hash_of_the_named_files_in_their_order(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("b.py", "a.py")]
    for file in files:
        file.write_bytes(file.name[:1].encode())
    assert code_sha256(tmp_path, files) == hexadecimal(b"b.py\0ba.py\0a")
