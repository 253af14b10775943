"""Finds the tokenizer that Hugging Face's `tokenizer_config.json` and `tokenizer.json` describe.

If the two contradict each other, the behaviour of the package transformers decides (measured with
4.57.6 and 5.24.0): a BERT class sets case, accents and Chinese characters from
`tokenizer_config.json` and its defaults, and ignores `tokenizer.json`'s normalizer; the class
without a family uses `tokenizer.json` as it is.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.tokenizer.reference import load_library
from export.tokenizer.spec import TokenizerSpec
from export.tokenizer.vocab import SPECIAL_TOKENS, Vocab, parse_vocab, vocab_bytes
from support.input_files import require_type

# Classes (without `Fast`) with the rules of BertTokenizer; then those without a family.
BERT_FAMILIES = ("Bert", "Electra", "DistilBert", "MobileBert", "ConvBert", "SqueezeBert", "Lxmert")
BERT_CLASSES = tuple(f"{name}Tokenizer" for name in BERT_FAMILIES)
PLAIN_CLASSES = ("PreTrainedTokenizer", "TokenizersBackend")
ROLES = {f"{role}_token": token for role, token in SPECIAL_TOKENS.items()}
ROLES |= {"bos_token": SPECIAL_TOKENS["cls"], "eos_token": SPECIAL_TOKENS["sep"]}
EXTRA_TOKEN_KEYS = ("additional_special_tokens", "extra_special_tokens")
FLAGS = ("lstrip", "rstrip", "single_word", "normalized")
MAX_WORD_CHARACTERS = 100
# An option of the config, its name in the normalizer, and transformers' default.
OPTIONS: dict[str, tuple[str, bool | None]] = {
    "do_lower_case": ("lowercase", True),
    "strip_accents": ("strip_accents", None),
    "tokenize_chinese_chars": ("handle_chinese_chars", True),
}


@dataclass(frozen=True)
class AddedToken:
    """A token that is searched in the text before it is split; `id` is None if unknown."""

    location: str
    content: str
    id: int | None
    flags: tuple[str, ...]


@dataclass(frozen=True)
class HuggingFaceFiles:
    """The files of one directory; None for missing ones."""

    directory: Path
    config: dict[str, Any] | None
    tokenizer: dict[str, Any] | None
    special: dict[str, Any] | None
    added: dict[str, Any] | None
    vocab: Path | None

    @property
    def config_name(self) -> str:
        """The name of tokenizer_config.json for messages."""
        return f"{self.directory.name}/tokenizer_config.json"

    @property
    def tokenizer_name(self) -> str:
        """The name of tokenizer.json for messages."""
        return f"{self.directory.name}/tokenizer.json"

    def tokenizer_class(self) -> str | None:
        """Returns the class in the config without `Fast`; None if it has none."""
        name = (self.config or {}).get("tokenizer_class")
        if name is None:
            return None
        text: str = require_type(name, str, f"{self.config_name}: tokenizer_class")
        return text.removesuffix("Fast")

    def spec(self) -> tuple[TokenizerSpec | None, str]:
        """Returns the tokenizer and the reason; None if no file has the case.

        Raises:
            UserError: an option is neither true, false nor, for `strip_accents`, null.
        """
        stored = self._normalizer()
        options = self._config_options()
        name = self.tokenizer_class()
        if self.config is None or name in PLAIN_CLASSES:
            if stored is None:
                return None, "nothing beside the model says whether it lower-cases"
            why = f"tokenizer.json says lowercase {_json_value(stored['do_lower_case'])}"
            if self.config is None and stored["do_lower_case"] is False:
                why += ", and there is no tokenizer_config.json (transformers' BertTokenizer would "
                why += "lower-case without one)"
            return _spec_from_options(stored), why
        if name is None and self.vocab is None and self.tokenizer is None:
            return None, "tokenizer_config.json has no tokenizer_class, and no vocab.txt beside it"
        taken = {key: options.get(key, default) for key, (_, default) in OPTIONS.items()}
        if "do_lower_case" in options:
            why = f"tokenizer_config.json says do_lower_case {_json_value(taken['do_lower_case'])}"
        else:
            why = "tokenizer_config.json says nothing of do_lower_case, and transformers' default "
            why += "is true"
        for key, value in taken.items():
            if stored is not None and stored[key] != value:
                why += (
                    f"; tokenizer.json says {OPTIONS[key][0]} {_json_value(stored[key])}, but the "
                    f"package transformers takes {_json_value(value)}"
                )
        return _spec_from_options(taken), why

    def problems(self) -> list[str]:
        """Describes what these files require and this kit does not support.

        Raises:
            UserError: a value has a wrong type.
        """
        return [*self._class_problems(), *self._pipeline_problems(), *self._token_problems()]

    def _config_options(self) -> dict[str, bool | None]:
        """Returns the options in the config."""
        found: dict[str, bool | None] = {}
        for key in OPTIONS:
            if key in (self.config or {}):
                assert self.config is not None
                found[key] = _read_flag(self.config, key, self.config_name, key == "strip_accents")
        return found

    def _normalizer(self) -> dict[str, bool | None] | None:
        """Returns the options of `tokenizer.json`'s normalizer under the config's names."""
        normalizer = (self.tokenizer or {}).get("normalizer")
        if not isinstance(normalizer, dict) or normalizer.get("type") != "BertNormalizer":
            return None
        location = f"{self.tokenizer_name}: normalizer"
        found: dict[str, bool | None] = {}
        for key, (name, default) in OPTIONS.items():
            found[key] = default
            if name in normalizer:
                found[key] = _read_flag(normalizer, name, location, name == "strip_accents")
        return found

    def _class_problems(self) -> Iterator[str]:
        """Yields an unsupported class, and options that only its slow form has."""
        config, name = self.config or {}, self.tokenizer_class()
        if name is not None and name not in (*BERT_CLASSES, *PLAIN_CLASSES):
            yield f"tokenizer_class {name} (tokenizer_config.json)"
        if name in PLAIN_CLASSES and self.tokenizer is None:
            yield f"tokenizer_class {name} without a tokenizer.json"
        if config.get("auto_map") is not None:
            yield "a tokenizer in code of its own (auto_map in tokenizer_config.json)"
        for key in ("padding_side", "truncation_side"):
            if require_type(config.get(key, "right"), str, f"{self.config_name}: {key}") != "right":
                yield f"{key} {config[key]} (tokenizer_config.json)"
        basic = config.get("do_basic_tokenize")
        if basic is not None and not require_type(
            basic, bool, f"{self.config_name}: do_basic_tokenize"
        ):
            yield "do_basic_tokenize false (tokenizer_config.json)"
        never = config.get("never_split")
        if never is not None and require_type(never, list, f"{self.config_name}: never_split"):
            yield f"never_split {', '.join(map(str, never))} (tokenizer_config.json)"

    def _pipeline_problems(self) -> Iterator[str]:
        """Yields steps in `tokenizer.json` that are not BERT's."""
        document, name = self.tokenizer, self.tokenizer_name
        if document is None:
            return
        for key, wanted in (
            ("normalizer", "BertNormalizer"),
            ("pre_tokenizer", "BertPreTokenizer"),
        ):
            if _step_type(document, key, name) != wanted:
                yield f"{key} {_step_type(document, key, name)} (tokenizer.json)"
        normalizer = document.get("normalizer") or {}
        if not _read_flag(normalizer, "clean_text", f"{name}: normalizer", False, True):
            yield "clean_text false (tokenizer.json's normalizer)"
        if _step_type(document, "post_processor", name) not in (
            "BertProcessing",
            "TemplateProcessing",
        ):
            yield f"post_processor {_step_type(document, 'post_processor', name)} (tokenizer.json)"
        elif _read_frame(document["post_processor"]) != FRAME:
            yield "other special tokens around a text than [CLS] and [SEP] (tokenizer.json)"
        else:
            known = self._special_ids()
            for token, i in _frame_ids(document["post_processor"]).items():
                if known and known.get(token) != i:
                    yield f"{token} with id {i} (tokenizer.json), in the vocab {known.get(token)}"
        model = require_type(document.get("model"), dict, f"{name}: model")
        # Files of tokenizers before 0.9 have no type.
        if model.get("type", "WordPiece" if "max_input_chars_per_word" in model else None) != (
            "WordPiece"
        ):
            yield f"model {str(model.get('type'))[:MAX_WORD_CHARACTERS]} (tokenizer.json)"
            return
        wanted_values = {
            "unk_token": SPECIAL_TOKENS["unk"],
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": MAX_WORD_CHARACTERS,
        }
        for key, value in wanted_values.items():
            if model.get(key, value) != value:
                got = str(model[key])[:MAX_WORD_CHARACTERS]
                yield f"{key} {got} (tokenizer.json's model), not {value}"
        yield from self._vocab_problems(model)

    def _vocab_problems(self, model: dict[str, Any]) -> Iterator[str]:
        """Yields a difference between the vocabs of `tokenizer.json` and `vocab.txt`."""
        location = f"{self.tokenizer_name}: model.vocab"
        ids = require_type(model.get("vocab"), dict, location)
        for token, i in ids.items():
            require_type(i, int, f"{location}: {token}")
        if self.vocab is None:
            return
        lines = parse_vocab(vocab_bytes(self.vocab), str(self.vocab)).tokens
        by_line = {token: i for i, token in enumerate(lines)}
        for token in [*by_line, *ids]:
            if by_line.get(token) != ids.get(token):
                yield (
                    f"two vocabs: {token!r} has id {ids.get(token, 'none')} in tokenizer.json and "
                    f"{by_line.get(token, 'none')} in vocab.txt"
                )
                return

    def _token_problems(self) -> Iterator[str]:
        """Yields special or added tokens other than the usual five."""
        usual = set(SPECIAL_TOKENS.values())
        known = self._special_ids()
        for document, name in (
            (self.config, self.config_name),
            (self.special, f"{self.directory.name}/special_tokens_map.json"),
        ):
            for role, token in ROLES.items():
                value = (document or {}).get(role, token)
                if value is None and role in ("bos_token", "eos_token"):
                    continue
                if value is None:
                    yield f"no {role} ({name.split('/')[-1]})"
                    continue
                one = _parse_added_token(value, f"{name}: {role}")
                if one.content != token:
                    yield f"{role} {one.content!r} ({name.split('/')[-1]})"
                elif one.flags:
                    yield f"{role} with {', '.join(one.flags)} ({name.split('/')[-1]})"
        for one in self._added_tokens():
            where = one.location.split(":")[0].split("/")[-1]
            if one.content not in usual:
                yield f"the added token {one.content!r} ({where})"
            elif one.flags:
                yield f"{one.content} with {', '.join(one.flags)} ({where})"
            elif one.id is not None and known and known.get(one.content) != one.id:
                own = known.get(one.content)
                yield f"{one.content} with id {one.id} ({where}), in the vocab {own}"

    def _special_ids(self) -> dict[str, int]:
        """Returns the ids of the usual five in the vocab; empty if there is no vocab."""
        if self.vocab is None:
            return {}
        vocab = parse_vocab(vocab_bytes(self.vocab), str(self.vocab))
        return {token.token: token.id for token in vocab.special.values()}

    def _added_tokens(self) -> Iterator[AddedToken]:
        """Yields every added token of all files."""
        config, location = self.config or {}, self.config_name
        for key in EXTRA_TOKEN_KEYS:
            listed = config.get(key) or (self.special or {}).get(key) or []
            values = listed.values() if isinstance(listed, dict) else listed
            if not isinstance(listed, dict):
                require_type(listed, list, f"{location}: {key}")
            for value in values:
                yield _parse_added_token(value, f"{location}: {key}")
        decoder = require_type(
            config.get("added_tokens_decoder", {}), dict, f"{location}: added_tokens_decoder"
        )
        for number, value in decoder.items():
            where = f"{location}: added_tokens_decoder: {number}"
            if not number.isdecimal() or not number.isascii():
                require_type(number, int, where)
            # No id has 18 digits; Python refuses to parse thousands of digits.
            yield _parse_added_token(require_type(value, dict, where), where, int(number[:18]))
        for token, i in (self.added or {}).items():
            where = f"{self.directory.name}/added_tokens.json: {token}"
            yield AddedToken(where, token, require_type(i, int, where), ())
        location = f"{self.tokenizer_name}: added_tokens"
        for value in require_type((self.tokenizer or {}).get("added_tokens", []), list, location):
            one = require_type(value, dict, location)
            yield _parse_added_token(
                one, location, require_type(one.get("id"), int, f"{location}: id")
            )


# The special tokens around one text and around two texts; `A` and `B` are the texts.
FRAME = (["[CLS]", "A", "[SEP]"], ["[CLS]", "A", "[SEP]", "B1", "[SEP]1"])


def _read_frame(processor: dict[str, Any]) -> tuple[list[str], list[str]] | None:
    """Returns what a post-processor adds around one text and two; None if it cannot be read.

    A piece with type id 1 has a 1 after its name.
    """
    try:
        if processor["type"] == "BertProcessing":
            cls, sep = processor["cls"][0], processor["sep"][0]
            return [cls, "A", sep], [cls, "A", sep, "B1", f"{sep}1"]
        single, pair = ([_piece_name(p) for p in processor[key]] for key in ("single", "pair"))
        return single, pair
    except (KeyError, IndexError, TypeError, AttributeError):
        return None


def _frame_ids(processor: dict[str, Any]) -> dict[str, Any]:
    """Returns the ids that a post-processor has for the special tokens."""
    try:
        if processor["type"] == "BertProcessing":
            return {processor[role][0]: processor[role][1] for role in ("cls", "sep")}
        return {name: token["ids"][0] for name, token in processor["special_tokens"].items()}
    except (KeyError, IndexError, TypeError, AttributeError):
        return {"[CLS]": None}


def _piece_name(piece: dict[str, Any]) -> str:
    """Returns the name of one piece of a template, as in FRAME."""
    ((_, content),) = piece.items()
    return f"{content['id']}{content['type_id'] or ''}"


def _step_type(document: dict[str, Any], key: str, name: str) -> str:
    """Returns the type of a step of `tokenizer.json`, or `none`."""
    step = document.get(key)
    if step is None:
        return "none"
    require_type(step, dict, f"{name}: {key}")
    kind: str = require_type(step.get("type"), str, f"{name}: {key}: type")
    return kind


def _read_flag(
    document: dict[str, Any], key: str, location: str, may_be_null: bool, default: bool = True
) -> bool | None:
    """Reads a value that is true or false.

    Args:
        document: the JSON object.
        key: its key.
        location: the object, for messages.
        may_be_null: whether null is allowed.
        default: the value if the key is missing.
    """
    value = document.get(key, default)
    if value is None and may_be_null:
        return None
    found: bool = require_type(value, bool, f"{location}: {key}")
    return found


def _parse_added_token(value: Any, location: str, i: int | None = None) -> AddedToken:
    """Parses a token: a string, or an object with `content` and flags."""
    if not isinstance(value, dict):
        return AddedToken(location, require_type(value, str, location), i, ())
    content = require_type(value.get("content"), str, f"{location}: content")
    set_flags = [f for f in FLAGS if require_type(value.get(f, False), bool, f"{location}: {f}")]
    return AddedToken(location, content, i, tuple(set_flags))


def _spec_from_options(options: dict[str, bool | None]) -> TokenizerSpec:
    """Returns the tokenizer with these options, which have the config's names."""
    return TokenizerSpec(
        "bert",
        lower_case=bool(options["do_lower_case"]),
        strip_accents=options["strip_accents"],
        split_chinese=bool(options["tokenize_chinese_chars"]),
    )


def _json_value(value: bool | None) -> str:
    """Returns a value as JSON."""
    return json.dumps(value)


def write_tokenizer_json(path: Path, spec: TokenizerSpec, vocab: Vocab) -> None:
    """Writes `tokenizer.json` with the package `tokenizers`, for Hugging Face's libraries."""
    tokenizer = load_library(spec, vocab, None).tokenizer
    path.write_text(tokenizer.to_str(pretty=True) + "\n", encoding="utf-8")
