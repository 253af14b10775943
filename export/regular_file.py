"""Files that are read: regular ones alone."""

import stat
from pathlib import Path

from export.errors import UserError

KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def regular(path: Path) -> Path:
    """The path itself, unless what is there is no file; a missing one is its reader's to report.

    A pipe would be waited for without end, and a device may never stop.

    Raises:
        UserError: it is a directory, a pipe, a socket or a device.
    """
    try:
        kind = KINDS.get(stat.S_IFMT(path.stat().st_mode))
    except (OSError, ValueError):
        return path
    if kind is not None:
        raise UserError(f"{path} is {kind}, expected a file")
    return path
