"""What goes wrong between us and the Hub, as one line for a person: no token, no password, nothing that is not text."""

from __future__ import annotations

import difflib
import errno
import itertools
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from huggingface_hub import constants, get_token
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from ali_plugin.errors import ALIError, HubError
from ali_plugin.hub import guard as hub_guard
from ali_registry.text import as_text, printable

TOKEN = re.compile(r"hf_[A-Za-z0-9_]{4,}")
USER = re.compile(r"(?<=://)[^/?#\s'\"]*@")  # what stands before a URL's host: a name, a password
MOST_NEIGHBOURS = 1000  # folders that are looked at for a like name
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def talking(repo_id: str, token: str | bool | None = None, revision: str | None = None) -> Iterator[hub_guard.Call]:
    """Talk with the Hub: its answers are checked, what is raised is one line of a HubError without any secret."""
    if isinstance(token, str) and not re.fullmatch("[!-~]+", token):  # the HTTP library would quote it
        raise HubError("the token is empty or holds a blank, a line break or another character that no token has")
    secrets = _secrets(token)
    _watch_log()
    try:
        with hub_guard.guarded(secrets) as call:
            yield call
    except Exception as error:  # ours, the client's own, its HTTP library's, and the system's
        ours = _ours(error)
        if isinstance(ours, hub_guard.Unanswered):
            raise HubError(f"the transfer of {repo_id!r} broke off: {ours}; run it again later") from None
        if ours is error:
            raise
        if ours is not None:
            raise ours from None
        text = without(secrets, _explain(error, repo_id, revision))
        leaks = any(secret in as_text(link) for link in _chain(error) for secret in secrets)
        raise HubError(text) from (None if leaks else error)  # a traceback shows the causes


def address(url: str) -> str:
    """A URL to show: without the name and the password that it may hold."""
    return printable(USER.sub("", url))


def without(secrets: tuple[str, ...], text: str) -> str:
    """Text without secrets, tokens and passwords, on one line."""
    for secret in secrets:
        text = text.replace(secret, "(secret)")
    return address(TOKEN.sub("(token)", text))


def _secrets(token: str | bool | None) -> tuple[str, ...]:
    """All that must not be shown: tokens, and the password in HF_ENDPOINT, as written and decoded."""
    try:
        password = urlsplit(constants.ENDPOINT).password or ""
    except ValueError:  # no URL at all
        password = ""
    try:
        saved = get_token()
    except (OSError, ValueError):  # of a home that cannot be read; the call itself says so
        saved = None
    found = (token if isinstance(token, str) else None, saved, password, unquote(password))
    return tuple(dict.fromkeys(secret for secret in found if secret and len(secret) > 3))


class _Clean(logging.Filter):
    """What the client says while it works for us: it quotes URLs with passwords, and what servers say."""

    def filter(self, record: logging.LogRecord) -> bool:
        call = hub_guard.current()
        if call is not None:
            record.msg, record.args = without(call.secrets, as_text(record.getMessage())), ()
            record.exc_info = record.exc_text = None
        return True


_CLEAN = _Clean()


def _watch_log() -> None:
    for logger in (logging.getLogger("huggingface_hub"), logging.getLogger()):
        for handler in logger.handlers:
            handler.addFilter(_CLEAN)  # once, however often it is added


def _ours(error: BaseException | None) -> ALIError | None:
    """The error of ours that the client may have wrapped in its own."""
    while error is not None and not isinstance(error, ALIError):
        error = error.__cause__
    return error


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _explain(error: BaseException, repo_id: str, revision: str | None) -> str:
    if isinstance(error, LocalEntryNotFoundError):
        cause = error.__cause__
        if isinstance(cause, Exception) and not isinstance(cause, OfflineModeIsEnabled | LocalEntryNotFoundError):
            why = _explain(cause, repo_id, revision)
            return f"{why}; nor is it complete in the cache{no_folder(repo_id)}"
        return f"{repo_id!r}{at(revision)} is not complete in the cache{no_folder(repo_id)}, and the Hub is not asked"
    if isinstance(error, GatedRepoError):
        return f"access to {repo_id!r} is restricted: ask for it on its page, then log in with `hf auth login`"
    if isinstance(error, RepositoryNotFoundError):
        return (
            f"there is no model {repo_id!r} on the Hub, or it is private{no_folder(repo_id)}; check the name, or log "
            "in with `hf auth login` or HF_TOKEN"
        )
    if isinstance(error, RevisionNotFoundError):
        return f"{repo_id!r} has no revision {revision or 'main'!r}"
    if isinstance(error, HFValidationError):
        return f"{repo_id!r} is no Hub id; one looks like user/name"
    if isinstance(error, HfHubHTTPError):
        return _explain_status(error, repo_id)
    if isinstance(error, OSError) and error.errno in FULL:
        return f"no room on the disk for {repo_id!r} ({error.strerror}); what came so far is not used"
    if isinstance(error, OSError) and error.errno is not None and error.filename is not None:
        return (
            f"{as_text(error.filename)} cannot be written or read ({error.strerror}); choose another place with HF_HOME"
        )
    return f"the transfer of {repo_id!r} broke off ({type(error).__name__}: {printable(error, 200)}); run it again"


def _explain_status(error: HfHubHTTPError, repo_id: str) -> str:
    status = error.response.status_code
    said = f" ({printable(error.server_message, 200)})" if error.server_message else ""
    if status == 401:
        return f"the Hub does not know this token{said}; log in with `hf auth login` or set HF_TOKEN"
    if status == 403:
        return f"this token may not do that to {repo_id!r}{said}; use one with the right to write"
    if status == 412:
        return f"somebody else changed {repo_id!r} meanwhile, nothing was published; run it again"
    if status == 429 or status >= 500:
        return f"the Hub cannot answer now, it says {status}; nothing was published, run it again later"
    return f"the Hub refused, it says {status}{said}"


def no_folder(repo_id: str) -> str:
    """A run folder's name that is mistyped is read as a repository's: say that there is none here, but one like it."""
    if Path(repo_id).is_dir():
        return ""
    like = f"; did you mean {nearest!r}?" if (nearest := nearest_folder(repo_id)) else ""
    return f" (and no folder of that name here{like})"


def nearest_folder(name: str) -> str | None:
    """The folder that is named most like ``name`` in the place that it names, None if there is none like it."""
    place = Path(name).parent
    try:
        with os.scandir(place) as found:
            folders = [str(place / entry.name) for entry in itertools.islice(found, MOST_NEIGHBOURS) if entry.is_dir()]
    except OSError:
        return None
    return next(iter(difflib.get_close_matches(name, folders, n=1, cutoff=0.8)), None)


def at(revision: str | None) -> str:
    return f" at {revision!r}" if revision else ""
