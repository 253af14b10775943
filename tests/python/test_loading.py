"""Only one function loads SavedModels, and it vets them first."""

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from export.source.vetting import load_saved_model
from parity_tests import __main__ as parity
from parity_tests import bisect
from parity_tests.runners import lookup_table, run_python
from support.errors import UserError
from support.errors import UserError as ParityError
from tests.hostile import contracts
from tests.python import untrusted_models
from tests.python.conftest import ROOT

FOLDERS = ("bench", "export", "native", "numerics", "parity_tests", "support", "fault_injection")
LOADING_FILE = ROOT / "export" / "source" / "vetting.py"
# It gets a loaded model, never a path.
LAYER = ROOT / "parity_tests" / "finetune" / "network.py"
# Loaders with a unique name; `load` counts as an attribute of one of MODULES.
LOADERS = {"KerasLayer", "TFSMLayer", "load_model", "load_v2", "load_partial", "SavedModelLoader"}
MODULES = {"saved_model", "loader", "hub", "tensorflow_hub"}


def loaders_in(file: Path) -> set[str]:
    """Returns the loaders of SavedModels that a file uses."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute):
            owner = node.value.attr if isinstance(node.value, ast.Attribute) else node.value
            owner = owner.id if isinstance(owner, ast.Name) else owner
            if node.attr in LOADERS or (node.attr == "load" and owner in MODULES):
                found.add(node.attr)
        elif isinstance(node, ast.ImportFrom):
            module = str(node.module).rpartition(".")[2]
            names = {alias.name for alias in node.names}
            found |= names & LOADERS
            if module in MODULES and "load" in names:
                found.add("load")
    return found


def test_only_the_vetted_loader_loads_a_saved_model() -> None:
    files = [file for folder in FOLDERS for file in sorted((ROOT / folder).rglob("*.py"))]
    assert len(files) > 150
    found = {file: loaders_in(file) for file in files}
    assert found.pop(LOADING_FILE) == {"load"}
    assert found.pop(LAYER) == {"KerasLayer"}
    assert {file: names for file, names in found.items() if names} == {}


def test_a_model_is_vetted_before_it_is_loaded(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    made = untrusted_models.writes_when_loaded(tmp_path / "m", marker)
    for load, error in (
        (load_saved_model, UserError),
        (run_python.open_saved_model, ParityError),
        (bisect.load_signature, ParityError),
    ):
        with pytest.raises(error, match="got op WriteFile .*nothing was loaded"):
            load(made)
    assert lookup_table.main([str(made), str(tmp_path / "vocab.txt")]) == 2
    assert not marker.exists()


def test_parity_follows_no_link_out_of_a_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle, secret = tmp_path / "bundle", tmp_path / "secret"
    made = untrusted_models.vocab_table(tmp_path / "m")
    secret.write_text("mine")
    vocab = next((made / "assets").iterdir())
    vocab.unlink()
    vocab.symlink_to(secret)
    bundle.mkdir()
    (bundle / "bundle.json").write_text(json.dumps(contracts.bundle_contract()))
    options = ["--bundle", str(bundle), "--model", str(made), "--out", str(tmp_path / "report")]
    assert parity.main(options) == 2
    assert "is a link out of" in capsys.readouterr().err
    assert not (tmp_path / "report").exists()


def test_a_model_that_does_not_load_gives_one_error_line(tmp_path: Path) -> None:
    made = untrusted_models.save_function(untrusted_models.string_lengths, tmp_path / "m")

    def point_nowhere(meta_graph: Any) -> None:
        meta_graph.object_graph_def.nodes[0].children.add(node_id=999, local_name="x")

    untrusted_models.edit_graph(made, point_nowhere)
    with pytest.raises(UserError, match="does not load as a SavedModel: [^\n]+$"):
        load_saved_model(made)
