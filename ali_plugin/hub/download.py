"""Models from the Hugging Face Hub: fetched by the real client, checked against their digests, never trusted."""

from __future__ import annotations

import re
import shutil
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, constants, hf_hub_download, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RevisionNotFoundError
from huggingface_hub.hf_api import ModelInfo

from ali_plugin.errors import FolderError, HubError, OptionError
from ali_plugin.folder import released
from ali_plugin.folder.model_folder import FILES, files_of, read_config, required
from ali_plugin.hub.errors import at, talking
from ali_plugin.hub.guard import COMMIT, SILENCE, Unanswered, transferring
from ali_plugin.hub.records import Records
from ali_plugin.hub.transfer import DIGEST, Damaged, File
from ali_plugin.support import atomic
from ali_plugin.support.strict_json import MAX_BYTES, short
from ali_plugin.version import __version__

LIBRARY = "ali-plugin"  # how the client introduces itself to the Hub
REPO_ID = re.compile(r"(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(@(?P<revision>[\w./-]+))?")
REVISION = re.compile(r"(?=.{1,250}\Z)\w[\w+=#@.-]*(/\w[\w+=#@.-]*)*", re.ASCII)  # of git's, those that are no paths
LARGEST = {".safetensors": 1 << 40, ".png": 1 << 26}
"""Bytes of the largest file of a kind; of all others, which are small texts, ``MAX_BYTES``."""
AT_ONCE = 8  # files that are fetched side by side


@dataclass(frozen=True)
class Cache:
    """Where the client keeps a repository, and how it gets there."""

    repo_id: str
    token: str | bool | None
    cache_dir: Path

    @property
    def folder(self) -> Path:
        return self.cache_dir / f"models--{self.repo_id.replace('/', '--')}"

    def snapshot(self, commit: str) -> Path:
        return self.folder / "snapshots" / commit


def locate(source: str | Path, *, revision: str | None = None, **options: Any) -> Path:
    """The folder of a model: ``source`` itself, else a released one, else its copy in the cache from the Hub.

    Args:
        source: a folder, the name of a released model, ``user/name``, or ``user/name@revision``. A folder that exists
            is taken first.
        options: of ``fetch``.

    Raises:
        FolderError: it is none of these, or a released model is damaged.
        HubError, OptionError: see ``elsewhere``.
    """
    if isinstance(source, Path) or Path(source).is_dir():
        return Path(source)
    if source in (known := released.models()) or REPO_ID.fullmatch(source):
        return elsewhere(source, revision=revision, **options)
    raise FolderError(
        f"{short(repr(source))} is no folder; give a run folder, a model folder, user/name on the Hub, or a released "
        f"model ({', '.join(known)})"
    )


def elsewhere(source: str, *, revision: str | None = None, **options: Any) -> Path:
    """The folder of a model that is no folder of the person's: a released one, else one on the Hub.

    Raises:
        FolderError: a file of the released model is damaged.
        OptionError: a revision of a released model, which has none.
        HubError: see ``fetch``.
    """
    model = released.models().get(source)
    if model is None:
        return fetch(source, revision=revision, **options)
    if revision is not None:
        raise OptionError(f"{source!r} is released with ali-plugin and has no revision {revision!r}; leave it out")
    return released.folder(model)


def split_id(source: str, revision: str | None = None) -> tuple[str, str | None]:
    """The repository and the revision of ``user/name`` or ``user/name@revision``.

    Raises:
        HubError: it is no such thing.
        OptionError: another revision is given beside it.
    """
    if (match := REPO_ID.fullmatch(source)) is None or ".." in match["repo"]:
        raise HubError(f"{short(repr(source))} is no Hub id; one looks like user/name")
    if revision and match["revision"]:
        raise OptionError(f"{source!r} names a revision already, and {revision!r} is another")
    found = revision or match["revision"]
    # The client makes a path of it. A lock is what git itself refuses at a name's end.
    if found and (not REVISION.fullmatch(found) or ".." in found or found.endswith((".", ".lock"))):
        raise HubError(f"{short(repr(found))} is no revision; give a branch, a tag or a commit")
    return match["repo"], found


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

    Every file is compared with the size and the digest of the Hub's listing on its way, before it enters the cache;
    one that was damaged in the cache is removed and fetched again.

    Args:
        files: those that are wanted, where they are there; None for a whole model, which has to be complete.

    Raises:
        HubError: no such repository or revision, no right to it, no connection, a full disk, a damaged file, an
            answer that no Hub gives, or a repository that is no model of this library.
    """
    repo_id, revision = split_id(repo_id, revision)
    cache = Cache(repo_id, token, Path(cache_dir or constants.HF_HUB_CACHE).expanduser().absolute())
    wanted = FILES if files is None else files
    with talking(repo_id, token, revision):
        try:
            listing = None if local_files_only else _listing(cache, revision, wanted)
        except (HubError, RevisionNotFoundError) as error:
            if not isinstance(error, Unanswered):
                raise
            folder = _cached(cache, revision, wanted, error)
        except Exception as error:  # of the client, of its HTTP library: no answer
            folder = _cached(cache, revision, wanted, error)
        else:
            if listing is None:
                folder = _cached(cache, revision, wanted)
            else:
                folder = _download(cache, listing, force_download)
                if revision != listing.commit:  # so that it is found without the Hub
                    _remember(cache, revision or constants.DEFAULT_REVISION, listing.commit)
    for name in required(folder) if files is None else ():
        if not (folder / name).is_file():
            raise HubError(f"{repo_id!r} has no {name}{at(revision)}: it is no model of this library")
    return folder


@dataclass(frozen=True)
class Listing:
    """What a repository holds at a commit, of the files that are wanted."""

    commit: str
    files: Mapping[str, File]


def _listing(cache: Cache, revision: str | None, wanted: Collection[str]) -> Listing:
    api = HfApi(token=cache.token, library_name=LIBRARY, library_version=__version__)
    info = api.model_info(cache.repo_id, revision=revision, files_metadata=True, timeout=SILENCE)
    return listing_of(info, wanted, revision)


def listing_of(info: ModelInfo, wanted: Collection[str], revision: str | None = None) -> Listing:
    """Check what the Hub says of a repository's files.

    Raises:
        HubError: it names no commit, another one than asked for, or a file without a size and a digest, or one
            that is larger than any of its kind.
    """
    commit = info.sha
    if not isinstance(commit, str) or not COMMIT.fullmatch(commit):
        raise HubError(f"the Hub names a commit {short(repr(commit))}, which is none")
    if revision and COMMIT.fullmatch(revision) and commit != revision:
        raise HubError(f"the Hub answers with commit {commit} where {revision} was asked for")
    rows = [row for row in info.siblings or () if row.rfilename in wanted]
    return Listing(commit, {row.rfilename: _file(row, commit) for row in rows})


def download(repo_id: str, info: ModelInfo, names: Collection[str], token: str | bool | None = None) -> Path:
    """The folder with those of ``names`` that a repository holds at the commit of ``info``; see ``fetch``."""
    cache = Cache(repo_id, token, Path(constants.HF_HUB_CACHE).expanduser().absolute())
    return _download(cache, listing_of(info, names), force=False)


def _file(row: Any, commit: str) -> File:
    name, size = row.rfilename, row.lfs.size if row.lfs else row.size
    digest = row.lfs.sha256 if row.lfs else row.blob_id
    if not isinstance(size, int) or size < 0 or not isinstance(digest, str) or not DIGEST.fullmatch(digest):
        raise HubError(f"the Hub's listing gives no size and digest of {name}: it cannot be checked and is not taken")
    most = LARGEST.get(Path(name).suffix, MAX_BYTES)
    if size > most:
        raise HubError(f"{name} has {size} bytes, none of a model has more than {most}; it is not fetched")
    return File(name, commit, size, digest)


def _download(cache: Cache, listing: Listing, force: bool) -> Path:
    """The snapshot's folder, in which every wanted file is whole."""
    folder = cache.snapshot(listing.commit)
    records = Records(folder)
    missing = []
    for file in listing.files.values():
        if not force and records.is_whole(file):
            continue
        if not force:
            _remove(folder / file.name)
        missing.append(file)
    _refuse_without_room(cache, sum(file.size for file in missing))
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        tasks = [pool.submit(copy_context().run, _get, cache, file, force) for file in missing]
        for task in tasks:
            task.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    folder.mkdir(parents=True, exist_ok=True)  # of a repository that holds nothing for us
    records.keep(listing.files.values())
    return folder


def _get(cache: Cache, file: File, force: bool) -> None:
    """Fetch a file; once more where it came damaged or lay damaged in the cache."""
    path = cache.snapshot(file.commit) / file.name
    for _ in range(2):
        with transferring(file) as transfer:
            try:
                hf_hub_download(
                    cache.repo_id,
                    file.name,
                    revision=file.commit,
                    token=cache.token,
                    cache_dir=cache.cache_dir,
                    force_download=force,
                    library_name=LIBRARY,
                    library_version=__version__,
                )
            except Damaged:
                continue
        # Not every byte comes by here: another snapshot's file is linked, and Xet has a transport of its own.
        if (transfer.complete and path.stat().st_size == file.size) or Records(path.parent).is_whole(file):
            return
        _remove(path)
    raise Damaged(f"{file.name} of {cache.repo_id} came damaged and is removed from the cache; run it again")


def _cached(cache: Cache, revision: str | None, wanted: Collection[str], why: Exception | None = None) -> Path:
    """The snapshot in the cache, each of whose files has the digest that the cache or our record calls it by."""
    try:
        folder = Path(
            snapshot_download(
                cache.repo_id,
                revision=revision,
                cache_dir=cache.cache_dir,
                allow_patterns=list(wanted),
                local_files_only=True,
            )
        )
    except LocalEntryNotFoundError as error:
        if isinstance(why, Unanswered) or (isinstance(why, HfHubHTTPError) and why.response.status_code < 500):
            raise why from None
        raise error from why
    if not COMMIT.fullmatch(folder.name) or not folder.parent.samefile(cache.snapshot(folder.name).parent):
        raise HubError(f"the cache calls {folder.name!r} a commit, which it is not; remove {cache.folder}")
    records = Records(folder)
    files = [_named(folder, name, records) for name in wanted if (folder / name).exists()]
    damaged = [file.name for file in files if not records.is_whole(file)]
    for name in damaged:
        _remove(folder / name)
    if damaged:
        raise HubError(f"{', '.join(damaged)} of {cache.repo_id} was damaged and is removed from the cache; run it "
                       "again, online")  # fmt: skip
    records.keep(files)
    return folder


def _named(folder: Path, name: str, records: Records) -> File:
    """A file of the cache as our record, or else its own name there, says that it is."""
    blob = (folder / name).resolve()
    digest = records.digest(name) or (blob.name if DIGEST.fullmatch(blob.name) else None)
    if digest is None:
        raise HubError(f"nothing tells what {blob} should hold; fetch the model once with the Hub at hand")
    return File(name, folder.name, blob.stat().st_size, digest)


def _remember(cache: Cache, revision: str, commit: str) -> None:
    """Which commit a branch or a tag was, where the client looks for it; a cache that cannot be written does."""
    place = cache.folder / "refs" / revision
    with suppress(OSError, FolderError):
        if not place.is_file() or place.read_bytes() != commit.encode():
            atomic.write(place, commit, lasting=False)  # no more than the files that it leads to


def _remove(path: Path) -> None:
    path.resolve().unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def _refuse_without_room(cache: Cache, size: int) -> None:
    there = next(place for place in (cache.cache_dir, *cache.cache_dir.parents) if place.exists())
    if size > (free := shutil.disk_usage(there).free):
        raise HubError(f"no room on the disk for {cache.repo_id!r}: it has {size} bytes, {there} has {free} free")


def pull(source: str, out: Path, *, revision: str | None = None, token: str | bool | None = None) -> list[str]:
    """Copy a model of the Hub, or a released one, to ``out``, complete or not at all; return the names of its files.

    Raises:
        FolderError: ``out`` is in use, or cannot be written.
        HubError, OptionError: see ``elsewhere``.
    """
    atomic.refuse_used(out)
    folder = elsewhere(source, revision=revision, token=token)
    names = files_of(folder, read_config(folder))
    with atomic.making(out) as temporary:
        for name in names:
            (temporary / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(folder / name, temporary / name)
            atomic.sync(temporary / name)
    return names
