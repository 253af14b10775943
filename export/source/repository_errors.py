"""What a failed call of huggingface_hub means, in one line and with an exit code."""

import httpx2
import huggingface_hub
from huggingface_hub import errors

from export.source.repository_source import RepositoryHandle
from support.errors import EnvironmentProblem, UserError

MIRROR_ADVICE = (
    "set HF_ENDPOINT to a mirror such as https://hf-mirror.com, or download the files elsewhere "
    "and give their directory"
)
OTHER_CACHE = "set HF_HUB_CACHE to a directory of your own"


def explain(
    error: Exception, handle: RepositoryHandle, endpoint: str
) -> UserError | EnvironmentProblem:
    """Returns the one line that tells what a failed call of the library means."""
    if isinstance(error, UserError | EnvironmentProblem):
        return error
    # The library hides why the host gave no file's metadata behind an error about its cache.
    cause = error.__cause__ if isinstance(error, errors.LocalEntryNotFoundError) else error
    what = f"{handle.text}: {endpoint}"
    if isinstance(cause, errors.HfHubHTTPError):
        status = cause.response.status_code
        if isinstance(cause, errors.RevisionNotFoundError):
            return UserError(
                f"{what} has no revision {handle.revision}; give a branch, tag or commit"
            )
        if isinstance(cause, errors.GatedRepoError) or status in (401, 403):
            has = "the token in use may not read it" if huggingface_hub.get_token() else "no token"
            return UserError(
                f"{what} answers {status}: there is no such repository, or only some people may "
                f"read it, and got {has}; correct the name, or ask for access at "
                f"{endpoint}/{handle.name} and set HF_TOKEN"
            )
        if status == 404:
            return UserError(f"{what} has no such repository or file; correct the name")
        return EnvironmentProblem(f"{what} answers {status}; try again later, or {MIRROR_ADVICE}")
    if isinstance(cause, httpx2.ConnectError | httpx2.TimeoutException | httpx2.ProxyError):
        return EnvironmentProblem(
            f"{what} does not answer ({type(cause).__name__}); {MIRROR_ADVICE}"
        )
    if isinstance(cause, httpx2.TransportError):
        return EnvironmentProblem(
            f"{what}: the connection broke off ({type(cause).__name__}); run the command again: "
            "whole files stay in the cache"
        )
    if isinstance(cause, OSError) and cause.errno is not None:
        return EnvironmentProblem(
            f"{handle.text}: cannot write the download to the cache: {cause.strerror}; make room, "
            f"or {OTHER_CACHE}"
        )
    reason = (str(cause).splitlines() or [type(cause).__name__])[0]
    return UserError(
        f"{what} gives no such files as a hub does ({type(cause).__name__}: {reason}); correct "
        "HF_ENDPOINT, or download the files elsewhere and give their directory"
    )
