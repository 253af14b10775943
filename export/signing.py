"""Signs a bundle or a classifier, so that anyone with the public key can check its origin.

The hashes in a contract detect damage, but anyone who changes a file can compute new ones. A
signature needs a private key, which only the publisher has. It covers the contract byte for byte,
and through its hashes every other file. The method is Ed25519 (RFC 8032) of the library
`cryptography`; docs/bundle.md describes `signature.json`. Node checks it: `--require-signature`.
"""

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING

from support.atomic import write_file
from support.contracts import CONTRACT, DESCRIPTION
from support.errors import UserError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SIGNATURE = "signature.json"
FORMAT = "bert-bridge-signature"
VERSION = 1
MAKE_KEY = "make one with `openssl genpkey -algorithm ed25519 -out key.pem`"
MAX_KEY_BYTES = 1 << 16


def sign(directory: Path, key: Path) -> None:
    """Writes `signature.json` beside the contract; replaces an earlier one.

    Args:
        directory: a bundle, or a classifier that train.js wrote.
        key: a PEM file with an Ed25519 private key, without a passphrase.

    Raises:
        UserError: the directory is neither, or the file has no such key.
    """
    name = contract_name(directory)
    private = read_private_key(key)
    contract = (directory / name).read_bytes()
    document = {
        "format": FORMAT,
        "version": VERSION,
        "algorithm": "ed25519",
        "signs": name,
        "public_key": _to_base64(private.public_key().public_bytes_raw()),
        "signature": _to_base64(private.sign(_signed_message(name, contract))),
    }
    write_file(directory / SIGNATURE, json.dumps(document, indent=2) + "\n")


def _signed_message(name: str, contract: bytes) -> bytes:
    r"""Returns the signed bytes; they include the purpose, so no other signature of the key fits.

    >>> _signed_message("bundle.json", b"{}")
    b'bert-bridge-signature 1 bundle.json\n{}'
    """
    return f"{FORMAT} {VERSION} {name}\n".encode() + contract


def contract_name(directory: Path) -> str:
    """Returns the name of a directory's contract.

    Raises:
        UserError: the directory has none.
    """
    for name in (CONTRACT, DESCRIPTION):
        if (directory / name).is_file():
            return name
    raise UserError(
        f"{directory} has neither {CONTRACT} nor {DESCRIPTION}, expected a bundle or a classifier"
    )


def read_private_key(file: Path) -> "Ed25519PrivateKey":
    """Reads the private key in a PEM file.

    Raises:
        UserError: the file is missing, or has no Ed25519 key without a passphrase.
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


def _to_base64(data: bytes) -> str:
    """Encodes bytes in base64.

    >>> _to_base64(bytes(3))
    'AAAA'
    """
    return base64.b64encode(data).decode("ascii")
