"""Loads a SavedModel and writes its bundle: the work of an export's confined process."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export import saved_model_copy
from export.bundle import DEFAULT_MAX_LENGTH, Contract, TensorSpec, seal
from export.checkpoints.sentence_transformers import limit_positions
from export.graph.verdict import Verdict
from export.model import ExportJob, ExportRequest
from export.source import messages
from export.source.signature_choice import (
    TensorInfo,
    choose_graph,
    choose_signature,
    read_signatures,
)
from export.tokenizer import Vocab, facts, library_versions, make_reference, write_tokenizer
from export.tokenizer.vocab import compare_sizes
from support.quiet_tensorflow import tensorflow

if TYPE_CHECKING:
    from export.graph.graph import FrozenGraph, InlinedGraph


def write_bundle(job: ExportJob, say: Any) -> None:
    """Writes the bundle, seals it, and checks it in Node.

    Raises:
        UserError: see `load_source`, `TokenizerChoice.choose`, `replace_strings_by_ids`,
            `ClassifierChoice.choose`, `rewrite`, `check_kernels` and `refuse_over_budget`.
        CheckFailed: see `check_in_node`.
        EnvironmentProblem: see `check_in_node` and `make_reference`.
    """
    request, saved_model, verdict = job.request, job.saved_model, job.verdict
    provenance, model_facts = job.provenance, facts.read_facts(job.saved_model)
    say(f"loading {saved_model.name} in TensorFlow")
    tensorflow()
    from export import golden, node_check
    from export.graph import endpoints, graph, preflight, stored_dtypes, string_tokens, tfjs
    from export.rewrites import rewrite
    from export.rewrites.embedding import merge_partitions

    source = graph.load_source(saved_model, verdict.tags, str(verdict.signature))
    parts = graph.inline_calls(source)
    own = None
    if string_tokens.takes_strings(parts):
        (strings,) = parts.inputs
        say("the model takes token strings: its lookup is cut away, ids become the input")
        own = string_tokens.replace_strings_by_ids(parts)
        parts = own.parts
    if model_facts is None or model_facts.says_nothing:
        model_facts = facts.read_loaded_model(source.loaded, saved_model) or model_facts
    chosen = request.tokenizer.choose(own.tokens if own else None, request.handle, say, model_facts)
    vocab, tokenizer, python = chosen.vocab, chosen.spec, request.tokenizer.python
    provenance["tokenizer"] = library_versions(tokenizer.algorithm, python)
    input_roles = {name: verdict.inputs.get(name, name) for name in parts.inputs}
    output_roles = endpoints.roles_from_layers(
        verdict.outputs, _signature_outputs(saved_model, verdict), parts
    )
    model_taps = contract_taps(parts, input_roles, output_roles)
    frozen = graph.freeze(source, parts, {tap["node"]: tap["tensor"] for tap in model_taps})
    frozen, halves = stored_dtypes.convert_to_float32(merge_partitions(frozen))
    inputs = endpoints.input_specs(frozen.inputs, input_roles)
    rows = _check_vocab_size(frozen, inputs, vocab, request, say)

    length = _fixed_length(inputs)
    padding = own.padding if own else "masked"
    pad = vocab.special["pad"].id
    limit = _find_max_positions(frozen, inputs, vocab, padding, say)
    max_length = min(limit_positions(saved_model, limit), length or limit)
    ids, rules = (
        make_reference(tokenizer, vocab, python).encode(
            texts, special_tokens=True, max_length=max_length
        )
        for texts in (golden.TEXTS, golden.RULE_TEXTS)
    )
    cases = golden.pad_batch(ids, pad, padding, length)
    feeds = {spec.name: cases[spec.role] for spec in inputs}
    asked = feeds
    if own:
        asked = {strings: golden.token_strings(cases["input_ids"], own.tokens, pad)}
    expected = stored_dtypes.arrays_to_float32(golden.run_source(source, asked))
    outputs = endpoints.output_specs(
        frozen.outputs, output_roles, expected, cases["input_ids"].shape[1]
    )
    for line in endpoints.describe_outputs(outputs):
        say(line)
    classifier = request.classifier.choose(outputs, verdict.classifier, say)
    visible = golden.visible_positions(cases, padding)
    own_answers = {}
    if halves:
        in_halves, expected = expected, frozen.run(feeds)
        own_answers = stored_dtypes.measure_accuracy(in_halves, expected, visible)
        say(
            f"the model computes in {' and '.join(halves)}; TF.js has float32 alone, so the bundle "
            f"computes the same function in float32, and its golden cases are of that. "
            f"{stored_dtypes.describe_furthest(own_answers)} of the source's own answers"
        )
    say("measuring what float32 costs the model, against float64")
    measured = golden.measure_costs(frozen, feeds, visible, say)
    budgets = stored_dtypes.derive_budgets(measured.costs, request.dtype, request.force)
    say("rewriting the graph, each step checked on the golden cases")
    frozen, steps = rewrite(frozen, feeds, visible, measured, say)
    preflight.check_kernels(frozen)
    stored = stored_dtypes.choose_stored_dtypes(frozen, request.dtype)
    got = stored_dtypes.run_as_stored(frozen, stored, feeds)
    stored_dtypes.refuse_over_budget(
        got, expected, visible, budgets, dtype=request.dtype, force=request.force
    )
    accuracy = stored_dtypes.measure_accuracy(got, expected, visible)
    directory = job.directory
    say(f"writing the TF.js graph, {request.dtype} weights")
    weights = tfjs.write_model(frozen, stored, directory)
    vetted = None
    if request.with_saved_model and own:
        say("its SavedModel is left out: it takes token strings, and Node has ids")
    elif request.with_saved_model and source.takes_other_dtypes:
        say("its SavedModel is left out: it takes other dtypes than int32, which Node gives")
    elif request.with_saved_model:
        vetted = saved_model_copy.copy_saved_model(saved_model, directory)
    say(f"reading the tables of tokenizer {tokenizer.algorithm}")
    contract = Contract(
        name=request.name or saved_model.name,
        contents="model",
        architecture=request.architecture,
        trained=request.trained,
        weight_dtype=request.dtype,
        inputs=inputs,
        outputs=outputs,
        padding=padding,
        max_length=max_length,
        tokenizer=write_tokenizer(
            directory,
            vocab,
            tokenizer,
            adds_special_tokens=chosen.adds_special_tokens,
            python=python,
            embedding_rows=rows,
        ),
        provenance=provenance,
        accuracy={
            "outputs": accuracy,
            "budget": stored_dtypes.widest_budget(budgets, expected),
            "budgets": stored_dtypes.budgets_for_contract(measured.costs, budgets),
            "rewrites": [asdict(step) for step in steps],
        }
        | ({"source_in": {"dtypes": halves, "outputs": own_answers}} if halves else {}),
        taps=model_taps,
        signature={"name": verdict.signature, "tags": list(verdict.tags)},
        saved_model=vetted,
        classifier=classifier,
    )
    checksums = golden.compute_checksums(directory, weights, contract)
    golden.write_golden_cases(cases, expected, rules, checksums, directory)
    seal(directory, contract)
    node_check.check_in_node(
        directory,
        positions=[max(len(row), length or 0) for row in ids],
        products=node_check.products_per_position(frozen),
        storage={name: row["max_abs"] or 0.0 for name, row in accuracy.items()}
        if request.force
        else {},
        say=say,
    )


def _find_max_positions(
    frozen: FrozenGraph, inputs: list[TensorSpec], vocab: Vocab, padding: str, say: Any
) -> int:
    """Finds the largest number of positions of a text by running the model.

    The number of rows of the position embedding is only a first guess (512 if no weight has such a
    name): RoBERTa counts positions from the id of [PAD] + 1, so its 514 rows mean 512 positions.

    Args:
        frozen: the graph.
        inputs: its inputs with their roles.
        vocab: the vocab, for the ids of [UNK] and [PAD].
        padding: `masked` or `attended`.
        say: prints a message where the model takes fewer positions than the guess.

    Returns:
        The number of positions. If the model fails at every length, the guess: the first run of
        the golden cases then reports the error.
    """
    from export import golden
    from export.graph import graph

    shapes = [value.shape for name, value in frozen.weights.items() if "position" in name]
    rows = next((int(shape[0]) for shape in shapes if len(shape) == 2), DEFAULT_MAX_LENGTH)
    length = _fixed_length(inputs)
    guess = min(rows, length or rows)

    def fails(count: int) -> bool:
        ids = [[vocab.special["unk"].id] * count]
        batch = golden.pad_batch(ids, vocab.special["pad"].id, padding, length)
        return not graph.can_run(frozen, {spec.name: batch[spec.role] for spec in inputs})

    if not fails(guess):
        return guess
    found = bisect_left(range(1, guess), True, key=fails)
    if found == 0:
        return guess
    say(f"a text may have {found} positions: the model has {guess} and does not run on more")
    return found


def _fixed_length(inputs: list[TensorSpec]) -> int | None:
    """Returns the number of positions that the model fixes, or None if it is free."""
    return next((size for spec in inputs for size in spec.shape[1:] if isinstance(size, int)), None)


def _signature_outputs(saved_model: Path, verdict: Verdict) -> list[TensorInfo]:
    """Returns the outputs of the chosen signature, as the file declares them."""
    graph = choose_graph(messages.read_saved_model(saved_model), verdict.tags, saved_model.name)
    return choose_signature(read_signatures(graph), verdict.signature, saved_model.name).outputs


def contract_taps(
    parts: InlinedGraph, input_roles: dict[str, str], output_roles: dict[str, str]
) -> list[dict[str, str]]:
    """Returns the taps of a model as the contract has them; none without a `sequence_output`.

    Both `input_roles` and `output_roles` are by name.
    """
    from export.graph import taps

    ids = [name for name, role in input_roles.items() if role == "input_ids"]
    last = [name for name, role in output_roles.items() if role == "sequence_output"]
    if not ids or not last:
        return []
    found = taps.find_taps(parts, ids[0], last[0])
    return [{"name": n, "node": taps.PREFIX + n, "tensor": tensor} for n, tensor in found.items()]


def _check_vocab_size(
    frozen: FrozenGraph, inputs: list[TensorSpec], vocab: Vocab, request: ExportRequest, say: Any
) -> int | None:
    """Compares the vocab with the word embeddings; returns the number of rows, None if unknown.

    More rows than vocab lines are usual (padding to a multiple of 8 or 64). Fewer rows mean that
    the vocab is not the model's.

    Args:
        frozen: the graph.
        inputs: its inputs with their roles.
        vocab: the vocab.
        request: what is exported, for the vocab's name.
        say: prints a notice.

    Raises:
        UserError: the vocab has more lines than the embedding has rows.
    """
    from export.graph.graph import embedding_rows

    ids = next(spec.name for spec in inputs if spec.role == "input_ids")
    rows = embedding_rows(frozen, ids)
    if rows is not None:
        choice = request.tokenizer
        name = str(choice.vocab or choice.model or vocab.name)
        notice = compare_sizes(name, len(vocab.tokens), rows)
        if notice:
            say(notice)
    return rows
