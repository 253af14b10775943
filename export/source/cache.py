"""Protects caches of downloads against other users.

A cache may be in the directory for temporary files, where anyone may have created it first.
"""

import os
import stat
from pathlib import Path

from support.errors import EnvironmentProblem


def prepare_cache(cache: Path, other_cache: str) -> Path:
    """Creates a cache, accessible only to its owner, unless it exists; returns it.

    `other_cache` tells how to choose another one, for messages.

    Raises:
        EnvironmentProblem: it cannot be created, or see `check_owner`.
    """
    try:
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentProblem(
            f"cannot write the download to {cache}: {error.strerror}; make room, or {other_cache}"
        ) from error
    check_owner(cache, other_cache)
    return cache


def check_owner(directory: Path, other_cache: str) -> None:
    """Refuses a directory that other users own or can change, where directories have owners.

    Raises:
        EnvironmentProblem: it is such a directory, or other users could move it.
    """
    if not hasattr(os, "geteuid"):
        return
    path = directory.resolve()
    found = path.stat()
    if found.st_uid not in (os.geteuid(), 0):
        raise EnvironmentProblem(
            f"{directory} belongs to another user (uid {found.st_uid}), who decides what is in it; "
            f"{other_cache}"
        )
    if _is_writable_by_others(found):
        raise EnvironmentProblem(
            f"{directory} may be written to by other users, so that its models may be anyone's; "
            f"run `chmod go-w {directory}`, remove what is in it, or {other_cache}"
        )
    for above in path.parents:
        found = above.stat()
        # In a sticky directory, such as /tmp, nobody can move files of others.
        if found.st_mode & stat.S_IWOTH and not found.st_mode & stat.S_ISVTX:
            raise EnvironmentProblem(
                f"{directory} lies in {above}, where other users may put another directory in its "
                f"place; {other_cache}"
            )


def _is_writable_by_others(found: os.stat_result) -> bool:
    """Whether others than the owner and the owner's private group (as in Debian) can write."""
    if found.st_mode & stat.S_IWOTH:
        return True
    return bool(found.st_mode & stat.S_IWGRP) and not _is_own_group(found)


def _is_own_group(found: os.stat_result) -> bool:
    """Whether the group has the owner's name and no other members."""
    import grp
    import pwd

    try:
        owner, group = pwd.getpwuid(found.st_uid), grp.getgrgid(found.st_gid)
    except KeyError:
        return False
    return group.gr_name == owner.pw_name and set(group.gr_mem) <= {owner.pw_name}
