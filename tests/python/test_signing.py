"""`python -m export sign`, and that Node takes what it writes."""

import base64
import json
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from export.__main__ import main
from export.bundle import CONTRACT

ROOT = Path(__file__).parents[2]
TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "你", "好"]
PEM = serialization.Encoding.PEM
PKCS8 = serialization.PrivateFormat.PKCS8
PLAIN = serialization.NoEncryption()


def write_keys(place: Path) -> tuple[Path, Path]:
    """A pair of PEM files: private and public."""
    key = ed25519.Ed25519PrivateKey.generate()
    private, public = place / "key.pem", place / "public.pem"
    private.write_bytes(key.private_bytes(PEM, PKCS8, PLAIN))
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    public.write_bytes(key.public_key().public_bytes(PEM, spki))
    return private, public


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with keys, and a tokenizer's bundle that the export signed."""
    here = tmp_path_factory.mktemp("signing")
    vocab = here / "vocab.txt"
    vocab.write_text("".join(f"{token}\n" for token in TOKENS), "utf-8")
    private, _ = write_keys(here)
    given = ["vocab", str(vocab), "--tokenizer", "bert", "--cased", "--out", str(here / "b")]
    assert main([*given, "--sign", str(private)]) == 0
    return here


def verify(bundle: Path, public: Path) -> "subprocess.CompletedProcess[str]":
    """What Node says of the signature."""
    command = ["node", "node_bridge/verify.js", "--bundle", str(bundle)]
    command += ["--require-signature", str(public)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_node_takes_it(place: Path) -> None:
    done = verify(place / "b", place / "public.pem")
    assert done.returncode == 0, done.stderr


def test_it_covers_the_contract_byte_for_byte(place: Path) -> None:
    document = json.loads((place / "b" / "signature.json").read_text("utf-8"))
    raw = base64.b64decode(document["public_key"])
    signed = b"bert-bridge-signature 1 bundle.json\n" + (place / "b" / CONTRACT).read_bytes()
    key = ed25519.Ed25519PublicKey.from_public_bytes(raw)
    key.verify(base64.b64decode(document["signature"]), signed)


def test_another_key_is_refused_by_node(place: Path, tmp_path: Path) -> None:
    _, other = write_keys(tmp_path)
    done = verify(place / "b", other)
    assert done.returncode == 2
    assert "is signed by the key SHA256:" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_signing_again_gives_the_same_bytes(place: Path) -> None:
    before = (place / "b" / "signature.json").read_bytes()
    assert main(["sign", str(place / "b"), "--key", str(place / "key.pem")]) == 0
    assert (place / "b" / "signature.json").read_bytes() == before


def test_a_signed_bundle_may_be_exported_over(place: Path) -> None:
    given = ["vocab", str(place / "vocab.txt"), "--tokenizer", "bert", "--cased"]
    assert main([*given, "--out", str(place / "b"), "--sign", str(place / "key.pem")]) == 0
    assert verify(place / "b", place / "public.pem").returncode == 0


def locked(place: Path) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    secret = serialization.BestAvailableEncryption(b"word")
    (place / "key.pem").write_bytes(key.private_bytes(PEM, PKCS8, secret))


def another_kind(place: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    (place / "key.pem").write_bytes(key.private_bytes(PEM, PKCS8, PLAIN))


def public_alone(place: Path) -> None:
    write_keys(place)[1].rename(place / "key.pem")


KEYS = {
    "missing": (lambda _: None, "is no file with a key; make one with"),
    "directory": (lambda place: (place / "key.pem").mkdir(), "is no file with a key"),
    "empty": (lambda place: (place / "key.pem").touch(), "holds no private key in PEM"),
    "locked": (locked, "has a passphrase, expected one without; `openssl pkey"),
    "another kind": (another_kind, "expected Ed25519"),
    "public": (public_alone, "holds no private key in PEM"),
}


@pytest.mark.parametrize("name", KEYS)
def test_a_key_that_is_none(
    name: str, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make, says = KEYS[name]
    make(tmp_path)
    assert main(["sign", str(place / "b"), "--key", str(tmp_path / "key.pem")]) == 2
    assert says in capsys.readouterr().err


def test_what_is_neither_bundle_nor_classifier(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sign", str(tmp_path), "--key", str(place / "key.pem")]) == 2
    assert "has neither bundle.json nor classifier.json" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())
