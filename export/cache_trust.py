"""Whether a directory that models are taken from can have been filled by somebody else.

The default cache lies in the directory for temporary files, where anyone may have made it first.
"""

import os
import stat
from pathlib import Path

from export.errors import EnvironmentProblem

OTHER = "set TFHUB_CACHE_DIR to a directory of your own"


def prepared(cache: Path) -> Path:
    """The cache, made for its owner alone where there is none.

    Raises:
        EnvironmentProblem: it cannot be made, or see `check`.
    """
    try:
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentProblem(
            f"cannot write the download to {cache}: {error.strerror}; make room, or {OTHER}"
        ) from error
    check(cache)
    return cache


def check(directory: Path) -> None:
    """Stops at a directory that others own or may write to; Windows has no such owners.

    Raises:
        EnvironmentProblem: it is one, or one of the directories above it lets others move it away.
    """
    if not hasattr(os, "geteuid"):
        return
    place = directory.resolve()
    found = place.stat()
    if found.st_uid not in (os.geteuid(), 0):
        raise EnvironmentProblem(
            f"{directory} belongs to another user (uid {found.st_uid}), who decides what is in it; "
            f"{OTHER}"
        )
    if is_writable_by_others(found):
        raise EnvironmentProblem(
            f"{directory} may be written to by other users, so that its models may be anyone's; "
            f"run `chmod go-w {directory}`, remove what is in it, or {OTHER}"
        )
    for above in place.parents:
        found = above.stat()
        # In a sticky directory, as /tmp is, nobody moves what is another's.
        if found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX:
            raise EnvironmentProblem(
                f"{directory} lies in {above}, where other users may put another directory in its "
                f"place; {OTHER}"
            )


def is_writable_by_others(found: os.stat_result) -> bool:
    """Whether anyone but the owner may write; the owner's own group, as Debian makes, may."""
    if found.st_mode & stat.S_IWOTH:
        return True
    return bool(found.st_mode & stat.S_IWGRP) and not is_own_group(found)


def is_own_group(found: os.stat_result) -> bool:
    """Whether the group bears the owner's name and has no other members."""
    import grp
    import pwd

    try:
        owner, group = pwd.getpwuid(found.st_uid), grp.getgrgid(found.st_gid)
    except KeyError:
        return False
    return group.gr_name == owner.pw_name and set(group.gr_mem) <= {owner.pw_name}
