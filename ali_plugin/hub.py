"""Models from the Hugging Face Hub: fetched by the real client, checked against their digests, never trusted."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub import get_token, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from ali_plugin.errors import ALIError, FolderError, HubError, OptionError
from ali_plugin.model_folder import FILES, files_of, read_config, required
from ali_plugin.support import atomic
from ali_plugin.support.strict_json import short
from ali_plugin.version import __version__

LIBRARY = "ali-plugin"  # how the client introduces itself to the Hub
REPO_ID = re.compile(r"(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(@(?P<revision>[\w./-]+))?")
TOKEN = re.compile(r"hf_[A-Za-z0-9_]{4,}")


def locate(source: str | Path, *, revision: str | None = None, **options: Any) -> Path:
    """The folder of a model: ``source`` itself, or its copy in the cache where it is a Hub id.

    Args:
        source: a folder, ``user/name``, or ``user/name@revision``. A folder that exists is taken first.
        options: of ``fetch``.

    Raises:
        HubError: see ``fetch``.
    """
    if isinstance(source, Path) or Path(source).is_dir() or not REPO_ID.fullmatch(source):
        return Path(source)
    return fetch(source, revision=revision, **options)


def split_id(source: str, revision: str | None = None) -> tuple[str, str | None]:
    """The repository and the revision of ``user/name`` or ``user/name@revision``.

    Raises:
        HubError: it is no such thing.
        OptionError: another revision is given beside it.
    """
    if (match := REPO_ID.fullmatch(source)) is None:
        raise HubError(f"{short(repr(source))} is no Hub id; one looks like user/name")
    if revision and match["revision"]:
        raise OptionError(f"{source!r} names a revision already, and {revision!r} is another")
    return match["repo"], revision or match["revision"]


def fetch(
    repo_id: str,
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    force_download: bool = False,
    files: Collection[str] | None = None,
) -> Path:
    """Download a model folder's own files into the client's cache, and nothing else of the repository.

    Every file is compared with the digest that the Hub gave for it: one that was damaged on the way, or in
    the cache, is removed and fetched again.

    Args:
        files: those that are wanted, where they are there; None for a whole model, which has to be complete.

    Raises:
        HubError: no such repository or revision, no right to it, no connection, a full disk, a damaged file,
            or a repository that is no model of this library.
    """
    repo_id, revision = split_id(repo_id, revision)
    damaged: list[Path] = []
    for force in (force_download, False):
        with talking(repo_id, token, revision):
            folder = Path(
                snapshot_download(
                    repo_id,
                    allow_patterns=list(files or FILES),
                    local_files_only=local_files_only,
                    force_download=force,
                    revision=revision,
                    token=token,
                    cache_dir=cache_dir,
                    library_name=LIBRARY,
                    library_version=__version__,
                )
            )
        damaged = [path for path in (folder / name for name in files or FILES) if path.exists() and not _is_whole(path)]
        for path in damaged:
            path.resolve().unlink(missing_ok=True)
            path.unlink(missing_ok=True)
        if not damaged or local_files_only:
            break
    if damaged:
        names = ", ".join(path.name for path in damaged)
        raise HubError(f"{names} of {repo_id} came damaged and is removed from the cache; run it again, online")
    for name in required(folder) if files is None else ():
        if not (folder / name).is_file():
            raise HubError(f"{repo_id!r} has no {name}{_at(revision)}: it is no model of this library")
    return folder


def pull(repo_id: str, out: Path, *, revision: str | None = None, token: str | bool | None = None) -> list[str]:
    """Download a model folder to ``out``, complete or not at all, and return the names of its files.

    Raises:
        FolderError: ``out`` is in use, or cannot be written.
        HubError: see ``fetch``.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FolderError(f"{str(out)!r} is in use; name a new folder with --out")
    folder = fetch(repo_id, revision=revision, token=token)
    names = files_of(folder, read_config(folder))
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
        try:
            for name in names:
                (temporary / name).parent.mkdir(exist_ok=True)
                shutil.copyfile(folder / name, temporary / name)
                atomic.sync(temporary / name)
            temporary.chmod(0o755)
            os.replace(temporary, out)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise FolderError(f"cannot write {out}: {error.strerror or error}") from error
    return names


@contextmanager
def talking(repo_id: str, token: str | bool | None = None, revision: str | None = None) -> Iterator[None]:
    """Turn whatever the client raises into one line of a HubError, without any token."""
    if isinstance(token, str) and not re.fullmatch("[!-~]+", token):  # the HTTP library would quote it
        raise HubError("the token is empty or holds a blank, a line break or another character that no token has")
    try:
        yield
    except ALIError:
        raise
    except Exception as error:  # the client's own, its HTTP library's, and the system's
        text = _explain(error, repo_id, revision)
        secrets = [secret for secret in (token, get_token()) if isinstance(secret, str)]
        for secret in secrets:
            text = text.replace(secret, "(token)")
        leaks = any(secret in str(link) for link in _chain(error) for secret in secrets)
        raise HubError(TOKEN.sub("(token)", text)) from (None if leaks else error)  # a traceback shows the causes


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _explain(error: BaseException, repo_id: str, revision: str | None) -> str:
    if isinstance(error, LocalEntryNotFoundError):
        if isinstance(error.__cause__, Exception) and not isinstance(error.__cause__, OfflineModeIsEnabled):
            why = _explain(error.__cause__, repo_id, revision)
            return f"{why}; nor is it complete in the cache{_no_folder(repo_id)}"
        return f"{repo_id!r}{_at(revision)} is not complete in the cache{_no_folder(repo_id)}, and the Hub is not asked"
    if isinstance(error, GatedRepoError):
        return f"access to {repo_id!r} is restricted: ask for it on its page, then log in with `hf auth login`"
    if isinstance(error, RepositoryNotFoundError):
        return (
            f"there is no model {repo_id!r} on the Hub, or it is private{_no_folder(repo_id)}; check the name, or log "
            "in with `hf auth login` or HF_TOKEN"
        )
    if isinstance(error, RevisionNotFoundError):
        return f"{repo_id!r} has no revision {revision or 'main'!r}"
    if isinstance(error, HFValidationError):
        return f"{repo_id!r} is no Hub id; one looks like user/name"
    if isinstance(error, HfHubHTTPError):
        return _explain_status(error, repo_id)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"no room on the disk for {repo_id!r} ({error.strerror}); what came so far is not used"
    return f"the transfer of {repo_id!r} broke off ({type(error).__name__}: {_line(error)}); run it again"


def _no_folder(repo_id: str) -> str:
    """A run folder's name that is mistyped is read as a repository's: say that no such folder is there either."""
    return "" if Path(repo_id).is_dir() else " (and no folder of that name here)"


def _explain_status(error: HfHubHTTPError, repo_id: str) -> str:
    status = error.response.status_code
    said = f" ({short(error.server_message, 200)})" if error.server_message else ""
    if status == 401:
        return f"the Hub does not know this token{said}; log in with `hf auth login` or set HF_TOKEN"
    if status == 403:
        return f"this token may not do that to {repo_id!r}{said}; use one with the right to write"
    if status == 412:
        return f"somebody else changed {repo_id!r} meanwhile, nothing was published; run it again"
    if status == 429 or status >= 500:
        return f"the Hub cannot answer now, it says {status}; nothing was published, run it again later"
    return f"the Hub refused, it says {status}{said}"


def _line(error: BaseException) -> str:
    return short(" ".join(str(error).split()), 200)


def _at(revision: str | None) -> str:
    return f" at {revision!r}" if revision else ""


def _is_whole(path: Path) -> bool:
    """Whether a cached file has the digest by which the cache calls it: SHA-256, or git's SHA-1 of small files.

    Where the file system has no links, the cache keeps no digests, and nothing can be compared.
    """
    blob = path.resolve()
    if re.fullmatch("[0-9a-f]{64}", blob.name):
        digest = hashlib.sha256()
    elif re.fullmatch("[0-9a-f]{40}", blob.name):
        digest = hashlib.sha1(b"blob %d\0" % blob.stat().st_size, usedforsecurity=False)
    else:
        return True
    with blob.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest() == blob.name
