"""What is at `--out` of `evaluate.js` already: nothing of the user's may be replaced."""

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from tests.hostile.case import HostileCase
from tests.hostile.data_cases import SPECIAL_FILES
from tests.hostile.decision_cases import page_is_safe
from tests.hostile.evaluate_cases import NOISE, ROWS, evaluate_rows


def over(prepare: Callable[[Path], Any], workdir: Path) -> list[str]:
    """Prepares what is at `--out`; returns the command."""
    command = evaluate_rows("single_label", [ROWS["single_label"]], workdir)
    prepare(workdir / "out")
    return command


def file_of_the_user(out: Path) -> None:
    """Makes it a file."""
    out.write_text("mine")


def foreign_directory(out: Path) -> None:
    """Makes it a directory of the user."""
    out.mkdir()
    (out / "diary.txt").write_text("mine")


def foreign_file_beside(out: Path, figures: str = '{"format": "bert-bridge-evaluation"}') -> None:
    """Makes it an evaluation with a file of the user in it."""
    foreign_directory(out)
    (out / "evaluation.json").write_text(figures)


def figures_of_others(out: Path) -> None:
    """Makes it a directory of another program with a file of the same name."""
    foreign_file_beside(out, '{"format": "other"}')


def broken_figures(out: Path) -> None:
    """Makes the figures in it no JSON."""
    foreign_file_beside(out, "{" + NOISE)


def special_figures(kind: str, out: Path) -> None:
    """Makes the figures in it a special file."""
    foreign_directory(out)
    SPECIAL_FILES[kind](out / "evaluation.json")


def link_to_the_users_file(out: Path) -> None:
    """Makes it a link to a file."""
    (out.parent / "diary.txt").write_text("mine")
    out.symlink_to("diary.txt")


def link_to_a_foreign_directory(out: Path) -> None:
    """Makes it a link to a directory of the user."""
    foreign_directory(out.parent / "home")
    out.symlink_to("home")


def below_a_file(out: Path) -> None:
    """Makes its parent a file: a link leads below one."""
    (out.parent / "diary.txt").write_text("mine")
    out.symlink_to("diary.txt/out")


def figures_that_link_away(out: Path) -> None:
    """Makes it an evaluation whose page is a link to a file of the user, which must stay."""
    out.mkdir()
    (out / "evaluation.json").write_text('{"format": "bert-bridge-evaluation"}')
    (out.parent / "diary.txt").write_text("mine")
    (out / "evaluation.html").symlink_to("../diary.txt")


def link_to_an_empty_directory(out: Path) -> None:
    """Makes it a link to a directory without files, which stays a link."""
    (out.parent / "home").mkdir()
    (out.parent / "diary.txt").write_text("mine")
    out.symlink_to("home")


def in_a_read_only_directory(workdir: Path) -> list[str]:
    """Makes the parent of `--out` read-only; returns the command."""
    command = evaluate_rows("single_label", [ROWS["single_label"]], workdir)
    locked = workdir / "locked"
    locked.mkdir()
    (locked / "diary.txt").write_text("mine")
    locked.chmod(0o500)
    command[-1] = str(locked / "out")
    return command


def in_a_file_system_of_the_kernel(workdir: Path) -> list[str]:
    """Puts `--out` where nothing can be written; returns the command."""
    command = evaluate_rows("single_label", [ROWS["single_label"]], workdir)
    command[-1] = "/proc/out"
    return command


def diary_is_there(workdir: Path) -> str:
    """Checks that the user's file is what it was."""
    found = [path.read_text() for path in workdir.rglob("diary.txt")]
    return "" if "mine" in found or (workdir / "out").is_file() else "the diary is gone"


def out_is_a_link(workdir: Path) -> str:
    """Checks that the link is still one, and leads to the evaluation."""
    if not (workdir / "out").is_symlink():
        return "the link is gone"
    return diary_is_there(workdir) or page_is_safe(workdir)


def page_replaced_the_link(workdir: Path) -> str:
    """Checks that the page is a file of its own, and what it linked to is unchanged."""
    if (workdir / "out" / "evaluation.html").is_symlink():
        return "the page is still a link"
    return diary_is_there(workdir)


REFUSED_OUT: dict[str, tuple[Callable[[Path], None], str]] = {
    "a file": (file_of_the_user, "is a file"),
    "a directory of the user": (foreign_directory, "holds other things (diary.txt)"),
    "an evaluation with a file of the user": (foreign_file_beside, "holds diary.txt"),
    "figures of another program": (figures_of_others, "is not of evaluate.js"),
    "broken figures": (broken_figures, "cannot be read"),
    "figures that are a pipe": (partial(special_figures, "fifo"), "is a pipe"),
    "figures that are a directory": (partial(special_figures, "directory"), "is a directory"),
    "figures without end": (partial(special_figures, "endless device"), "is a device"),
    "a link to a file": (link_to_the_users_file, "is a file"),
    "a link to a directory of the user": (link_to_a_foreign_directory, "holds other things"),
    "a link below a file": (below_a_file, ""),
}
SURVIVED_OUT: dict[str, tuple[Callable[[Path], None], Callable[[Path], str]]] = {
    "a page that is a link to a file of the user": (figures_that_link_away, page_replaced_the_link),
    "a link to an empty directory": (link_to_an_empty_directory, out_is_a_link),
}


def cases() -> Iterator[HostileCase]:
    """Yields each thing that may be at `--out`, and places that cannot be written."""
    for name, (prepare, says) in REFUSED_OUT.items():
        make = partial(over, prepare)
        yield HostileCase(f"evaluate: over {name}", make, says=says, check=diary_is_there)
    for name, (prepare, check) in SURVIVED_OUT.items():
        yield HostileCase(f"evaluate: over {name}", partial(over, prepare), "survived", check=check)
    yield HostileCase("evaluate: into a file system of the kernel", in_a_file_system_of_the_kernel)
    if os.geteuid() != 0:  # who may write everywhere is not refused
        locked = in_a_read_only_directory
        yield HostileCase("evaluate: into a read-only directory", locked, check=diary_is_there)
