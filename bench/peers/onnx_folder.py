"""Our models as ONNX, in a folder as Hugging Face publishes them, made of the SavedModels."""

import json
import shutil
from pathlib import Path

from bench.peers.installing import converter
from bench.setting import Setting, make, places
from bench.tokenizer import material

OPSET = "18"
CONFIGS = {"albert_tiny": "albert", "bert": "bert"}
MAX_LENGTH = 128
SPECIAL = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}


def folder(setting: Setting, model: str) -> Path:
    """`onnx/model.onnx`, float32, with the tokenizer `bert`; made once in a run.

    Raises:
        EnvironmentProblem: the converter cannot be installed, or fails.
    """
    home = setting.scratch / "onnx" / model
    published = home / "onnx" / "model.onnx"
    if published.exists():
        return home
    path = {"PYTHONPATH": str(converter(setting.say))}
    source, _ = places(setting, model)
    tokenizer = tokenizer_bundle(setting)
    setting.say(f"converting {model} to ONNX")
    published.parent.mkdir(parents=True, exist_ok=True)
    converted = published.with_name("converted.onnx")
    signature = ["--tag", "serve", "--signature_def", "serving_default", "--opset", OPSET]
    files = ["--saved-model", str(source.absolute()), "--output", str(converted)]
    make(["tf2onnx.convert", *signature, *files], path)
    (home / "config.json").write_text(json.dumps({"model_type": CONFIGS[model]}), "utf-8")
    options = {"tokenizer_class": "BertTokenizer", "model_max_length": MAX_LENGTH}
    (home / "tokenizer_config.json").write_text(json.dumps(options | SPECIAL), "utf-8")
    shutil.copy(tokenizer / "tokenizer.json", home)
    make(["bench.peers.as_published", str(converted), str(published)], path)
    converted.unlink()
    return home


def tokenizer_bundle(setting: Setting) -> Path:
    """A bundle of the embedded vocab with Hugging Face's algorithm, which has a tokenizer.json."""
    return material.bundle(setting, material.embedded_vocab(setting), "bert")
