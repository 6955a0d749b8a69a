"""What is in a repository: trees, paths, commits, branches and tags."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

from .blobs import pointer
from .hub import Hub
from .routing import Routes
from .store import MAIN, Commit, File, Repo
from .wire import HubError, Request, Response, answer

routes = Routes()
Row = dict[str, Any]


@routes.add("GET", "/api/{kind}/{repo}/tree/{revision}(?:/{path})?")
def tree(hub: Hub, request: Request, kind: str, repo: str, revision: str, path: str = "") -> Response:
    repository = hub.readable(request, kind, repo)
    commit = hub.commit(repository, revision)
    prefix = f"{path}/" if path else ""
    rows = [row for row in all_rows(commit.tree) if row["path"].startswith(prefix)]
    if path and not rows:
        raise HubError(404, f"{path} does not exist on {revision}", "EntryNotFound", X_Repo_Commit=commit.oid)
    if not request.flag("recursive"):
        rows = [row for row in rows if "/" not in row["path"].removeprefix(prefix)]
    if request.flag("expand"):
        rows = [with_last_commit(hub, repository, commit, row) for row in rows]
    return paged(hub, request, rows)


@routes.add("POST", "/api/{kind}/{repo}/paths-info/{revision}")
def paths_info(hub: Hub, request: Request, kind: str, repo: str, revision: str) -> Response:
    form = request.form()
    repository = hub.readable(request, kind, repo)
    commit = hub.commit(repository, revision)
    wanted = {path.strip("/") for path in form.get("paths", [])}
    rows = [row for row in all_rows(commit.tree) if row["path"] in wanted]
    if form.get("expand") == ["true"]:
        rows = [with_last_commit(hub, repository, commit, row) for row in rows]
    return answer(rows)


@routes.add("GET", "/api/{kind}/{repo}/commits/{revision}")
def commits(hub: Hub, request: Request, kind: str, repo: str, revision: str) -> Response:
    repository = hub.readable(request, kind, repo)
    history = hub.store.history(repository, hub.commit(repository, revision))
    return paged(
        hub,
        request,
        [
            {
                "id": commit.oid,
                "title": commit.title,
                "message": commit.message,
                "date": commit.date,
                "authors": [{"user": commit.author}],
            }
            for commit in history
        ],
    )


@routes.add("GET", "/api/{kind}/{repo}/refs")
def refs(hub: Hub, request: Request, kind: str, repo: str) -> Response:
    repository = hub.readable(request, kind, repo)

    def below(prefix: str) -> list[Row]:
        return [
            {"name": ref.removeprefix(prefix), "ref": ref, "targetCommit": oid}
            for ref, oid in repository.refs.items()
            if ref.startswith(prefix)
        ]

    told = {"branches": below("refs/heads/"), "tags": below("refs/tags/"), "converts": []}
    if request.flag("include_prs"):
        told["pullRequests"] = below("refs/pr/")
    return answer(told)


@routes.add("POST", "/api/{kind}/{repo}/tag/{revision}")
def create_tag(hub: Hub, request: Request, kind: str, repo: str, revision: str) -> Response:
    return create_ref(hub, request, kind, repo, f"refs/tags/{request.json()['tag']}", revision)


@routes.add("POST", "/api/{kind}/{repo}/branch/{name}")
def create_branch(hub: Hub, request: Request, kind: str, repo: str, name: str) -> Response:
    revision = request.json().get("startingPoint", "main")
    return create_ref(hub, request, kind, repo, f"refs/heads/{name}", revision)


@routes.add("DELETE", "/api/{kind}/{repo}/tag/{name}")
def delete_tag(hub: Hub, request: Request, kind: str, repo: str, name: str) -> Response:
    return delete_ref(hub, request, kind, repo, f"refs/tags/{name}")


@routes.add("DELETE", "/api/{kind}/{repo}/branch/{name}")
def delete_branch(hub: Hub, request: Request, kind: str, repo: str, name: str) -> Response:
    return delete_ref(hub, request, kind, repo, f"refs/heads/{name}")


def create_ref(hub: Hub, request: Request, kind: str, repo: str, ref: str, revision: str) -> Response:
    with hub.store.lock:
        repository = hub.writable(request, kind, repo)
        if ref in repository.refs:
            raise HubError(409, f"Reference already exists: {ref}")
        repository.refs[ref] = hub.commit(repository, revision).oid
        hub.store.save(repository)
    return answer({})


def delete_ref(hub: Hub, request: Request, kind: str, repo: str, ref: str) -> Response:
    with hub.store.lock:
        repository = hub.writable(request, kind, repo)
        if ref == MAIN:
            raise HubError(403, "The main branch cannot be deleted.")
        if repository.refs.pop(ref, None) is None:
            raise HubError(404, f"Invalid rev id: {ref}", "RevisionNotFound")
        hub.store.save(repository)
    return answer({})


def all_rows(files: Mapping[str, File]) -> list[Row]:
    """A row for each file and each folder, in the order of their paths."""
    rows = {path: file_row(path, file) for path, file in files.items()}
    inside: dict[str, list[str]] = {}
    for path, file in sorted(files.items()):
        parts = path.split("/")
        for depth in range(1, len(parts)):
            inside.setdefault("/".join(parts[:depth]), []).append(f"{path} {file.oid}")
    for folder, lines in inside.items():
        oid = hashlib.sha1("\n".join(lines).encode()).hexdigest()
        rows[folder] = {"type": "directory", "path": folder, "size": 0, "oid": oid}
    return [rows[path] for path in sorted(rows)]


def file_row(path: str, file: File) -> Row:
    row: Row = {"type": "file", "path": path, "size": file.size, "oid": file.oid}
    if file.lfs:
        size = len(pointer(file.sha256, file.size))
        row["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": size}
    return row


def with_last_commit(hub: Hub, repo: Repo, commit: Commit, row: Row) -> Row:
    """`row` with the commit that last changed it."""
    last = commit
    for older in hub.store.history(repo, commit):
        if row not in all_rows(older.tree):
            break
        last = older
    return {**row, "lastCommit": {"id": last.oid, "title": last.title, "date": last.date}}


def paged(hub: Hub, request: Request, rows: Iterable[Row]) -> Response:
    """One page of `rows`, with a link to the next."""
    everything = list(rows)
    start = int(request.query.get("cursor", ["0"])[0])
    stop = start + hub.settings.page_size
    headers = {}
    if stop < len(everything):
        query = urlencode({**request.query, "cursor": [str(stop)]}, doseq=True)
        headers["Link"] = f'<{hub.endpoint}{request.path}?{query}>; rel="next"'
    return answer(everything[start:stop], headers=headers)
