"""The back door for tests: inject faults, read the log, change sizes, write what no client could."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .faults import Fault
from .hub import Hub
from .routing import Routes
from .store import MAIN, File
from .wire import HubError, Request, Response, answer

routes = Routes()
PREFIX = "/_control/"


@routes.add("POST", "/_control/faults")
def inject(hub: Hub, request: Request) -> Response:
    try:
        hub.faults.replace(Fault(**rule) for rule in request.json())
    except (TypeError, ValueError) as error:
        raise HubError(400, f"Not a fault: {error}") from error
    return answer({})


@routes.add("GET", "/_control/log")
def read_log(hub: Hub, request: Request) -> Response:
    return answer(list(hub.log))


@routes.add("POST", "/_control/settings")
def configure(hub: Hub, request: Request) -> Response:
    try:
        hub.settings = replace(hub.settings, **request.json())
    except TypeError as error:
        raise HubError(400, f"Not a setting: {error}") from error
    return answer({})


@routes.add("POST", "/_control/reset")
def reset(hub: Hub, request: Request) -> Response:
    hub.store.clear()
    hub.faults.replace([])
    hub.settings = hub.defaults
    hub.log.clear()
    return answer({})


@routes.add("POST", "/_control/write")
def write(hub: Hub, request: Request) -> Response:
    """Commit files as they are given, unchecked: any path, any content, any size that an LFS file claims."""
    wanted = request.json()
    with hub.store.lock:
        name = wanted["kind"], wanted["repo"]
        repo = hub.store.find(*name) or hub.store.create(*name)
        parent = hub.commit(repo, "main")
        files = {path: written(hub, file) for path, file in wanted["files"].items()}
        tree = {**parent.tree, **files}
        commit = hub.store.commit(repo, MAIN, parent, tree, author=repo.owner, title="Raw files")
    return answer({"commit": commit.oid})


def written(hub: Hub, given: Mapping[str, Any]) -> File:
    file = hub.store.add_file(base64.b64decode(given["content"]))
    if not given["lfs"]:
        return file
    return hub.store.lfs_file(file.sha256, file.size if given["size"] is None else given["size"])
