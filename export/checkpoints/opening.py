"""Tells what kind of checkpoint a path holds, and opens it."""

from pathlib import Path

from export.checkpoints import huggingface, tf1
from export.checkpoints.checkpoint import Checkpoint, cut
from export.errors import UserError

PICKLES = (".bin", ".pt", ".pth", ".pkl")
EXPECTED = "a TF1 checkpoint (NAME.index and NAME.data-*) or model.safetensors with config.json"
# Where the pickle is trusted, transformers (4.35 or newer) itself writes what can be read here.
CONVERT = (
    'where you trust it, run `python -c "from transformers import AutoModel as M; '
    "M.from_pretrained('DIR').save_pretrained('NEW')\"` and give NEW"
)


def open_checkpoint(
    path: Path, config: Path | None = None, layers: int | None = None
) -> Checkpoint:
    """Opens a checkpoint: a directory, a .safetensors file or the prefix of a TF1 checkpoint.

    `config` stands in for the json beside it; `layers` cuts it to its first layers. Weights are
    read later, by `load_encoder`.

    Raises:
        UserError: nothing readable is there (a pickle is not read), the config is missing or asks
            for an encoder that is not built here, or the checkpoint has fewer layers.
    """
    if huggingface.weight_files(path):
        return cut(huggingface.open_directory(path, config), layers)
    prefix = tf1.prefix_of(path)
    if prefix is not None:
        return cut(tf1.open_prefix(prefix, config), layers)
    raise UserError(refusal(path))


def refusal(path: Path) -> str:
    """Why nothing at `path` can be opened."""
    if not path.exists():
        return f"{path}: no such checkpoint; give {EXPECTED}"
    names = [path.name]
    if path.is_dir():
        names = sorted(child.name for child in path.iterdir())
    pickles = [name for name in names if Path(name).suffix in PICKLES]
    if pickles:
        return (
            f"{path}: got {pickles[0]}, a pickle, which can run code and is never opened, "
            f"expected model.safetensors; {CONVERT}"
        )
    return f"{path}: got {', '.join(names[:5]) or 'nothing'}, expected {EXPECTED}"
