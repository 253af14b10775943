"""`python -m export sign`: Node accepts the signatures that it writes."""

import base64
import json
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from export.__main__ import main
from support import ROOT
from support.contracts import CONTRACT

pytestmark = pytest.mark.quick

TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "你", "好"]
PEM = serialization.Encoding.PEM
PKCS8 = serialization.PrivateFormat.PKCS8
PLAIN = serialization.NoEncryption()


def write_keys(folder: Path) -> tuple[Path, Path]:
    """A pair of PEM files: private and public."""
    key = ed25519.Ed25519PrivateKey.generate()
    private, public = folder / "key.pem", folder / "public.pem"
    private.write_bytes(key.private_bytes(PEM, PKCS8, PLAIN))
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    public.write_bytes(key.public_key().public_bytes(PEM, spki))
    return private, public


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with keys, and a tokenizer's bundle that the export signed."""
    here = tmp_path_factory.mktemp("signing")
    vocab = here / "vocab.txt"
    vocab.write_text("".join(f"{token}\n" for token in TOKENS), "utf-8")
    private, _ = write_keys(here)
    arguments = ["vocab", str(vocab), "--tokenizer", "bert", "--cased", "--out", str(here / "b")]
    assert main([*arguments, "--sign", str(private)]) == 0
    return here


def verify(bundle: Path, public: Path) -> "subprocess.CompletedProcess[str]":
    """Checks the signature in Node."""
    command = ["node", "node_bridge/verify.js", "--bundle", str(bundle)]
    command += ["--require-signature", str(public)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_node_accepts_the_signature(folder: Path) -> None:
    done = verify(folder / "b", folder / "public.pem")
    assert done.returncode == 0, done.stderr


def test_signature_covers_every_byte_of_the_contract(folder: Path) -> None:
    document = json.loads((folder / "b" / "signature.json").read_text("utf-8"))
    raw = base64.b64decode(document["public_key"])
    signed = b"bert-bridge-signature 1 bundle.json\n" + (folder / "b" / CONTRACT).read_bytes()
    key = ed25519.Ed25519PublicKey.from_public_bytes(raw)
    key.verify(base64.b64decode(document["signature"]), signed)


def test_another_key_is_refused_by_node(folder: Path, tmp_path: Path) -> None:
    _, other = write_keys(tmp_path)
    done = verify(folder / "b", other)
    assert done.returncode == 2
    assert "is signed by the key SHA256:" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_signing_again_gives_the_same_bytes(folder: Path) -> None:
    before = (folder / "b" / "signature.json").read_bytes()
    assert main(["sign", str(folder / "b"), "--key", str(folder / "key.pem")]) == 0
    assert (folder / "b" / "signature.json").read_bytes() == before


def test_a_signed_bundle_may_be_exported_over(folder: Path) -> None:
    arguments = ["vocab", str(folder / "vocab.txt"), "--tokenizer", "bert", "--cased"]
    assert main([*arguments, "--out", str(folder / "b"), "--sign", str(folder / "key.pem")]) == 0
    assert verify(folder / "b", folder / "public.pem").returncode == 0


def encrypted_key(folder: Path) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    secret = serialization.BestAvailableEncryption(b"word")
    (folder / "key.pem").write_bytes(key.private_bytes(PEM, PKCS8, secret))


def key_of_another_kind(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    (folder / "key.pem").write_bytes(key.private_bytes(PEM, PKCS8, PLAIN))


def public_key(folder: Path) -> None:
    write_keys(folder)[1].rename(folder / "key.pem")


KEYS = {
    "missing": (lambda _: None, "is no file with a key; make one with"),
    "directory": (lambda folder: (folder / "key.pem").mkdir(), "is no file with a key"),
    "empty": (lambda folder: (folder / "key.pem").touch(), "holds no private key in PEM"),
    "locked": (encrypted_key, "has a passphrase, expected one without; `openssl pkey"),
    "another kind": (key_of_another_kind, "expected Ed25519"),
    "public": (public_key, "holds no private key in PEM"),
}


@pytest.mark.parametrize("name", KEYS)
def test_invalid_keys_are_refused(
    name: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, says = KEYS[name]
    make(tmp_path)
    assert main(["sign", str(folder / "b"), "--key", str(tmp_path / "key.pem")]) == 2
    assert says in capsys.readouterr().err


def test_other_directories_are_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sign", str(tmp_path), "--key", str(folder / "key.pem")]) == 2
    assert "has neither bundle.json nor classifier.json" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())
