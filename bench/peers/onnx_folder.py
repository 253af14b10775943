"""Converts our SavedModels to ONNX, in a folder as Hugging Face publishes them."""

import json
import shutil
from pathlib import Path

from bench.peers.installing import install_onnx_converter
from bench.setting import BenchSetting, model_and_bundle, run_module
from bench.tokenizer import material
from export.source.signature_choice import DEFAULT_SIGNATURE

OPSET = "18"
CONFIGS = {"albert_tiny": "albert", "bert": "bert"}
MAX_LENGTH = 128
SPECIAL = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}


def make_onnx_folder(setting: BenchSetting, model: str) -> Path:
    """Makes a folder with `onnx/model.onnx`, float32, and the tokenizer `bert`; once in a run.

    Raises:
        EnvironmentProblem: the converter cannot be installed, or fails.
    """
    home = setting.scratch / "onnx" / model
    published = home / "onnx" / "model.onnx"
    if published.exists():
        return home
    path = {"PYTHONPATH": str(install_onnx_converter(setting.say))}
    source, _ = model_and_bundle(setting, model)
    tokenizer = make_tokenizer_bundle(setting)
    setting.say(f"converting {model} to ONNX")
    published.parent.mkdir(parents=True, exist_ok=True)
    converted = published.with_name("converted.onnx")
    signature = ["--tag", "serve", "--signature_def", DEFAULT_SIGNATURE, "--opset", OPSET]
    files = ["--saved-model", str(source.absolute()), "--output", str(converted)]
    run_module(["tf2onnx.convert", *signature, *files], path)
    (home / "config.json").write_text(json.dumps({"model_type": CONFIGS[model]}), "utf-8")
    options = {"tokenizer_class": "BertTokenizer", "model_max_length": MAX_LENGTH}
    (home / "tokenizer_config.json").write_text(json.dumps(options | SPECIAL), "utf-8")
    shutil.copy(tokenizer / "tokenizer.json", home)
    run_module(["bench.peers.as_published", str(converted), str(published)], path)
    converted.unlink()
    return home


def make_tokenizer_bundle(setting: BenchSetting) -> Path:
    """Makes a bundle of the embedded vocab with Hugging Face's algorithm and a tokenizer.json."""
    return material.make_bundle(setting, material.embedded_vocab(setting), "bert")
