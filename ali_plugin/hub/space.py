"""Publish files as a Space of the Hub, in one commit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

from ali_plugin.errors import HubError
from ali_plugin.hub.download import LIBRARY, split_id
from ali_plugin.hub.errors import address, talking
from ali_plugin.hub.guard import COMMIT, SILENCE
from ali_plugin.support.strict_json import short
from ali_plugin.version import __version__

MESSAGE = "Upload the demo of an ALI model"


@dataclass(frozen=True)
class PushedSpace:
    """What a push did.

    Attributes:
        url: of the Space, or of the pull request.
        changed: a commit was made; False where the Hub had all of it already.
        files: name -> size in bytes.
    """

    url: str
    commit: str
    changed: bool
    files: dict[str, int]


def plan(files: Mapping[str, Path | bytes], repo_id: str) -> dict[str, int]:
    """The sizes in bytes of what ``push_space`` would send, without a connection.

    Raises:
        HubError: ``repo_id`` is no Hub id.
    """
    if split_id(repo_id)[1]:
        raise HubError(f"{repo_id!r} names a revision; a Space runs what is on its main branch")
    return {name: len(file) if isinstance(file, bytes) else file.stat().st_size for name, file in files.items()}


def push_space(
    files: Mapping[str, Path | bytes],
    repo_id: str,
    *,
    private: bool | None = None,
    create_pr: bool = False,
    message: str = MESSAGE,
    token: str | bool | None = None,
) -> PushedSpace:
    """Make these the files of a Gradio Space: those of the same folders that are not among them go.

    Args:
        private: of a Space that does not exist yet.
        create_pr: propose the commit as a pull request, to anybody's Space.

    Raises:
        HubError: the Hub refuses or cannot be reached; nothing of the commit is there.
    """
    sizes = plan(files, repo_id)
    api = HfApi(token=token, library_name=LIBRARY, library_version=__version__)
    with talking(repo_id, token):
        if not create_pr:
            api.create_repo(repo_id, repo_type="space", space_sdk="gradio", private=private, exist_ok=True)
        info = api.space_info(repo_id, files_metadata=True, timeout=SILENCE)
        if not isinstance(info.sha, str) or not COMMIT.fullmatch(info.sha):
            raise HubError(f"the Hub names a commit {short(repr(info.sha))}, which is none; nothing was sent")
        if private and not info.private:
            raise HubError(f"{repo_id!r} exists and is public, nothing was sent; make it private in its settings first")
        folders = tuple({f"{name.partition('/')[0]}/" for name in files if "/" in name})
        there = [file.rfilename for file in info.siblings or ()]
        stale = [name for name in there if name.startswith(folders) and name not in files]
        made = api.create_commit(
            repo_id,
            [
                *(CommitOperationAdd(name, file) for name, file in files.items()),
                *(CommitOperationDelete(name) for name in stale),
            ],
            commit_message=message,
            repo_type="space",
            create_pr=create_pr,
            parent_commit=info.sha,
        )
        if not COMMIT.fullmatch(made.oid):
            raise HubError(f"the Hub names a commit {short(repr(made.oid))}, which is none; see what is on its page")
    url = made.pr_url or f"{api.endpoint}/spaces/{repo_id}"
    return PushedSpace(address(url), made.oid, made.oid != info.sha, sizes)
