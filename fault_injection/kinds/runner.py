"""Faults of the program that runs a bundle in Node, and the stages at which each must show.

`fault_injection/runner_faults.js` implements each as a change at a named hook.
"""

from collections.abc import Callable
from random import Random

from fault_injection.kinds.decisions import decides
from fault_injection.registry import TIMES, kind
from fault_injection.sources import POSITIONS, CleanBundle
from fault_injection.target import Target

Fits = Callable[[CleanBundle], bool]


def has_head(clean: CleanBundle) -> bool:
    """Returns whether the bundle has a classifier."""
    return clean.head is not None


def _is_padded(clean: CleanBundle) -> bool:
    """Returns whether the word embeddings have rows that no token uses."""
    return clean.source.padded_to > 1


def _is_cut(clean: CleanBundle) -> bool:
    """Returns whether the model has so few positions that the longest texts are cut."""
    return clean.source.positions <= POSITIONS


def is_cased(clean: CleanBundle) -> bool:
    """Returns whether the tokenizer keeps upper case; another one undoes a change of case."""
    return clean.source.tokenizer == "cased"


def _any_bundle(clean: CleanBundle) -> bool:
    """Fits every bundle."""
    return True


TYPES_OF_ZEROS = ("invariances", "embeddings")
"""A single text has only types of 0, so its outputs do not show the fault."""
RUNNER_FAULTS: dict[str, tuple[str | tuple[str, ...], Fits, str]] = {
    # What Node feeds the model: padding, mask, types, rows.
    "mask_all_ones": ("ids", _any_bundle, "The mask shows the padding."),
    "padding_on_the_left": ("ids", _any_bundle, "Texts are at the end of their rows."),
    "padded_with_unknown": ("ids", _any_bundle, "[UNK] instead of [PAD]."),
    "padding_is_a_padded_row": ("ids", _is_padded, "Padding is the first row behind the vocab."),
    "ids_overflow": ("ids", _any_bundle, "Ids are stored in 8 bits: those above 127 overflow."),
    "types_of_the_second_text": ("ids", _any_bundle, "All types are 1."),
    "last_token_masked": ("ids", _any_bundle, "The mask ends a position early."),
    "fed_ids_rotated": ("embeddings", _any_bundle, "The model gets the ids shifted by a position."),
    "fed_mask_for_types": ("embeddings", _any_bundle, "The model gets the mask as its types."),
    "fed_mask_of_ones": (
        "layer_0/attention_scores",
        _any_bundle,
        "The model gets a mask that shows everything.",
    ),
    "fed_types_of_zeros": (TYPES_OF_ZEROS, _any_bundle, "The model gets types of 0."),
    # What Node does with the model's outputs, and what it stores between two runs.
    "answers_rounded": ("embeddings", _any_bundle, "All outputs are cut to 16 bits, as bfloat16."),
    "elements_zeroed_at_random": (
        "sequence_output",
        _any_bundle,
        "A random tenth of each output is lost.",
    ),
    "rows_rotated": ("embeddings", _any_bundle, "Each text gets the answer of the next one."),
    "output_rows_rotated": (
        "sequence_output",
        _any_bundle,
        "Each text gets the outputs of the next one; the taps are right.",
    ),
    "pooled_scaled": ("pooled_output", _any_bundle, "`pooled_output` is 1e-4 too large."),
    "tensors_leak": ("invariances", _any_bundle, "Each run leaves a tensor that is never freed."),
    "answers_kept_by_ids_alone": (
        "invariances",
        _any_bundle,
        "Ids that were seen before get the earlier answer, whatever mask and types are.",
    ),
    # Tokens.
    "cls_missing": ("tokens", _any_bundle, "No [CLS] is put before the tokens."),
    "special_tokens_missing": ("tokens", _any_bundle, "[CLS] and [SEP] are never added."),
    "sep_is_cls": ("tokens", _any_bundle, "[CLS] is at the end too."),
    "truncation_side": ("tokens", _is_cut, "A text that is too long loses its beginning."),
    "truncation_off_by_one": ("tokens", _is_cut, "A text that is too long loses a token more."),
    "strings_compared_by_their_first_character": (
        "tokens",
        _any_bundle,
        "Only the first character of each piece is compared; nothing throws.",
    ),
    "pieces_forget_their_place": (
        "tokens",
        _any_bundle,
        "Pieces inside a word are looked up among those that begin a word.",
    ),
    "shortest_piece_first": ("tokens", _any_bundle, "Words are cut into the shortest pieces."),
    "unknown_words_dropped": ("tokens", _any_bundle, "A word that no pieces cover is dropped."),
    "unknown_words_get_a_padded_row": (
        "tokens",
        _is_padded,
        "A word that no pieces cover gets the first row behind the vocab.",
    ),
    "case_changed_in_javascript": ("tokens", is_cased, "Letters are upper-cased first."),
    # The classifier.
    "vector_of_second_position": ("probabilities", has_head, "It gets position 1, not [CLS]."),
    "probabilities_of_other_texts": (
        "probabilities",
        has_head,
        "Each text gets the probabilities of the next one.",
    ),
    "least_probable_label": ("label", has_head, "The label is the least probable one."),
    "labels_shifted_in_javascript": ("label", has_head, "The label is the next one."),
    # What a bundle decides by itself.
    "softmax_over_the_texts": (
        "probabilities",
        decides("single_label"),
        "The probabilities of a label add up to 1 over the texts of a batch.",
    ),
    "sigmoid_for_softmax": (
        "probabilities",
        decides("single_label"),
        "Each label has a probability by itself.",
    ),
    "scores_for_probabilities": (
        "probabilities",
        decides("single_label", "multi_label"),
        "The scores are taken for probabilities.",
    ),
    "threshold_ignored": ("label", decides("multi_label"), "Every label is given."),
    "labels_in_another_order": ("label", decides("single_label"), "The label is the next one."),
    "scores_shifted_by_a_token": (
        "probabilities",
        decides("token_labels"),
        "Each token has the scores of the next one.",
    ),
    "spans_off_by_one": ("tokens", _any_bundle, "Each token ends a character late in its text."),
}
"""For each fault: the stages at which a perfect judge may report it, what it fits, its effect."""
TIMES_BY_NAME = {"strings_compared_by_their_first_character": 6}
"""How often a fault is injected where it is not `TIMES`."""


def _register_fault(name: str, stages: str | tuple[str, ...], fits: Fits, about: str) -> None:
    """Registers one fault as a kind.

    Args:
        name: of the fault in `runner_faults.js`.
        stages: at which a perfect judge may report it.
        fits: whether it can be injected into a clean bundle.
        about: what it does.
    """

    def put(target: Target, choose: Random) -> str:
        target.run_with_fault(name)
        return about

    put.__name__, put.__doc__ = name, about
    kind("runner", stages=stages, fits=fits, times=TIMES_BY_NAME.get(name, TIMES))(put)


for _name, _row in RUNNER_FAULTS.items():
    _register_fault(_name, *_row)
