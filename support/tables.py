"""Tables for the terminal, for logs and for Markdown; every table of the Python side is made here.

`rich` lays them out: it counts East Asian characters as two columns wide and wraps cells.
"""

import io
import shutil
import sys
from collections.abc import Collection, Iterable, Sequence

from support.printing import printable, underlying_stream

FULL_WIDTH = 100_000
"""Columns of a log or a file, which have no edge: a width that no table reaches."""


def format_table(
    head: Sequence[str], rows: Iterable[Sequence[str]], numeric: Collection[int] = ()
) -> str:
    """Returns a table for stdout, without colours: in a log each row is one line.

    On a terminal that is too narrow cells are wrapped. If single words are too long for that, the
    table keeps its full width, and the terminal breaks the lines: addresses and names can still be
    copied.

    >>> print(format_table(["name", "s"], [["albert", "1.5"], ["轻量", "12"]], numeric=[1]))
    name      s
    albert  1.5
    轻量     12

    Args:
        head: the names of the columns.
        rows: the cells of each row; texts from outside may be among them.
        numeric: the positions of the columns with numbers, which are aligned to the right.
    """
    return _lay_out(head, rows, numeric, _width_of_stdout(), markdown=False)


def format_markdown(
    head: Sequence[str], rows: Iterable[Sequence[str]], numeric: Collection[int] = ()
) -> str:
    r"""Returns a table in Markdown, aligned so that it is readable in a terminal too.

    >>> print(format_markdown(["name", "|Δ|"], [["a|b", "0.5"]], numeric=[1]))
    | name | \|Δ\| |
    |------|------:|
    | a\|b |   0.5 |

    Args:
        head: the names of the columns.
        rows: the cells of each row; texts from outside may be among them.
        numeric: the positions of the columns with numbers, which are aligned to the right.
    """
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in [head, *rows]]
    lines = _lay_out(escaped[0], escaped[1:], numeric, FULL_WIDTH, markdown=True).split("\n")
    # rich draws the rule without the colons that align a column.
    rule = lines[1].split("|")
    for column in numeric:
        rule[column + 1] = f"{rule[column + 1][:-1]}:"
    return "\n".join([lines[0], "|".join(rule), *lines[2:]])


def _lay_out(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    numeric: Collection[int],
    width: int,
    markdown: bool,
) -> str:
    """Returns the lines of a table without spaces at their ends.

    Args:
        head: the names of the columns.
        rows: the cells of each row.
        numeric: the positions of the columns that are aligned to the right.
        width: of the terminal, in columns.
        markdown: whether to draw the lines of Markdown; without them two spaces divide columns.
    """
    # Not at the top: most commands that can print a table print none.
    from rich.box import MARKDOWN
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # A Text is shown as it is; rich would read a str as its markup, `[bold]`.
    cells = [[Text(printable(cell)) for cell in row] for row in [head, *rows]]
    if markdown:
        table = Table(box=MARKDOWN)
    else:
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for number, column in enumerate(zip(*cells, strict=True)):
        if number in numeric:
            # Numbers stay whole.
            widest = max(cell_len(cell.plain) for cell in column)
            table.add_column(column[0], justify="right", no_wrap=True, min_width=widest)
        else:
            # `fold` breaks a long word; rich would cut it.
            table.add_column(column[0], overflow="fold")
    for row in cells[1:]:
        table.add_row(*row)
    output = io.StringIO()
    # Nothing of the environment counts here: no FORCE_COLOR, no TERM.
    console = Console(
        file=output, width=FULL_WIDTH, height=1, force_terminal=False, color_system=None
    )
    if console.measure(table).minimum <= width:
        console.width = width
    console.print(table)
    return "\n".join(line.rstrip() for line in output.getvalue().split("\n")).strip("\n")


def _width_of_stdout() -> int:
    """Returns the columns of the terminal at stdout, FULL_WIDTH without one."""
    if not underlying_stream(sys.stdout).isatty():
        return FULL_WIDTH
    return shutil.get_terminal_size().columns
