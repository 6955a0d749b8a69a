"""Accounts and repositories: who am I, create, delete, settings, information."""

from __future__ import annotations

from typing import Any

from . import card
from .blobs import pointer
from .hub import Hub
from .routing import Routes
from .store import REPO_ID, Commit, File, Repo
from .wire import HubError, Request, Response, answer

routes = Routes()


@routes.add("GET", "/api/whoami-v2")
def whoami(hub: Hub, request: Request) -> Response:
    account = hub.account(request)
    if account is None:
        raise HubError(401, "Invalid username or password.")
    token = {"displayName": "tests", "role": account.role}
    auth = {"type": "access_token", "accessToken": token}
    return answer({"type": "user", "name": account.user, "fullname": account.user, "orgs": [], "auth": auth})


@routes.add("POST", "/api/repos/create")
def create(hub: Hub, request: Request) -> Response:
    account = hub.writer(request)
    wanted = request.json()
    kind, repo_id = named_repo(wanted, account.user)
    if not REPO_ID.fullmatch(repo_id):
        raise HubError(400, f"{repo_id} is not a valid repository id")
    if repo_id.split("/")[0] != account.user:
        raise HubError(403, f"You have no right to create a repository like {repo_id}.")
    with hub.store.lock:
        if repo := hub.store.find(kind, repo_id):
            message = f"You already created this repository: {repo_id}"
            return answer({"error": message, "url": hub.endpoint + repo.page}, 409)
        repo = hub.store.create(kind, repo_id, is_private(wanted))
    return answer({"url": hub.endpoint + repo.page, "name": repo_id, "id": repo_id})


@routes.add("DELETE", "/api/repos/delete")
def delete(hub: Hub, request: Request) -> Response:
    account = hub.writer(request)
    kind, repo_id = named_repo(request.json(), account.user)
    with hub.store.lock:
        hub.store.delete(hub.writable(request, kind, repo_id))
    return answer({})


@routes.add("PUT", "/api/{kind}/{repo}/settings")
def change_settings(hub: Hub, request: Request, kind: str, repo: str) -> Response:
    changes = request.json()
    with hub.store.lock:
        repository = hub.writable(request, kind, repo)
        if "private" in changes or "visibility" in changes:
            repository.private = is_private(changes)
        repository.gated = changes.get("gated", repository.gated)
        hub.store.save(repository)
    return answer({"private": repository.private, "gated": repository.gated})


@routes.add("GET", "/api/{kind}/{repo}/auth-check")
def check_read(hub: Hub, request: Request, kind: str, repo: str) -> Response:
    hub.downloadable(request, kind, repo)
    return answer({})


@routes.add("GET", "/api/{kind}/{repo}/auth-check/write")
def check_write(hub: Hub, request: Request, kind: str, repo: str) -> Response:
    hub.writable(request, kind, repo)
    return answer({})


@routes.add("GET", "/api/{kind}/{repo}(?:/revision/{revision})?")
def information(hub: Hub, request: Request, kind: str, repo: str, revision: str = "main") -> Response:
    repository = hub.readable(request, kind, repo)
    commit = hub.commit(repository, revision)
    everything = {**describe(repository, commit), **describe_card(hub, commit)}
    details = request.flag("blobs")
    everything["siblings"] = [sibling(path, file, details) for path, file in commit.tree.items()]
    if wanted := request.query.get("expand"):
        everything = {key: value for key, value in everything.items() if key in ("_id", "id", *wanted)}
    return answer(everything)


@routes.add("POST", "/api/validate-yaml")
def validate_card(hub: Hub, request: Request) -> Response:
    hub.account(request)
    try:
        data = card.metadata(request.json()["content"])
        errors, empty = card.problems(data), not data
    except card.CardError as error:
        errors, empty = [str(error)], False
    warnings = ["empty or missing yaml metadata in repo card"] if empty else []
    told = {"errors": errors, "warnings": warnings}
    messages = {key: [{"message": text} for text in texts] for key, texts in told.items()}
    return answer(messages, 400 if errors else 200)


def named_repo(wanted: dict[str, Any], user: str) -> tuple[str, str]:
    """The kind and id in a request that names a repository in parts."""
    kinds = {"model": "models", "dataset": "datasets", "space": "spaces"}
    kind = kinds.get(wanted.get("type") or "model")
    if kind is None:
        raise HubError(400, f"`type` (={wanted['type']}) must be one of {', '.join(kinds)}")
    return kind, f"{wanted.get('organization') or user}/{wanted['name']}"


def is_private(wanted: dict[str, Any]) -> bool:
    return bool(wanted.get("private")) or wanted.get("visibility") == "private"


def describe(repo: Repo, commit: Commit) -> dict[str, Any]:
    return {
        "_id": commit.oid[:24],
        "id": repo.id,
        "modelId": repo.id,
        "author": repo.owner,
        "sha": commit.oid,
        "createdAt": repo.created,
        "lastModified": commit.date,
        "private": repo.private,
        "gated": repo.gated,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "usedStorage": sum(file.size for file in commit.tree.values()),
    }


def describe_card(hub: Hub, commit: Commit) -> dict[str, Any]:
    """What the Hub reads from the README.md."""
    readme = commit.tree.get("README.md")
    if readme is None:
        return {"tags": []}
    try:
        data = card.metadata(hub.store.blobs.read(readme.sha256).decode("utf-8", "replace"))
    except card.CardError:
        return {"tags": []}  # only a control write gets such a card in
    keys = ("library_name", "pipeline_tag", "model-index")
    told: dict[str, Any] = {key: data[key] for key in keys if key in data}
    tags = [data["library_name"]] if "library_name" in data else []
    tags += data["tags"] if isinstance(data.get("tags"), list) else []
    tags += [f"license:{data['license']}"] if isinstance(data.get("license"), str) else []
    return {**told, "cardData": data, "tags": tags}


def sibling(path: str, file: File, details: bool) -> dict[str, Any]:
    if not details:
        return {"rfilename": path}
    told: dict[str, Any] = {"rfilename": path, "size": file.size, "blobId": file.oid}
    if file.lfs:
        size = len(pointer(file.sha256, file.size))
        told["lfs"] = {"sha256": file.sha256, "size": file.size, "pointerSize": size}
    return told
