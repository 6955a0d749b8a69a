"""What tests ask the client to do: functions for `Client`, in a module that imports little else.

Each makes its own `HfApi`, in the process it runs in, so that it follows that process's environment.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, ModelCard


def call(method: str, *args: Any, **kwargs: Any) -> Any:
    """Any method of the API."""
    return getattr(HfApi(), method)(*args, **kwargs)


def create(repo: str, private: bool = False, exist_ok: bool = False) -> str:
    """The new repository's URL."""
    return str(HfApi().create_repo(repo, private=private, exist_ok=exist_ok))


def upload(repo: str, folder: Path, **options: Any) -> str:
    """The commit that holds the folder."""
    return str(HfApi().upload_folder(repo_id=repo, folder_path=folder, **options).oid)


def put(repo: str, path: str, content: bytes, **options: Any) -> str:
    """The commit that holds one more file."""
    addition = CommitOperationAdd(path, content)
    return str(HfApi().create_commit(repo, [addition], commit_message=f"Add {path}", **options).oid)


def put_at_once(repo: str, paths: list[str]) -> None:
    """As many commits as there are paths, each from a thread of its own."""
    with ThreadPoolExecutor(len(paths)) as pool:
        list(pool.map(lambda path: put(repo, path, path.encode()), paths))


def propose(repo: str, path: str, content: bytes) -> tuple[str | None, str]:
    """The revision and the commit of a pull request with one file."""
    addition = CommitOperationAdd(path, content)
    info = HfApi().create_commit(repo, [addition], commit_message="Propose", create_pr=True)
    return info.pr_revision, info.oid


def delete(repo: str, path: str) -> str:
    """The commit without the file, or the folder if the path ends with a slash."""
    operation = CommitOperationDelete(path)
    return str(HfApi().create_commit(repo, [operation], commit_message="Delete").oid)


def snapshot(repo: str, revision: str | None = None, **options: Any) -> Path:
    """The folder that a whole repository is downloaded to."""
    return Path(HfApi().snapshot_download(repo, revision=revision, **options))


def download(repo: str, path: str, revision: str | None = None, **options: Any) -> bytes:
    """The content of one downloaded file."""
    return Path(HfApi().hf_hub_download(repo, path, revision=revision, **options)).read_bytes()


def files(repo: str) -> list[str]:
    return sorted(HfApi().list_repo_files(repo))


def commits(repo: str, revision: str = "main") -> list[str]:
    """Titles, newest first."""
    return [commit.title for commit in HfApi().list_repo_commits(repo, revision=revision)]


def refs(repo: str) -> dict[str, list[str]]:
    found = HfApi().list_repo_refs(repo, include_pull_requests=True)
    kinds = {"branches": found.branches, "tags": found.tags, "pull_requests": found.pull_requests or []}
    return {kind: sorted(ref.name for ref in found) for kind, found in kinds.items()}


def mismatches(repo: str) -> list[str]:
    """The cached files whose content is not what the Hub's tree says."""
    return [mismatch["path"] for mismatch in HfApi().verify_repo_checksums(repo).mismatches]


def push_card(repo: str, text: str) -> None:
    ModelCard(text).push_to_hub(repo)


def load_card(repo: str) -> dict[str, Any]:
    return dict(ModelCard.load(repo).data.to_dict())


def failure(function: Callable[..., Any], *args: Any, **kwargs: Any) -> list[str]:
    """The names of the classes of the exception that `function` raises; none if it returns.

    For exceptions of the client's HTTP library, which is another one in every major version.
    """
    try:
        function(*args, **kwargs)
    except Exception as error:
        return [kind.__name__ for kind in type(error).__mro__]
    return []
