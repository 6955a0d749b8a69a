"""Commits: which files go through LFS, and one request that changes many files at once."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

from . import card
from .hub import Hub
from .routing import Routes
from .store import Commit, File, Repo
from .wire import HubError, Request, Response, answer

routes = Routes()
LARGEST_REGULAR_FILE = 10 << 20
Tree = dict[str, File]
Value = dict[str, Any]


@routes.add("POST", "/api/{kind}/{repo}/preupload/{revision}")
def preupload(hub: Hub, request: Request, kind: str, repo: str, revision: str) -> Response:
    repository = hub.writable(request, kind, repo, proposal=request.flag("create_pr"))
    commit = hub.commit(repository, revision)
    patterns = lfs_patterns(hub, commit)
    files = []
    for wanted in request.json()["files"]:
        path, there = wanted["path"], commit.tree.get(wanted["path"])
        large = wanted["size"] > LARGEST_REGULAR_FILE
        lfs = large or any(fnmatchcase(path.rsplit("/")[-1], pattern) for pattern in patterns)
        row = {"path": path, "uploadMode": "lfs" if lfs else "regular", "shouldIgnore": False}
        if there is not None:
            # By this the client sees what it need not send; for LFS it is the content's digest.
            row["oid"] = there.sha256 if there.lfs else there.oid
        files.append(row)
    return answer({"files": files})


@routes.add("POST", "/api/{kind}/{repo}/commit/{revision}")
def commit(hub: Hub, request: Request, kind: str, repo: str, revision: str) -> Response:
    proposal = request.flag("create_pr")
    hub.writable(request, kind, repo, proposal)  # a refusal should not wait for the files
    header, operations = commit_lines(request)
    with hub.store.lock:
        repository = hub.writable(request, kind, repo, proposal)
        parent = parent_commit(hub, repository, revision, header.get("parentCommit"), proposal)
        ref = next_pull_request(repository) if proposal else branch(repository, revision)
        # As on the Hub, a commit that changes nothing is a commit: not to send one is the client's affair.
        tree = changed(hub, dict(parent.tree), operations)
        author = hub.writer(request).user
        new = hub.store.commit(repository, ref, parent, tree, author, header["summary"], header.get("description", ""))
    page = hub.endpoint + repository.page
    told = {"success": True, "commitOid": new.oid, "commitUrl": f"{page}/commit/{new.oid}", "hookOutput": ""}
    if proposal:
        told["pullRequestUrl"] = f"{page}/discussions/{ref.removeprefix('refs/pr/')}"
    return answer(told)


def commit_lines(request: Request) -> tuple[Value, list[Value]]:
    """The header and the operations of a commit, which comes as one JSON object a line."""
    try:
        lines = [json.loads(line) for line in request.content().split(b"\n") if line.strip()]
    except ValueError as error:
        raise HubError(400, f"A line of the commit is not JSON: {error}") from error
    header: Value = next((line["value"] for line in lines if line["key"] == "header"), {})
    if not header.get("summary"):
        raise HubError(400, "A commit needs a summary.")
    return header, [line for line in lines if line["key"] != "header"]


def lfs_patterns(hub: Hub, commit: Commit) -> list[str]:
    """The patterns that the repository's own .gitattributes sends through LFS."""
    if ".gitattributes" not in commit.tree:
        return []
    text = hub.store.blobs.read(commit.tree[".gitattributes"].sha256).decode()
    return [line.split()[0] for line in text.splitlines() if "filter=lfs" in line.split()[1:]]


def parent_commit(hub: Hub, repo: Repo, revision: str, expected: str | None, proposal: bool) -> Commit:
    """What the new commit builds on. A pull request may start anywhere, a branch only grows at its tip."""
    head = hub.commit(repo, revision)
    if expected is None:
        return head
    if proposal:
        return hub.commit(repo, expected)
    if not head.oid.startswith(expected):
        raise HubError(412, "A commit has happened since. Please refresh and try again.")
    return head


def next_pull_request(repo: Repo) -> str:
    return f"refs/pr/{sum(ref.startswith('refs/pr/') for ref in repo.refs) + 1}"


def branch(repo: Repo, revision: str) -> str:
    """The ref that a commit to `revision` moves."""
    for ref in (revision, f"refs/heads/{revision}"):
        if ref in repo.refs and not ref.startswith("refs/tags/"):
            return ref
    raise HubError(400, f"Cannot commit to {revision}: it is not a branch.")


def changed(hub: Hub, tree: Tree, operations: list[Value]) -> Tree:
    """`tree` after `operations`."""
    for operation in operations:
        if operation["key"] not in OPERATIONS:
            raise HubError(400, f"Unknown operation {operation['key']}")
        OPERATIONS[operation["key"]](hub, tree, operation["value"])
    return tree


def put_file(hub: Hub, tree: Tree, value: Value) -> None:
    content = base64.b64decode(value["content"], validate=True)
    if len(content) > LARGEST_REGULAR_FILE:
        raise HubError(400, f"{value['path']} is too large for a regular file: it must go through LFS.")
    if value["path"] == "README.md":
        check_card(content)
    tree[checked(value["path"])] = hub.store.add_file(content)


def check_card(readme: bytes) -> None:
    try:
        found = card.problems(card.metadata(readme.decode()))
    except ValueError as error:  # no YAML, or no text at all
        found = [str(error)]
    if found:
        raise HubError(400, "Invalid metadata in README.md: " + "; ".join(found))


def put_lfs_file(hub: Hub, tree: Tree, value: Value) -> None:
    sha256 = value["oid"]
    if sha256 not in hub.store.blobs:
        raise HubError(400, f"{value['path']} points to an LFS object that was never uploaded: {sha256}")
    size = hub.store.blobs.size(sha256)
    if value.get("size", size) != size:  # the client leaves the size out when it copies a file
        raise HubError(400, f"{value['path']} has {size} bytes, not {value['size']}")
    tree[checked(value["path"])] = hub.store.lfs_file(sha256, size)


def delete_file(hub: Hub, tree: Tree, value: Value) -> None:
    if tree.pop(value["path"], None) is None:
        raise HubError(404, f"A file with this name doesn't exist: {value['path']}", "EntryNotFound")


def delete_folder(hub: Hub, tree: Tree, value: Value) -> None:
    folder = value["path"].rstrip("/") + "/"
    doomed = [path for path in tree if path.startswith(folder)]
    if not doomed:
        raise HubError(404, f"A folder with this name doesn't exist: {value['path']}", "EntryNotFound")
    for path in doomed:
        del tree[path]


def checked(path: str) -> str:
    """`path`, unless it would leave the repository. Only the control endpoint writes such paths."""
    if any(part in ("", ".", "..", ".git") for part in path.split("/")) or "\\" in path:
        raise HubError(400, f"Invalid path in a commit: {path}")
    return path


OPERATIONS: dict[str, Callable[[Hub, Tree, Value], None]] = {
    "file": put_file,
    "lfsFile": put_lfs_file,
    "deletedFile": delete_file,
    "deletedFolder": delete_folder,
}
