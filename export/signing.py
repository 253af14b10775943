"""Signs a bundle or a classifier, so that who has the public key can tell where it comes from.

The hashes in a contract find damage, but whoever changes a file can write them anew. A signature is
made with a private key that only the publisher has. It covers the contract byte for byte, and by
the hashes in it every other file. The method is Ed25519 (RFC 8032) by the library `cryptography`;
the layout of `signature.json` stands in docs/bundle.md. Node checks it: `--require-signature`.
"""

import base64
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from export.bundle import CONTRACT
from support.errors import UserError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SIGNATURE = "signature.json"
CLASSIFIER = "classifier.json"
FORMAT = "bert-bridge-signature"
VERSION = 1
MAKE_KEY = "make one with `openssl genpkey -algorithm ed25519 -out key.pem`"
MAX_KEY_BYTES = 1 << 16


def sign(directory: Path, key: Path) -> None:
    """Writes `signature.json` beside the contract, in the place of an earlier one.

    Args:
        directory: a bundle, or a classifier that train.js wrote.
        key: a PEM file with an Ed25519 private key, without a passphrase.

    Raises:
        UserError: the directory is neither, or the file holds no such key.
    """
    name = contract_name(directory)
    private = read_private_key(key)
    contract = (directory / name).read_bytes()
    document = {
        "format": FORMAT,
        "version": VERSION,
        "algorithm": "ed25519",
        "signs": name,
        "public_key": to_base64(private.public_key().public_bytes_raw()),
        "signature": to_base64(private.sign(signed_message(name, contract))),
    }
    growing = directory / f".{SIGNATURE}.{os.getpid()}.partial"
    try:
        growing.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        growing.replace(directory / SIGNATURE)
    finally:
        growing.unlink(missing_ok=True)


def signed_message(name: str, contract: bytes) -> bytes:
    r"""What is signed: the purpose, so that no other signature of the key can stand here.

    >>> message("bundle.json", b"{}")
    b'bert-bridge-signature 1 bundle.json\n{}'
    """
    return f"{FORMAT} {VERSION} {name}\n".encode() + contract


def contract_name(directory: Path) -> str:
    """The name of the contract that a directory has.

    Raises:
        UserError: it has none.
    """
    for name in (CONTRACT, CLASSIFIER):
        if (directory / name).is_file():
            return name
    raise UserError(
        f"{directory} has neither {CONTRACT} nor {CLASSIFIER}, expected a bundle or a classifier"
    )


def read_private_key(file: Path) -> "Ed25519PrivateKey":
    """The key in a PEM file.

    Raises:
        UserError: there is no such file, or no such key in it.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if not file.is_file() or file.stat().st_size > MAX_KEY_BYTES:
        raise UserError(f"{file} is no file with a key; {MAKE_KEY}")
    try:
        key = load_pem_private_key(file.read_bytes(), password=None)
    except TypeError:
        raise UserError(
            f"the key in {file} has a passphrase, expected one without; "
            f"`openssl pkey -in {file} -out plain.pem` takes it off"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise UserError(f"{file} holds no private key in PEM; {MAKE_KEY}") from None
    if not isinstance(key, Ed25519PrivateKey):
        kind = type(key).__name__.removesuffix("PrivateKey").strip("_")
        raise UserError(f"the key in {file} is {kind}, expected Ed25519; {MAKE_KEY}")
    return key


def to_base64(data: bytes) -> str:
    """As text.

    >>> in_base64(bytes(3))
    'AAAA'
    """
    return base64.b64encode(data).decode("ascii")
