"""The embedded default: data, vocab, model, tokenizer and bundle made from installed packages.

It needs no model hub. The model has albert_tiny's real size, and the trained weights in `weights/`;
where there are none, seeded, *untrained* ones.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from export import trained_weights
from export.bundle import versions
from export.encoder_config import albert_tiny
from export.learned_vocab import learn_vocab, write_learned_vocab
from export.model import ExportRequest, export_model
from export.output_directory import SAVED_MODEL, atomic_directory, write_file_list
from export.reviews import split_reviews, write_reviews
from export.tokenizer import TokenizerSpec, read_vocab, save_tokenizer_model
from export.tokenizer.vocab import vocab_bytes
from export.tokenizer_choice import TokenizerChoice
from support.atomic import write_file, write_json
from support.contracts import FILE_LIST, VOCAB_FILE
from support.errors import UserError
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


def export_embedded(
    root: Path,
    sizes: DemoSizes,
    say: Callable[[str], None],
    weights_directory: Path = trained_weights.DIRECTORY,
) -> None:
    """Makes everything that is missing or outdated under `root`, and reports it.

    Args:
        root: the directory of the embedded default.
        sizes: of the splits, and the seed.
        say: prints a line.
        weights_directory: has trained weights, or is missing.

    Raises:
        UserError: the trained weights are damaged.
    """
    paths = DemoPaths(root)
    weights = trained_weights.find_weights(weights_directory)
    kind = "untrained" if weights is None else "trained"
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
    if weights is None:
        steps.step(
            "vocab from the train split",
            {"train": path_sha256(paths.train)} | made_with,
            [paths.vocab],
            lambda: write_vocab(paths, sizes),
        )
    else:
        trained_vocab = weights / VOCAB_FILE
        steps.step(
            "vocab of the trained weights",
            {"vocab": path_sha256(trained_vocab)},
            [paths.vocab],
            lambda: write_file(paths.vocab, vocab_bytes(trained_vocab)),
        )
    with_vocab: dict[str, Any] = {"vocab": path_sha256(paths.vocab)} | made_with
    drawn = f"untrained weights (seed {sizes.seed})"
    steps.step(
        f"{MODEL_NAME} as a SavedModel, {drawn if weights is None else 'trained weights'}",
        with_vocab
        | ({} if weights is None else {"weights": path_sha256(weights / trained_weights.FILE)}),
        [paths.model],
        lambda: write_model(paths, sizes.seed, weights, say),
    )
    steps.step(
        "tokenizer as a SavedModel on tensorflow-text",
        with_vocab,
        [paths.tokenizer],
        lambda: _write_tokenizer_model(paths, say),
    )
    steps.step(
        "TF.js bundle",
        with_vocab | {"model": path_sha256(paths.model), "trained": weights is not None},
        [paths.bundle],
        lambda: write_bundle(paths, weights is not None, say),
    )
    if steps.ran == 0:
        say(f"{root}: nothing has changed, nothing to do")
    say(f"bundle: {paths.bundle} ({kind} weights)")


def _write_data(paths: DemoPaths, sizes: DemoSizes) -> None:
    """Writes both splits."""
    train, dev = split_reviews(sizes.train, sizes.dev, sizes.seed)
    write_reviews(train, paths.train)
    write_reviews(dev, paths.dev)


def write_vocab(paths: DemoPaths, sizes: DemoSizes) -> None:
    """Learns the vocab from the train texts."""
    train, _ = split_reviews(sizes.train, sizes.dev, sizes.seed)
    write_learned_vocab(learn_vocab([text for text, _ in train]), paths.vocab)


def write_model(
    paths: DemoPaths, seed: int, weights: Path | None, say: Callable[[str], None]
) -> None:
    """Saves albert_tiny.

    Args:
        paths: of the embedded default.
        seed: of the weights, where there are no trained ones.
        weights: the directory of the trained ones.
        say: prints a line.

    Raises:
        UserError: the trained weights are damaged.
    """
    tensorflow()
    from export.architectures import encoder

    config = albert_tiny(len(read_vocab(paths.vocab, say).tokens))
    model = encoder.seeded_encoder(config, MODEL_NAME, seed)
    if weights is not None:
        trained_weights.load_weights(weights, model)
    with atomic_directory(paths.model) as directory:
        encoder.save_encoder(model, directory)


def _write_tokenizer_model(paths: DemoPaths, say: Callable[[str], None]) -> None:
    """Saves the tokenizer of the newest contract."""
    with atomic_directory(paths.tokenizer) as directory:
        save_tokenizer_model(read_vocab(paths.vocab, say), directory, lower_case=True)


def write_bundle(paths: DemoPaths, trained: bool, say: Callable[[str], None]) -> None:
    """Exports the model with the tokenizer that its tokenizer SavedModel uses."""
    request = ExportRequest(
        handle=str(paths.model),
        tokenizer=TokenizerChoice(paths.vocab, TokenizerSpec("tf-text")),
        architecture="albert",
        trained=trained,
        with_saved_model=True,
        replace=True,
        own=True,
    )
    export_model(request, paths.bundle, say)
