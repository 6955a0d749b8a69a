"""Large files on their way in: the LFS batch, signed links that take them whole or in parts, the check."""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .blobs import SHA256
from .hub import Hub
from .routing import Routes
from .store import write_json
from .wire import HubError, Request, Response, answer, exactly

routes = Routes()


@routes.add("POST", r"{at}\.git/info/lfs/objects/batch")
def batch(hub: Hub, request: Request, repo: str, kind: str = "models") -> Response:
    # Anybody with a write token: the request does not say whether it is for a pull request.
    repository = hub.writable(request, kind, repo, proposal=True)
    wanted = request.json()
    verify = f"{hub.endpoint}{repository.page}.git/info/lfs/objects/verify"
    multipart = "multipart" in wanted.get("transfers", [])
    objects = []
    for item in wanted["objects"]:
        row: dict[str, Any] = {"oid": item["oid"], "size": item["size"]}
        if not SHA256.fullmatch(item["oid"]):
            row["error"] = {"code": 422, "message": "The object's id is not a SHA-256 digest."}
        elif item["oid"] not in hub.store.blobs:
            upload = upload_action(hub, item["oid"], item["size"], multipart)
            row["actions"] = {"upload": upload, "verify": {"href": verify}}
        objects.append(row)
    return answer({"transfer": "multipart" if multipart else "basic", "objects": objects})


@routes.add("POST", r"{at}\.git/info/lfs/objects/verify")
def verify(hub: Hub, request: Request, repo: str, kind: str = "models") -> Response:
    hub.writable(request, kind, repo, proposal=True)
    wanted = request.json()
    if wanted["oid"] not in hub.store.blobs or hub.store.blobs.size(wanted["oid"]) != wanted["size"]:
        raise HubError(422, f"The object {wanted['oid']} of {wanted['size']} bytes is not there.")
    return answer({})


@routes.add("PUT", "/_storage/objects/{sha256}")
def put_object(hub: Hub, request: Request, sha256: str) -> Response:
    hub.check_signature(request)
    keep(hub, request.body, sha256)
    return Response(headers={"ETag": f'"{sha256}"'})


@routes.add("PUT", "/_storage/uploads/{upload}/{number}")
def put_part(hub: Hub, request: Request, upload: str, number: str) -> Response:
    hub.check_signature(request)
    digest = hashlib.md5(usedforsecurity=False)
    with (session(hub, upload) / number).open("wb") as file:
        for piece in request.body:
            digest.update(piece)
            file.write(piece)
    return Response(headers={"ETag": f'"{digest.hexdigest()}"'})


@routes.add("POST", "/_storage/uploads/{upload}")
def complete(hub: Hub, request: Request, upload: str) -> Response:
    hub.check_signature(request)
    folder = session(hub, upload)
    expected = json.loads((folder / "upload.json").read_text())
    numbers = [part["partNumber"] for part in request.json()["parts"]]
    if numbers != list(range(1, expected["parts"] + 1)):
        raise HubError(400, f"The upload has {expected['parts']} parts, named were {numbers}")
    missing = [number for number in numbers if not (folder / str(number)).exists()]
    if missing:
        raise HubError(400, f"These parts were never uploaded: {missing}")
    keep(hub, joined([folder / str(number) for number in numbers]), expected["oid"])
    shutil.rmtree(folder)
    return answer({})


def upload_action(hub: Hub, sha256: str, size: int, multipart: bool) -> dict[str, Any]:
    """Where to send an object, in one piece or in parts."""
    if not multipart or size < hub.settings.multipart_threshold:
        return {"href": hub.sign(f"/_storage/objects/{sha256}")}
    upload = secrets.token_hex(16)
    parts = -(-size // hub.settings.part_size)
    record = {"oid": sha256, "parts": parts}
    write_json(hub.store.root / "uploads" / upload / "upload.json", record)
    links = {str(n): hub.sign(f"/_storage/uploads/{upload}/{n}") for n in range(1, parts + 1)}
    header = {"chunk_size": str(hub.settings.part_size), **links}
    return {"href": hub.sign(f"/_storage/uploads/{upload}"), "header": header}


def session(hub: Hub, upload: str) -> Path:
    folder = hub.store.root / "uploads" / upload
    if not folder.exists():
        raise HubError(404, f"There is no upload {upload}: it was completed, or never begun.")
    return folder


def keep(hub: Hub, pieces: Iterator[bytes], sha256: str) -> None:
    try:
        hub.store.blobs.add(pieces, expected=sha256)
    except ValueError as error:
        raise HubError(400, f"Not the announced object: {error}") from error


def joined(paths: list[Path]) -> Iterator[bytes]:
    for path in paths:
        with path.open("rb") as file:
            yield from exactly(file, path.stat().st_size)
