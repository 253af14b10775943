"""Option parsing and error reporting for every Python command of the project.

argparse alone accepts abbreviated options, silently takes the last of two values, and prints its
whole usage before each error.

Exit codes: 0 success, 1 drift or a failed check, 2 the user's mistake, 3 the environment, 70 a
defect of the program itself (EX_SOFTWARE of sysexits.h), 130 interrupted.
"""

import argparse
import difflib
import errno
import functools
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from support import ROOT
from support.command_names import as_typed
from support.printing import cleaned_streams, printable, say, underlying_stream

USER_ERROR, ENVIRONMENT, INTERNAL, INTERRUPTED = 2, 3, 70, 130
DEBUG_VARIABLE = "BERT_BRIDGE_DEBUG"
"""Set to 1, an internal error shows its stack."""
MACHINE_ERRORS = {
    errno.ENOSPC: "make room there, or give another place",
    errno.EDQUOT: "make room there, or give another place",
    errno.EFBIG: "raise the limit of file sizes (ulimit -f), or give another place",
    errno.EROFS: "give another place",
    errno.EIO: "give another place",
    errno.ENOMEM: "give it more memory, or less to do",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENFILE: "try again later",
    errno.EAGAIN: "try again later",
    errno.EBUSY: "try again later",
    errno.ETXTBSY: "try again later",
}
"""System errors that the machine causes, each with a remedy; others mean a wrong path."""
DISK_ERROR_TEXTS = ("No space left", "File too large", "Disk quota", "Read-only file system")
"""Parts of TensorFlow's error messages; its errors are no OSError."""
# By name: TensorFlow's class cannot be imported where TensorFlow was never loaded.
OUT_OF_MEMORY_CLASSES = ("MemoryError", "_ArrayMemoryError", "ResourceExhaustedError")
NO_MEMORY_TEXTS = ("failed to map segment", "annot allocate memory")
"""Parts of the ImportError of a library that is too large for the memory."""
MIN_SIMILARITY = 0.6
"""Smallest ratio of difflib at which one name counts as a typing error of another."""


class OptionParser(argparse.ArgumentParser):
    """Parses options; reports a mistake in one line, with the nearest name, and exit code 2."""

    def __init__(self, **settings: Any) -> None:
        settings.setdefault("allow_abbrev", False)
        settings.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(**settings)

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parses this command's options; the subcommand's parser gets the subcommand's options."""
        arguments = list(sys.argv[1:] if args is None else args)
        self.check_names(arguments)
        found, rest = super().parse_known_args(arguments, namespace)
        if rest:
            self.error(f"Expected options only, got `{rest[0]}`; try --help")
        return found, rest

    def check_names(self, arguments: list[str]) -> None:
        """Refuses an option that is unknown or repeated."""
        has_subcommands = any(isinstance(a, argparse._SubParsersAction) for a in self._actions)
        seen: set[str] = set()
        words = iter(arguments)
        for word in words:
            is_option = re.match(r"-[^\d.]", word)
            # The subcommand's parser checks what follows the subcommand.
            if word == "--" or (has_subcommands and not is_option):
                return
            if not is_option:
                continue
            name = word.split("=")[0]
            action = self._option_string_actions.get(name)
            if action is None:
                known = [option for option in self._option_string_actions if option != "-h"]
                self.error(f"There is no option {name}; {suggest_name(name, known)}")
            if action.dest in seen and not isinstance(action, argparse._AppendAction):
                self.error(f"Got {name} twice, expected it once")
            seen.add(action.dest)
            if action.nargs is None and "=" not in word:
                next(words, None)  # its value

    def format_help(self) -> str:
        """Returns the help, with commands as the person types them."""
        return as_typed(super().format_help())

    def error(self, message: str) -> NoReturn:
        """Prints one line to stderr and ends the program with exit code 2."""
        line = printable(" ".join(message.split()))
        line = line.replace("invalid int value:", "expected a whole number, got")
        choice = re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", line)
        if choice:
            meant = nearest_name(choice[1], re.findall(r"[^', ]+", choice[2]))
            line += f"; did you mean {meant}?" if meant else ""
        self.exit(USER_ERROR, f"error: {as_typed(line)}\n")


def nearest_name(name: str, known: Iterable[str]) -> str | None:
    """Returns the known name most similar to `name`, or None if no name is similar.

    >>> nearest_name("--bundel", ["--bundle", "--model"])
    '--bundle'
    >>> nearest_name("--tok", ["--tokenizer"])
    '--tokenizer'
    """
    names = {option.replace("_", "-"): option for option in known}
    typed = name.replace("_", "-")
    longer = [option for option in names if option.startswith(typed)]
    near = longer or difflib.get_close_matches(typed, names, n=1, cutoff=MIN_SIMILARITY)
    return names[near[0]] if near else None


def suggest_name(name: str, known: Iterable[str]) -> str:
    """Returns advice for an unknown name: the nearest known one, or `--help`."""
    meant = nearest_name(name, known)
    return f"did you mean {meant}?" if meant else "try --help"


def command(
    interrupted: str = "interrupted",
) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Decorates the `main` of a command: cleans its output, reports each error in one line.

    Args:
        interrupted: the message after Ctrl-C.
    """

    def decorate(main: Callable[..., int]) -> Callable[..., int]:
        @functools.wraps(main)
        def run(*arguments: Any) -> int:
            with cleaned_streams():
                try:
                    code = main(*arguments)
                    sys.stdout.flush()
                    return code
                except KeyboardInterrupt:
                    say(interrupted)
                    return INTERRUPTED
                except BrokenPipeError:
                    # The reader has gone (`| head`); without this Python reports it when it ends.
                    _discard_output(sys.stdout)
                    return 0
                except Exception as error:
                    line, code = describe_failure(error)
                    say(f"error: {line}")
                    if code == INTERNAL and os.environ.get(DEBUG_VARIABLE) == "1":
                        for part in traceback.format_exc().splitlines():
                            say(part)
                    if code == ENVIRONMENT:
                        _discard_output(sys.stdout)
                    return code

        return run

    return decorate


def describe_failure(error: BaseException) -> tuple[str, int]:
    """Returns an error's message for the user, without `error: `, and the exit code."""
    code = getattr(error, "exit_code", None)
    if isinstance(code, int):
        return str(error), code
    if isinstance(error, OSError) and error.errno is not None:
        where = "" if error.filename is None else f"{printable(str(error.filename))}: "
        remedy = MACHINE_ERRORS.get(error.errno)
        if remedy is not None:
            return f"{where}{error.strerror}; {remedy}", ENVIRONMENT
        return f"{where}{error.strerror}; give another place", USER_ERROR
    name, message = type(error).__name__, " ".join(str(error).split())
    if any(part in message for part in DISK_ERROR_TEXTS):
        return f"cannot write: {message}; make room, or give another place", ENVIRONMENT
    no_room = isinstance(error, ImportError) and any(part in message for part in NO_MEMORY_TEXTS)
    if name in OUT_OF_MEMORY_CLASSES or no_room:
        return f"there is not enough memory ({message or name}); give it more", ENVIRONMENT
    if isinstance(error, RecursionError):
        return f"the input is nested too deep{_source_location(error)}", USER_ERROR
    reason = summarize_error(error)
    return f"internal error, please report it: {reason}; {DEBUG_VARIABLE}=1 shows where", INTERNAL


def summarize_error(error: BaseException) -> str:
    """Returns one line about an unexpected error: class, message and source location."""
    message = printable(" ".join(str(error).split()), 400)
    return f"{type(error).__name__}: {message}{_source_location(error)}"


def _source_location(error: BaseException) -> str:
    """Returns the last line of this project in a traceback, as ` (file:line)`; "" if none is."""
    location = ""
    for frame in traceback.extract_tb(error.__traceback__):
        file = Path(frame.filename)
        if ROOT in file.parents and not file.relative_to(ROOT).parts[0].startswith("."):
            location = f" ({file.name}:{frame.lineno})"
    return location


def _discard_output(stream: Any) -> None:
    """Drops a stream's buffer, which cannot be written: Python would report it when it ends."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, underlying_stream(stream).fileno())
        os.close(nowhere)
    except (OSError, ValueError):
        pass
