"""Requests and responses as values, so that the endpoints know nothing of sockets."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from email.message import Message
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs

PIECE = 1 << 20
RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...
    def readline(self) -> bytes: ...


class HubError(Exception):
    """A refusal. The client reads its kind from the headers, a person reads the message."""

    def __init__(self, status: int, message: str, code: str | None = None, **headers: str) -> None:
        super().__init__(message)
        # A message may quote what a client sent, and a header is one line of ASCII.
        line = " ".join(message.split()).encode("ascii", "replace").decode()
        told = {"X-Error-Message": line, **{name.replace("_", "-"): text for name, text in headers.items()}}
        if code is not None:
            told["X-Error-Code"] = code
        self.response = answer({"error": message}, status, told)


@dataclass(frozen=True)
class Request:
    """One request; `path` is still percent-encoded, `body` is read at most once."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Message
    body: Iterator[bytes]

    def content(self) -> bytes:
        return b"".join(self.body)

    def json(self) -> Any:
        try:
            return json.loads(self.content())
        except ValueError as error:
            raise HubError(400, f"The body is not JSON: {error}") from error

    def form(self) -> dict[str, list[str]]:
        return parse_qs(self.content().decode())

    def flag(self, name: str) -> bool:
        return self.query.get(name, [""])[-1].lower() in ("1", "true")


@dataclass(frozen=True)
class Body:
    """The bytes from `start` to `stop` of a file or of a bytes object."""

    source: bytes | Path
    start: int
    stop: int

    @classmethod
    def whole(cls, source: bytes | Path) -> Body:
        return cls(source, 0, source.stat().st_size if isinstance(source, Path) else len(source))

    def __len__(self) -> int:
        return self.stop - self.start

    def pieces(self) -> Iterator[bytes]:
        if isinstance(self.source, bytes):
            yield self.source[self.start : self.stop]
            return
        with self.source.open("rb") as file:
            file.seek(self.start)
            yield from exactly(file, len(self))


@dataclass(frozen=True)
class Response:
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Body = Body(b"", 0, 0)

    def ranged(self, wanted: str | None) -> Response:
        """This response, or the part of it that a `Range` header asks for."""
        match = RANGE.fullmatch(wanted or "")
        # A server may ignore a Range that it does not understand (RFC 9110, section 14.2).
        if match is None or match.groups() == ("", ""):
            return self
        first, last = match.groups()
        size = len(self.body)
        start = int(first) if first else max(size - int(last), 0)
        stop = min(int(last) + 1, size) if first and last else size
        if start >= stop:
            return Response(416, {"Content-Range": f"bytes */{size}"})
        part = replace(self.body, start=self.body.start + start, stop=self.body.start + stop)
        headers = {**self.headers, "Content-Range": f"bytes {start}-{stop - 1}/{size}"}
        return Response(206, headers, part)


def answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """`value` as a JSON response."""
    content = json.dumps(value, default=str).encode()  # str: YAML turns dates into date objects
    return Response(status, {"Content-Type": "application/json", **(headers or {})}, Body.whole(content))


def exactly(stream: Stream, size: int) -> Iterator[bytes]:
    """`size` bytes of `stream`, piece by piece."""
    while size:
        piece = stream.read(min(size, PIECE))
        if not piece:
            raise ConnectionError(f"The stream ended {size} bytes early.")
        size -= len(piece)
        yield piece


def received(stream: Stream, headers: Message) -> Iterator[bytes]:
    """The body of the request whose `headers` have just been read from `stream`."""
    if headers.get("Transfer-Encoding", "").lower() != "chunked":
        yield from exactly(stream, int(headers.get("Content-Length", 0)))
        return
    while size := int(stream.readline().split(b";")[0], 16):
        yield from exactly(stream, size)
        stream.readline()
    while stream.readline().strip():  # trailers
        pass
