"""Rules that make the server misbehave, as networks and servers do."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from .wire import HubError, Response

Action = Literal[
    "status", "drop", "lose", "cut", "truncate", "corrupt", "delay", "headers", "body", "trickle", "endless"
]


@dataclass(frozen=True)
class Fault:
    """What goes wrong, and for which requests.

    - `status`: the request is not carried out; the answer is `status` with `headers`
      (412 on `/commit/` is a push that lost a race; `Retry-After: 0` shortens the client's waiting);
    - `drop`: the connection closes before the request is carried out;
    - `lose`: the request is carried out, then the connection closes without an answer;
    - `cut`: the connection closes after `at` bytes of the body;
    - `truncate`: the body ends after `at` bytes, and its Content-Length agrees;
    - `corrupt`: the byte of the body at `at` is inverted;
    - `delay`: everything happens `seconds` later;
    - `headers`: the answer carries `headers`, in place of its own of that name, "" for none;
    - `body`: the answer's body is `content`;
    - `trickle`: the body comes byte by byte, `seconds` apart;
    - `endless`: the body has no announced length, begins with `content` and goes on with it for ever.

    A rule applies to requests whose method is `method` (None: any) and in whose path, still
    percent-encoded, the regular expression `path` is found: to each of them, or only to the `nth` ones,
    counted from 1. With `reset`, a closing connection is reset rather than ended in good order:
    clients tell the two apart.
    """

    action: Action
    path: str = ""
    method: str | None = None
    nth: tuple[int, ...] = ()
    status: int = 503
    headers: Mapping[str, str] = field(default_factory=dict)
    at: int = 0
    seconds: float = 0.0
    reset: bool = False
    content: str = ""

    def __post_init__(self) -> None:
        if self.action not in get_args(Action):
            raise ValueError(f"`action` (={self.action!r}) must be one of {', '.join(get_args(Action))}")
        object.__setattr__(self, "nth", tuple(self.nth))  # JSON knows no tuples
        re.compile(self.path)

    def concerns(self, method: str, path: str) -> bool:
        return self.method in (None, method) and re.search(self.path, path) is not None

    def refusal(self) -> Response:
        headers = {name.replace("-", "_"): text for name, text in self.headers.items()}
        return HubError(self.status, f"Injected {self.status}", **headers).response


class FaultPlan:
    """The rules in force, each with the number of requests it has seen."""

    def __init__(self) -> None:
        self._rules: list[Fault] = []
        self._seen: list[int] = []
        self._lock = threading.Lock()

    def replace(self, rules: Iterable[Fault]) -> None:
        with self._lock:
            self._rules = list(rules)
            self._seen = [0] * len(self._rules)

    def draw(self, method: str, path: str) -> dict[Action, Fault]:
        """What goes wrong with this request. Of two rules with one action, the first wins."""
        drawn: dict[Action, Fault] = {}
        with self._lock:
            for index, rule in enumerate(self._rules):
                if rule.concerns(method, path):
                    self._seen[index] += 1
                    if not rule.nth or self._seen[index] in rule.nth:
                        drawn.setdefault(rule.action, rule)
        return drawn


def corrupted(pieces: Iterable[bytes], at: int) -> Iterator[bytes]:
    """`pieces` with the byte at `at` inverted."""
    for piece in pieces:
        if 0 <= at < len(piece):
            piece = piece[:at] + bytes([piece[at] ^ 0xFF]) + piece[at + 1 :]
        at -= len(piece)
        yield piece


def shortened(pieces: Iterable[bytes], size: int) -> Iterator[bytes]:
    """The first `size` bytes of `pieces`."""
    for piece in pieces:
        yield piece[:size]
        size -= len(piece[:size])
        if size <= 0:
            return
