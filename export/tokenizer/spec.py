"""The specification of a tokenizer: the algorithm and its options."""

from dataclasses import dataclass

from support.errors import UserError

ALGORITHMS = ("bert", "tf-text", "tf-text-fast", "chars")

# The options of each algorithm; everything else is part of the algorithm.
OPTIONS_BY_ALGORITHM = {
    "bert": {"lower_case", "strip_accents", "split_chinese"},
    "tf-text": {"lower_case"},
    "tf-text-fast": {"lower_case"},
    "chars": set[str](),
}

OPTION_FLAGS = {
    "lower_case": "--cased",
    "strip_accents": "--keep-accents",
    "split_chinese": "--no-split-chinese",
}
"""The command-line option that sets each option."""


@dataclass(frozen=True)
class TokenizerSpec:
    """A tokenizer's algorithm and options.

    `strip_accents` None: as the reference, which strips accents if it lower-cases.

    Raises:
        UserError: the algorithm is unknown, or does not have an option.
    """

    algorithm: str
    lower_case: bool = True
    strip_accents: bool | None = None
    split_chinese: bool = True

    def __post_init__(self) -> None:
        """Refuses options that the reference does not have."""
        if self.algorithm not in ALGORITHMS:
            raise UserError(
                f"unknown tokenizer {self.algorithm!r}, expected one of {', '.join(ALGORITHMS)}"
            )
        asked = {
            "lower_case": not self.lower_case,
            "strip_accents": self.strip_accents is not None,
            "split_chinese": not self.split_chinese,
        }
        has = OPTIONS_BY_ALGORITHM[self.algorithm]
        for option, changed in asked.items():
            if changed and option not in has:
                typed = "--strip-accents" if self.strip_accents else OPTION_FLAGS[option]
                takes = ", ".join(OPTION_FLAGS[name] for name in OPTION_FLAGS if name in has)
                raise UserError(
                    f"tokenizer {self.algorithm} takes no {typed}; it takes {takes or 'no options'}"
                )

    @property
    def strips_accents(self) -> bool:
        """Whether combining marks are removed."""
        return self.lower_case if self.strip_accents is None else self.strip_accents

    @property
    def options(self) -> dict[str, bool]:
        """The options as in `bundle.json`, without defaults."""
        if self.algorithm == "bert":
            return {
                "lower_case": self.lower_case,
                "strip_accents": self.strips_accents,
                "split_chinese": self.split_chinese,
            }
        return {"lower_case": self.lower_case}

    @property
    def options_key(self) -> tuple[object, ...]:
        """A key that is equal for two specs of the same tokenizer."""
        return (self.algorithm, *sorted(self.options.items()))
