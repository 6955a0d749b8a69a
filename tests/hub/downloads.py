"""Files on their way out: a page of the Hub that names the file's version, and the storage behind it."""

from __future__ import annotations

from .hub import Hub
from .routing import Routes
from .wire import Body, HubError, Request, Response

routes = Routes()


@routes.add("GET", "{at}/resolve/{revision}/{path}")
def resolve(hub: Hub, request: Request, repo: str, revision: str, path: str, kind: str = "models") -> Response:
    repository = hub.downloadable(request, kind, repo)
    commit = hub.commit(repository, revision)
    file = commit.tree.get(path)
    if file is None:
        raise HubError(404, f"{path} does not exist on {revision}", "EntryNotFound", X_Repo_Commit=commit.oid)
    headers = {"X-Repo-Commit": commit.oid, "Accept-Ranges": "bytes"}
    if not file.lfs:
        headers["ETag"] = f'"{file.oid}"'
        whole = Response(200, headers, Body.whole(hub.store.blobs.path(file.sha256)))
        return whole.ranged(request.headers.get("Range"))
    headers["X-Linked-ETag"] = f'"{file.sha256}"'
    headers["X-Linked-Size"] = str(file.size)
    headers["Location"] = hub.sign(f"/_storage/objects/{file.sha256}")
    return Response(302, headers)


@routes.add("GET", "/_storage/objects/{sha256}")
def get_object(hub: Hub, request: Request, sha256: str) -> Response:
    hub.check_signature(request)
    if sha256 not in hub.store.blobs:
        raise HubError(404, f"There is no object {sha256}")
    headers = {"ETag": f'"{sha256}"', "Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}
    content = Body.whole(hub.store.blobs.path(sha256))
    return Response(200, headers, content).ranged(request.headers.get("Range"))
