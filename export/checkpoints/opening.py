"""Detects the kind of a checkpoint, and opens it."""

import itertools
import re
from pathlib import Path

from export.checkpoints import huggingface, tf1
from export.checkpoints.checkpoint import Checkpoint, keep_first_layers
from export.checkpoints.keras_h5 import find_keras_file
from support.errors import UserError

EXPECTED_FILES = (
    "a TF1 checkpoint (NAME.index and NAME.data-*), or model.safetensors or tf_model.h5 with "
    "config.json"
)
NESTED_CONFIGS = ("*/config.json", "snapshots/*/config.json")
MAX_SHOWN = 5
PICKLES = (".bin", ".pt", ".pth", ".pkl")
# Files that a trainer writes beside the weights.
NO_WEIGHTS = re.compile(r"(training_args|optimizer|scheduler|scaler|rng_state.*)\.\w+")
# The end of a file's name, what the file is, and the advice.
OTHER_KINDS = (
    (".h5", "Keras weights", "export that model as a SavedModel and give it to `model`"),
    (".keras", "a Keras archive", "export that model as a SavedModel and give it to `model`"),
    (".msgpack", "Flax weights", "take the same model's model.safetensors or pytorch_model.bin"),
    (".onnx", "an exported graph", "give the checkpoint that it was exported from"),
    (".gguf", "quantised weights of llama.cpp", "give the checkpoint that they were made from"),
    (
        "saved_model.pb",
        "a SavedModel, which needs no building",
        "give its directory to `python -m export model`",
    ),
    (
        ".bin.index.json",
        "an index of pickles that are not there",
        "download the files that it names too",
    ),
)


def open_checkpoint(
    path: Path,
    config: Path | None = None,
    layers: int | None = None,
    weights: list[Path] | None = None,
) -> Checkpoint:
    """Opens a checkpoint: a directory, a .safetensors file or the prefix of a TF1 checkpoint.

    `load_encoder` reads the weights later.

    Args:
        path: the checkpoint.
        config: replaces the json beside it.
        layers: limits it to its first layers.
        weights: safetensors files that were made of its `tf_model.h5`, see `keras_h5`.

    Raises:
        UserError: there is no readable checkpoint (pickles are not read), the config is missing or
            describes an unsupported encoder, or the checkpoint has fewer layers.
    """
    if weights or huggingface.weight_files(path):
        return keep_first_layers(huggingface.open_directory(path, config, weights), layers)
    prefix = tf1.find_prefix(path)
    if prefix is not None:
        return keep_first_layers(tf1.open_prefix(prefix, config), layers)
    raise UserError(_explain_refusal(path))


def _explain_refusal(path: Path) -> str:
    """Returns the reason why nothing at `path` can be opened."""
    if not path.exists():
        return f"{path}: no such checkpoint; give {EXPECTED_FILES}"
    directory, names = path.parent, [path.name]
    if path.is_dir():
        directory, names = path, sorted(child.name for child in path.iterdir())
    pickles = [name for name in names if _is_pickle(directory / name)]
    if pickles:
        # Prefer the trainer's name for the weights if there are several pickles.
        published = [name for name in pickles if name.startswith("pytorch_model")]
        return explain_pickle_refusal(directory, (published or pickles)[0])
    for name in names:
        if name.endswith(".ckpt"):
            return f"{path}: got {name}, a TF1 checkpoint of before 2017, expected {EXPECTED_FILES}"
        if ".data-" in name or name.endswith(".meta"):
            return f"{path}: got {name} without its .index; download the .index and .data files too"
        for ending, what, remedy in OTHER_KINDS:
            if name.endswith(ending):
                return f"{path}: got {name}, {what}, expected {EXPECTED_FILES}; {remedy}"
    inside = _find_inside(path)
    how = f"; give {inside[0]}" if len(inside) == 1 else f"; give one of {', '.join(inside)}"
    got = ", ".join(names[:5]) or "nothing"
    return f"{path}: got {got}, expected {EXPECTED_FILES}{how if inside else ''}"


def _find_inside(path: Path) -> list[str]:
    """Returns directories with a checkpoint below `path`, a few at most.

    A repository in the cache of Hugging Face has them at `snapshots/COMMIT`; ModelScope's cache has
    one for each model.
    """
    if not path.is_dir():
        return []
    places = (file.parent for form in NESTED_CONFIGS for file in path.glob(form))
    found = (p for p in places if huggingface.weight_files(p) or find_keras_file(p) is not None)
    return [str(place) for place in itertools.islice(found, MAX_SHOWN)]


def _is_pickle(file: Path) -> bool:
    """Whether PyTorch wrote a file: by its name or, for Lightning's .ckpt, by its first bytes."""
    if NO_WEIGHTS.fullmatch(file.name) or not file.is_file():
        return False
    if file.suffix == ".ckpt":
        with file.open("rb") as stream:
            return stream.read(2) in (b"PK", b"\x80\x02")
    return file.suffix in PICKLES


def explain_pickle_refusal(directory: Path, name: str) -> str:
    """Returns the error for a pickle, with a command that converts its tensors to safetensors.

    Loading it into a model class and saving the model would add random weights for missing ones,
    for example a pooler. Tensors that share memory are stored separately.
    """
    shard = re.fullmatch(r"(.+)-\d+-of-(\d+)(\.\w+)", name)
    files = f"{shard[1]}-*-of-{shard[2]}{shard[3]}" if shard else name
    # `weights_only` reads only tensors and runs no code; trainers store them under `state_dict`.
    code = (
        "import glob, torch; from safetensors.torch import save_file; d = {}; "
        f"[d.update(torch.load(f, map_location='cpu', weights_only=True)) for f in "
        f"glob.glob({str(directory / files)!r})]; d = d.get('state_dict', d); "
        "save_file({k: v.clone().contiguous() for k, v in d.items() if torch.is_tensor(v)}, "
        f"{str(directory / 'model.safetensors')!r}, {{'format': 'pt'}})"
    )
    return (
        f"{directory}: got {name}, a pickle, which can run code and is never opened, expected "
        f'model.safetensors; where you trust it, run `python -c "{code}"` where torch is, and keep '
        "config.json beside it"
    )
