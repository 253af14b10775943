"""The options of every Python command of the project: argparse, with one line for a mistake.

By itself argparse takes the beginning of an option for the option, the last of two values without
a word, and puts its whole usage before a mistake.
"""

import argparse
import difflib
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

USER_ERROR = 2
NEAR = 0.6
"""Share of letters that two names have in common, as difflib counts it, for a likely slip."""


class OptionParser(argparse.ArgumentParser):
    """Parses options; a mistake is one line on stderr, with the nearest name, and exit code 2."""

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("allow_abbrev", False)
        settings.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(**settings)

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parses the options of this command; a subcommand's parser gets its own part."""
        given = list(sys.argv[1:] if args is None else args)
        self.check_names(given)
        found, rest = super().parse_known_args(given, namespace)
        if rest:
            self.error(f"Expected options only, got `{rest[0]}`; try --help")
        return found, rest

    def check_names(self, given: list[str]) -> None:
        """Refuses an option that is unknown or given twice."""
        has_subcommands = any(isinstance(a, argparse._SubParsersAction) for a in self._actions)
        seen: set[str] = set()
        words = iter(given)
        for word in words:
            is_option = re.match(r"-[^\d.]", word)
            # What follows a subcommand is its parser's.
            if word == "--" or (has_subcommands and not is_option):
                return
            if not is_option:
                continue
            name = word.split("=")[0]
            action = self._option_string_actions.get(name)
            if action is None:
                known = [option for option in self._option_string_actions if option != "-h"]
                self.error(f"There is no option {name}; {hint(name, known)}")
            if action.dest in seen and not isinstance(action, argparse._AppendAction):
                self.error(f"Got {name} twice, expected it once")
            seen.add(action.dest)
            if action.nargs is None and "=" not in word:
                next(words, None)  # its value

    def error(self, message: str) -> NoReturn:
        """Ends the program with one line."""
        line = " ".join(message.split())
        line = line.replace("invalid int value:", "expected a whole number, got")
        choice = re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", line)
        if choice:
            meant = nearest(choice[1], re.findall(r"[^', ]+", choice[2]))
            line += f"; did you mean {meant}?" if meant else ""
        self.exit(USER_ERROR, f"error: {line}\n")


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that was most likely meant; None where none is near.

    >>> nearest("--bundel", ["--bundle", "--model"])
    '--bundle'
    >>> nearest("--tok", ["--tokenizer"])
    '--tokenizer'
    """
    names = {option.replace("_", "-"): option for option in known}
    typed = name.replace("_", "-")
    longer = [option for option in names if option.startswith(typed)]
    near = longer or difflib.get_close_matches(typed, names, n=1, cutoff=NEAR)
    return names[near[0]] if near else None


def hint(name: str, known: Iterable[str]) -> str:
    """What to say of a name that is not known."""
    meant = nearest(name, known)
    return f"did you mean {meant}?" if meant else "try --help"
