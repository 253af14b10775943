"""Compares the catalog with the collection's list, the publishers' configs and archive sizes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from export.__main__ import main
from export.encoder_config import EncoderConfig
from export.source import hub
from export.source.catalog import CERTAINTY_MARKS, encoder_config_of, find_entry, read_entries
from support.errors import UserError

# The list of the collection, copied from its README by hand.
COLLECTION = """
tokenizer: bert_tokenizer_chinese
named: albert_tiny albert_small albert_base albert_large albert_xlarge bert bert_wwm electra_small
named: electra_smallex electra_base roberta_wwm roberta_wwm_1 roberta_wwm_large_1 roberta_wwm_3
named: roberta_wwm_large_3 FinBERT
tokens-4: albert_tiny albert_small albert_base albert_large albert_xlarge
tokens-4: zh-bert-L12 zh-bert-wwm-L12 zh-roberta-wwm-L12
tokens-3: zh-bert-L1 zh-bert-L3 zh-bert-L6 zh-bert-L9 zh-bert-L12
tokens-3: zh-bert-wwm-L1 zh-bert-wwm-L3 zh-bert-wwm-L6 zh-bert-wwm-L9 zh-bert-wwm-L12
tokens-3: zh-roberta-wwm-L1 zh-roberta-wwm-L3 zh-roberta-wwm-L6 zh-roberta-wwm-L9
tokens-3: zh-roberta-wwm-L12 zh-roberta-wwm-large-L12 zh-roberta-wwm-large-L24
"""
# Layers, hidden, heads, intermediate, embedding, activation, from the publishers' configs.
CONFIGS = {
    "albert_tiny": (4, 312, 12, 1248, 128, "gelu_tanh"),
    "albert_small": (6, 384, 12, 1536, 128, "gelu_tanh"),
    "albert_base": (12, 768, 12, 3072, 128, "relu"),
    "albert_large": (24, 1024, 16, 4096, 128, "relu"),
    "albert_xlarge": (24, 2048, 16, 8192, 128, "relu"),
    "bert": (12, 768, 12, 3072, 768, "gelu_tanh"),
    "FinBERT": (12, 768, 12, 3072, 768, "gelu_tanh"),
    "electra_small": (12, 256, 4, 1024, 128, "gelu_erf"),
    "electra_smallex": (24, 256, 4, 1024, 256, "gelu_erf"),
    "electra_base": (12, 768, 12, 3072, 768, "gelu_erf"),
    "roberta_wwm_3": (3, 768, 12, 3072, 768, "gelu_tanh"),
    "roberta_wwm_large_1": (1, 1024, 16, 4096, 1024, "gelu_tanh"),
    "zh-bert-wwm-L9": (9, 768, 12, 3072, 768, "gelu_tanh"),
    "zh-roberta-wwm-large-L24": (24, 1024, 16, 4096, 1024, "gelu_tanh"),
}


def test_every_published_model_is_a_row() -> None:
    expected = [
        (contract, name)
        for contract, _, names in (line.partition(": ") for line in COLLECTION.split("\n"))
        for name in names.split()
    ]
    assert [(e.contract, e.published) for e in read_entries()] == expected
    assert all(e.deprecated == (e.contract == "tokens-3") for e in read_entries())


@pytest.mark.parametrize("name", CONFIGS)
def test_configurations_are_the_publishers(name: str) -> None:
    entry = find_entry(name)
    assert entry is not None
    config = encoder_config_of(entry)
    assert (
        config.num_hidden_layers,
        config.hidden_size,
        config.num_attention_heads,
        config.intermediate_size,
        config.embedding_size,
        config.activation,
    ) == CONFIGS[name]
    assert (config.vocab_size, config.layer_norm_eps) == (21128, 1e-12)
    assert encoder_config_of(entry, 99).vocab_size == 99


def parameters(config: EncoderConfig) -> int:
    """Returns the number of parameters by BERT's formula, with a pooler."""
    hidden, inner, embedding = config.hidden_size, config.intermediate_size, config.embedding_size
    layer = 4 * (hidden * hidden + hidden) + 2 * hidden * inner + inner + hidden + 4 * hidden
    layers = 1 if config.shared_layers else config.num_hidden_layers
    projection = embedding * hidden + hidden if embedding != hidden else 0
    embeddings = (config.vocab_size + 512 + 2 + 2) * embedding
    return embeddings + projection + layers * layer + hidden * hidden + hidden


@pytest.mark.parametrize("entry", [e for e in read_entries() if e.configuration and e.megabytes])
def test_published_size_fits_the_configuration(entry) -> None:
    # gzip saves up to an eighth of trained float32 weights. With embeddings of 128, electra_smallex
    # would be larger packed than unpacked, so they cannot be 128.
    packed = entry.megabytes * 1e6 / (4 * parameters(encoder_config_of(entry)))
    assert 0.86 <= packed <= 0.985


def test_models_of_one_group_have_the_same_configuration_and_contract() -> None:
    builds: dict[str, object] = {}
    for entry in read_entries():
        config = encoder_config_of(entry) if entry.configuration else None
        assert builds.setdefault(entry.group, (config, entry.contract)) == (config, entry.contract)
    assert len(set(map(str, builds.values()))) == len(builds) == 27
    groups = {e.name: e.group for e in read_entries()}
    same = [groups[name] for name in ("bert", "bert_wwm", "roberta_wwm", "FinBERT")]
    assert len(set(same)) == 1


def test_every_model_is_found_by_its_name_and_contract() -> None:
    assert len({e.name for e in read_entries()}) == len(read_entries()) == 42
    newest, older = find_entry("albert_tiny"), find_entry("albert_tiny@tokens-4")
    assert newest is not None and older is not None
    assert (newest.contract, older.contract) == ("named", "tokens-4")
    assert find_entry("albert_tiny@named") is newest
    assert find_entry("zh-bert-L12") is find_entry("zh-bert-L12@tokens-4")
    assert find_entry("zh-bert-L1") is find_entry("zh-bert-L1@tokens-3")
    assert find_entry("gpt") is None


def test_every_url_is_https_and_unique() -> None:
    for entry in read_entries():
        assert entry.url.startswith("https://code.aliyun.com/qhduan/")
        assert entry.url.endswith(f"/{entry.published}.tar.gz")
        assert "/raw/" in entry.url
    assert len({e.url for e in read_entries()}) == 42
    moved = [e for e in read_entries() if e.url != e.published_url]
    assert [e.name for e in moved] == ["FinBERT"]
    assert moved[0].published_url == moved[0].url.replace("/raw/", "/blob/")
    assert moved[0].known["url"] == moved[0].mark == "a"


def test_every_fact_is_marked_as_documented_historic_or_assumed() -> None:
    for entry in read_entries():
        expected = {"inputs", "outputs", "url"} | (
            {"configuration"} if entry.configuration else set()
        )
        assert set(entry.known) == expected
        assert set(entry.known.values()) <= set(CERTAINTY_MARKS)
    assert {e.mark for e in read_entries() if e.contract.startswith("tokens")} == {"h"}


def test_a_tokenizer_of_the_catalog_has_no_encoder_configuration() -> None:
    entry = find_entry("bert_tokenizer_chinese")
    assert entry is not None
    with pytest.raises(UserError, match="is a tokenizer"):
        encoder_config_of(entry)


def test_a_name_of_the_catalog_is_downloaded_from_its_address(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = []

    def dead(url: str, *_: object) -> Path:
        asked.append(url)
        raise UserError(f"{url} does not answer")

    monkeypatch.setattr(hub, "resolve_url", dead)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="FinBERT: .*TFHUB_CACHE_DIR.*python -m export build"):
        hub.resolve("FinBERT")
    assert asked == [
        "https://code.aliyun.com/qhduan/bert_part/raw/"
        "0cf046f83ee12cb6ee0311eaa00f5f1e062f2c72/FinBERT.tar.gz"
    ]


def test_a_directory_has_priority_over_a_name_of_the_catalog(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "albert_tiny").mkdir()
    monkeypatch.chdir(tmp_path)
    assert hub.locate("albert_tiny") == Path("albert_tiny")


def test_table_has_a_line_for_every_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["catalog"]) == 0
    header, *lines = capsys.readouterr().out.splitlines()
    rows = {line.split()[0]: line.split() for line in lines[:42]}
    assert set(rows) == {e.name for e in read_entries()}
    columns = header.split()
    for entry in read_entries():
        row = dict(zip(columns, rows[entry.name], strict=True))
        assert [row[c] for c in ("in", "out", "url")] == [
            entry.known[c] for c in ("inputs", "outputs", "url")
        ]
        assert row["contract"] == entry.contract
        assert row["address"] == entry.url
    footer = "\n".join(lines[42:])
    for mark, meaning in CERTAINTY_MARKS.items():
        assert f"  {mark}  {meaning}" in footer
    assert "/blob/0cf046f83ee12cb6ee0311eaa00f5f1e062f2c72/FinBERT.tar.gz" in footer


def test_json_without_tensorflow() -> None:
    code = (
        "import sys; from export.__main__ import main; main(['catalog', '--json']); "
        "assert not any(name.startswith('tensorflow') for name in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    document = json.loads(run.stdout)
    assert len(document["models"]) == 42
    assert set(document["marks"]) == {"d", "h", "a"}
    assert document["models"][0]["name"] == "bert_tokenizer_chinese"
    assert all(row["mark"] and row["group"] for row in document["models"])
