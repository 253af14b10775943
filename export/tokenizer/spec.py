"""Which tokenizer: the algorithm by name, and its options."""

from dataclasses import dataclass

from support.errors import UserError

ALGORITHMS = ("bert", "tf-text", "tf-text-fast", "chars")

# What each algorithm leaves to choose; anything else is part of its meaning.
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
"""By which option of the commands each choice is made."""


@dataclass(frozen=True)
class TokenizerSpec:
    """A tokenizer's algorithm and options.

    `strip_accents` None means as the reference does it: where the text is lower-cased.

    Raises:
        UserError: an unknown algorithm, or an option that the algorithm does not have.
    """

    algorithm: str
    lower_case: bool = True
    strip_accents: bool | None = None
    split_chinese: bool = True

    def __post_init__(self) -> None:
        """Refuses what the reference could not do."""
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
        """Whether combining marks are taken off."""
        return self.lower_case if self.strip_accents is None else self.strip_accents

    @property
    def options(self) -> dict[str, bool]:
        """The options as they stand in `bundle.json`, nothing left to a default."""
        if self.algorithm == "bert":
            return {
                "lower_case": self.lower_case,
                "strip_accents": self.strips_accents,
                "split_chinese": self.split_chinese,
            }
        return {"lower_case": self.lower_case}

    @property
    def options_key(self) -> tuple[object, ...]:
        """What is equal for two specs that mean the same tokenizer."""
        return (self.algorithm, *sorted(self.options.items()))
