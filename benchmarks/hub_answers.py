"""A Hub, the tests' own, whose answers are wrong in every part that an HTTP answer has."""

from __future__ import annotations

import json
import random
import re
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hub.server import Handler
from hub.wire import Response

REPO = "alice/model"
REFUSALS = (400, 401, 403, 404, 409, 410, 412, 416, 418, 423, 451)
OTHER_STATUSES = (100, 101, 199, 201, 202, 204, 205, 206, 226, 300, 301, 302, 303, 304, 305, 307, 308, 399, 600, 999,
                  "0", "-1", "abc", "", "2000", "9" * 400)  # fmt: skip
AGAIN = (408, 429, 500, 502, 503, 504, 599)  # after which the client waits and asks again
HEADERS = ("ETag", "X-Linked-ETag", "X-Linked-Size", "X-Repo-Commit", "X-Xet-Hash", "Content-Length", "Content-Range",
           "Content-Encoding", "Content-Type", "Content-Disposition", "Transfer-Encoding", "Location", "Retry-After",
           "RateLimit", "RateLimit-Policy", "X-Error-Code", "X-Error-Message", "X-HF-Warning", "X-Request-Id", "Link",
           "Set-Cookie", "Connection", "Accept-Ranges", "Date")  # fmt: skip
TEXTS = ("", " ", "0", "1", "-1", "007", "1e3", "18446744073709551616", "9" * 5000, "x", "x" * 70_000, "../../escaped",
         "/tmp/ali-fuzz-escaped", "a/b", '"', '""', '"W/"', "W/" + "0" * 40, "0" * 40, "f" * 64, "\x1b[31mred", "\x00",
         "\xff\xfe", "caf\xe9", "gzip", "br", "identity, gzip", "chunked", "chunked, chunked", "close", "upgrade",
         "bytes 0-0/1", "bytes 5-9/7", "bytes */0", "bytes 99999999999999999999-1/2", "text/html", "application/json",
         "multipart/byteranges", '"api";r=0;t=86400', '"api";r=0;t=x', "Thu, 01 Jan 1970 00:00:00 GMT",
         "RepoNotFound", "RevisionNotFound", "EntryNotFound", "GatedRepo", "DisabledRepo",
         'attachment; filename="../x"', "http://127.0.0.1:1/",
         "file:///etc/passwd", "//", "http://[::1", "http://", "?", "javascript:x",
         f"/{REPO}/resolve/main/config.json", f"/api/models/{REPO}", "<http://127.0.0.1:1/>; rel=next")  # fmt: skip
BODIES = (b"", b"null", b"[]", b"{}", b"7", b'"x"', b"[" * 200_000, b'{"a":' * 50_000, b"\xff\xfe\x00",
          b"\x1f\x8b\x08" + b"\0" * 99,
          b"<html>" * 99, b"9" * 10_000, b'{"error": "\\u001b[31m\\ud800"}', b"NaN", b"\0" * 3_000_000)  # fmt: skip


@dataclass
class Plan:
    """Which answers to one input are mutated: those whose method and path begin like ``stage``, or the first alone.

    Attributes:
        done: how many were.
    """

    key: str
    stage: str
    once: bool
    done: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def chance(self, asked: str) -> random.Random | None:
        """Where an answer is to be mutated, what to do it by: the same for the same request."""
        with self.lock:
            self.seen[asked] += 1
            if not re.match(self.stage, asked) or (self.once and self.done):
                return None
            self.done += 1
            return random.Random(f"{self.key} {asked} {self.seen[asked]}")


class Mutating(Handler):
    """The tests' Hub, some of whose answers are mutated."""

    plan: Plan | None = None

    def send(self, response: Response, faults: dict[Any, Any]) -> None:
        target = self.path.partition("?")[0]
        plan = None if target.startswith("/_control") else Mutating.plan
        chance = plan.chance(f"{self.command} {target}") if plan else None
        if chance is None:
            return super().send(response, faults)
        answer = Answer(response, self.command == "HEAD")
        for _ in range(chance.choice((1, 1, 2, 3))):
            chance.choice(MUTATIONS)(answer, chance)
        # Whoever keeps a connection open lets the client wait for the rest. Before its headers' end an answer to a
        # commit may take a minute, which is no fault.
        self.close_connection |= answer.cut or str(answer.status).startswith("1") or chance.random() < 0.9
        self.wfile.write(answer.bytes(chance))
        return None


class Answer:
    """An HTTP answer that can be made wrong in every part."""

    def __init__(self, response: Response, head: bool) -> None:
        self.status: int | str = response.status
        self.headers = [("Content-Length", str(len(response.body))), *response.headers.items()]
        self.body = b"" if head else b"".join(response.body.pieces())
        self.fits = True  # the length that is announced, if the body changes
        self.head = head
        self.cut = False  # somewhere

    def bytes(self, chance: random.Random) -> bytes:
        if self.fits and not self.head:
            self.headers = [(n, str(len(self.body)) if n == "Content-Length" else v) for n, v in self.headers]
        lines = [f"HTTP/1.1 {self.status} Said", *(f"{name}: {value}" for name, value in self.headers)]
        raw = "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n" + (b"" if self.head else self.body)
        return raw[: int(len(raw) * chance.random())] if self.cut else raw


def change_status(answer: Answer, chance: random.Random) -> None:
    kind = chance.random()
    answer.status = chance.choice(REFUSALS if kind < 0.45 else OTHER_STATUSES if kind < 0.9 else AGAIN)
    if chance.random() < 0.3:
        answer.headers.append(("Location", chance.choice(TEXTS)))


def change_header(answer: Answer, chance: random.Random) -> None:
    there = [name for name, _ in answer.headers]
    name = chance.choice(there if chance.random() < 0.4 else HEADERS)
    kind = chance.random()
    if kind < 0.2:
        answer.headers = [row for row in answer.headers if row[0].lower() != name.lower()]
    elif kind < 0.7:
        answer.headers = [row for row in answer.headers if row[0].lower() != name.lower()]
        answer.headers.append((name, chance.choice(TEXTS)))
    else:
        answer.headers.append((name, chance.choice(TEXTS)))
    answer.fits = answer.fits and name != "Content-Length"


def odd_header(answer: Answer, chance: random.Random) -> None:
    answer.headers.append(chance.choice([("X" * 70_000, "x"), ("", "x"), ("a b", "x"), ("\xe9", "x"), ("A\r\nB", "x"),
                                         ("X", "x\r\n folded"), ("X", "x\n\nbody"), ("X\0", "\0")]))  # fmt: skip
    if chance.random() < 0.1:
        answer.headers += [(f"X-{i}", "x") for i in range(2000)]


def change_body(answer: Answer, chance: random.Random) -> None:
    content = bytearray(answer.body)
    at = chance.randrange(len(content) + 1)
    kind = chance.randrange(5)
    if kind == 0 and at < len(content):
        content[at] ^= 1 << chance.randrange(8)
    elif kind == 1:
        del content[at:]
    elif kind == 2:
        content[at:at] = content[: chance.randint(1, 3000)]
    elif kind == 3:
        content[at:at] = chance.choice(BODIES)
    else:
        content = bytearray(chance.choice(BODIES))
    answer.body = bytes(content)
    answer.fits = answer.fits and chance.random() < 0.7


def change_value(answer: Answer, chance: random.Random) -> None:
    """Of JSON, one odd place; of anything else, bytes."""
    from fuzz_folders import changed  # which imports the client, and that reads where its Hub is

    try:
        answer.body = json.dumps(changed(json.loads(answer.body), chance)).encode("utf-8", "surrogatepass")
    except (ValueError, RecursionError):
        change_body(answer, chance)


def cut(answer: Answer, chance: random.Random) -> None:
    answer.cut = True


MUTATIONS: tuple[Callable[[Answer, random.Random], None], ...] = (
    change_status, change_header, change_header, odd_header, change_body, change_value, change_value, change_value, cut
)  # fmt: skip
