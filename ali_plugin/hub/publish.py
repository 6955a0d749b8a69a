"""Publish a model folder: checked, with its card, in one commit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.hf_api import ModelInfo

from ali_plugin.errors import ALIError, HubError
from ali_plugin.folder.checked import Checked
from ali_plugin.folder.model_folder import CARD_NAME, FILES
from ali_plugin.hub import card
from ali_plugin.hub.download import LIBRARY, download, split_id
from ali_plugin.hub.errors import address, talking
from ali_plugin.hub.guard import COMMIT, SILENCE
from ali_plugin.support import atomic, locks
from ali_plugin.support.strict_json import read_text, short
from ali_plugin.version import __version__

MESSAGE = "Upload an ALI model"
REPORT_NAME = "ali-report.html"  # sent where it is asked for; a page, so nobody fetches it with the model
SENT = (*FILES, REPORT_NAME)


@dataclass(frozen=True)
class Plan:
    """What a push would send.

    Attributes:
        files: name -> size in bytes.
        left: what else lies in the folder and stays there.
    """

    files: dict[str, int]
    left: tuple[str, ...]


@dataclass(frozen=True)
class Pushed:
    """What a push did.

    Attributes:
        url: of the repository, its branch or the pull request; commit_url: of the commit.
        changed: a commit was made; False where the Hub had all of it already.
        unkept: why the folder's own card was not refreshed, "" where it was, or should not be.
    """

    url: str
    commit: str
    commit_url: str
    changed: bool
    files: dict[str, int]
    left: tuple[str, ...]
    unkept: str = ""


def plan(model: Checked, repo_id: str, report: str | None = None) -> Plan:
    """List what a push would send, without a connection; see ``push``.

    Raises:
        HubError: ``repo_id`` is no Hub id.
        CardError: the metadata of the present card cannot be read.
    """
    _refuse_revision(repo_id)
    made = _made(card.text(model, repo_id), report)
    return Plan(_sizes(model, made), _left(model))


def _refuse_revision(repo_id: str) -> None:
    if split_id(repo_id)[1]:
        raise HubError(f"{repo_id!r} names a revision; give a branch with --revision")


def _made(readme: str, report: str | None) -> dict[str, bytes]:
    """What is made for the push, in place of what lies in the folder."""
    made = {CARD_NAME: readme, REPORT_NAME: report}
    return {name: text.encode() for name, text in made.items() if text is not None}


def _sizes(model: Checked, made: Mapping[str, bytes]) -> dict[str, int]:
    """The files that go."""
    sizes = {**model.files, **{name: len(content) for name, content in made.items()}}
    return {name: sizes[name] for name in SENT if name in sizes}


def _left(model: Checked) -> tuple[str, ...]:
    """What else lies in the folder, folders with a slash."""
    parts = model.config.parts
    inside = [path for kind in parts if (model.path / kind).is_dir() for path in (model.path / kind).iterdir()]
    beside = [path for path in model.path.iterdir() if path.name not in parts]
    places = {str(path.relative_to(model.path)): path for path in (*beside, *inside)}
    known = {*model.files, CARD_NAME, *locks.FILES}
    return tuple(sorted(f"{name}/" if path.is_dir() else name for name, path in places.items() if name not in known))


def push(
    model: Checked,
    repo_id: str,
    *,
    private: bool | None = None,
    revision: str | None = None,
    create_pr: bool = False,
    message: str = MESSAGE,
    token: str | bool | None = None,
    keep_card: bool = True,
    report: str | None = None,
) -> Pushed:
    """Publish the model folder's own files in one commit; no commit if the Hub has them already.

    Args:
        private: of a repository that does not exist yet.
        revision: a branch, made if need be.
        create_pr: propose the commit as a pull request, to anybody's repository.
        keep_card: write the refreshed card into the folder as well, once it is published.
        report: an HTML page of the run, published beside the model; without it, that of an earlier push goes.

    Raises:
        HubError: the Hub refuses or cannot be reached; nothing of the commit is there.
        CardError: the metadata of the present card cannot be read.
    """
    split_id(repo_id, revision)  # which has to be a name, too
    _refuse_revision(repo_id)
    left = _left(model)
    api = HfApi(token=token, library_name=LIBRARY, library_version=__version__)
    with talking(repo_id, token, revision):
        info = _ready(api, repo_id, private, revision, create_pr)
        readme = card.text(model, repo_id, theirs=_their_card(repo_id, info, token))
        made_here = _made(readme, report)
        sizes = _sizes(model, made_here)
        sources = {name: made_here.get(name, model.path / name) for name in sizes}
        made = api.create_commit(
            repo_id,
            _operations(sources, info),
            commit_message=message,
            revision=revision,
            create_pr=create_pr,
            parent_commit=info.sha,
        )
        if not COMMIT.fullmatch(made.oid):
            raise HubError(f"the Hub names a commit {short(repr(made.oid))}, which is none; see what is on its page")
    page = address(f"{api.endpoint}/{repo_id}")
    proposed = address(made.pr_url) if made.pr_url else None
    url = proposed or (f"{page}/tree/{revision}" if revision else page)
    unkept = _keep(model.path / CARD_NAME, readme) if keep_card else ""
    return Pushed(url, made.oid, proposed or address(made.commit_url), made.oid != info.sha, sizes, left, unkept)


def _keep(path: Path, readme: str) -> str:
    """Write the card that is published; why not, where it cannot be written."""
    try:
        if not path.is_file() or path.read_bytes() != readme.encode():
            atomic.write(path, readme)
    except (OSError, ALIError) as error:
        return str(error)
    return ""


def _ready(api: HfApi, repo_id: str, private: bool | None, revision: str | None, create_pr: bool) -> ModelInfo:
    """The repository and branch, made where they are not there; what they hold now."""
    if not create_pr:
        api.create_repo(repo_id, private=private, exist_ok=True)
        if revision and not revision.startswith("refs/"):
            if any(tag.name == revision for tag in api.list_repo_refs(repo_id).tags):
                raise HubError(f"{revision!r} is a tag of {repo_id!r}, which does not move; push to a branch")
            api.create_branch(repo_id, branch=revision, exist_ok=True)
    info = api.model_info(repo_id, revision=revision, files_metadata=True, timeout=SILENCE)
    if not isinstance(info.sha, str) or not COMMIT.fullmatch(info.sha):
        raise HubError(f"the Hub names a commit {short(repr(info.sha))}, which is none; nothing was sent")
    if private and not info.private:
        raise HubError(f"{repo_id!r} exists and is public, nothing was sent; make it private in its settings first")
    return info


def _their_card(repo_id: str, info: ModelInfo, token: str | bool | None) -> str | None:
    """The card that is on the Hub, in which somebody may have written."""
    if not any(file.rfilename == CARD_NAME for file in info.siblings or ()):
        return None
    return read_text(download(repo_id, info, (CARD_NAME,), token) / CARD_NAME)


def _operations(
    sources: Mapping[str, Path | bytes], info: ModelInfo
) -> list[CommitOperationAdd | CommitOperationDelete]:
    """Add the folder's files; drop those of an earlier model that this one does not have."""
    there = {file.rfilename for file in info.siblings or ()}
    stale = [name for name in SENT if name in there and name not in sources]
    return [
        *(CommitOperationAdd(name, source) for name, source in sources.items()),
        *(CommitOperationDelete(name) for name in stale),
    ]
