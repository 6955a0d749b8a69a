"""What a Hub may answer: every answer to a call of ours is checked before the client uses it.

The client trusts its server: it takes header values for names of files, reads answers of any length, waits as long
as it is told and reads for as long as something comes. Here hooks are put on its HTTP session that bound all of it.
They act within ``guarded`` alone: what else a process does with the client stays as it is.
"""

from __future__ import annotations

import functools
import importlib
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from http.cookiejar import Cookie, DefaultCookiePolicy
from typing import Any
from urllib.request import Request

import huggingface_hub
from huggingface_hub import get_session
from huggingface_hub.utils import _http as client_http

from ali_plugin.errors import HubError
from ali_plugin.hub.transfer import DIGEST, Damaged, File, Transfer
from ali_registry.text import printable

SILENCE = 10.0  # seconds without a byte after which an answer is given up
WORKING = 60.0  # the same for a commit or an upload, over which the Hub may think
PATIENCE = 10.0  # seconds in which an answer, or one of its repetitions, has to be complete
SLOWEST = 16 << 10  # bytes a second on average below which a file, or all that is sent, is given up
LONGEST_WAIT = 10.0  # seconds that we wait because the Hub asks for it
LONGEST_ANSWER = 16 << 20  # bytes of a listing; a file's own limit is its size
LONGEST_ERROR = 1 << 16
MOST_ANSWERS = 200  # pages of listings, redirects and repetitions
COMMIT = re.compile("[0-9a-f]{40}")
TAG = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")  # an ETag becomes the name of a file
FIRST = re.compile(r"bytes (\d{1,18})-")
WAITS = re.compile(r"\bt\s*=\s*(\d+)")


class Unanswered(HubError):
    """The Hub is silent, slow, or tells us to wait: what is in the cache may do instead."""


@dataclass
class Call:
    """One operation with the Hub; threads that serve it run in copies of its context.

    Attributes:
        secrets: that nobody may print.
        waiting: since when each thread has no good answer to what it has sent.
        uploading: since when, and how many bytes were sent since then, repetitions too.
    """

    secrets: tuple[str, ...] = ()
    answers: int = 0
    stopped: bool = False
    waiting: dict[int, float] = field(default_factory=dict)
    uploading: float = 0.0
    sent: int = 0


_call: ContextVar[Call | None] = ContextVar("call", default=None)
_transfer: ContextVar[Transfer | None] = ContextVar("transfer", default=None)


@contextmanager
def guarded(secrets: tuple[str, ...] = ()) -> Iterator[Call]:
    """Check what the Hub answers within the block.

    Args:
        secrets: that the client must not print.

    Raises:
        Unanswered: the Hub does not answer in time.
        HubError: an answer is none that a Hub may give.
    """
    _install()
    call = Call(secrets)
    token = _call.set(call)
    try:
        yield call
    except BaseException:
        call.stopped = True
        raise
    finally:
        _call.reset(token)


def current() -> Call | None:
    """The operation that this code belongs to."""
    return _call.get()


@contextmanager
def transferring(file: File) -> Iterator[Transfer]:
    """Within the block, answers that are no heads are the content of ``file``: bounded and hashed on their way.

    Raises:
        Damaged: before the client takes the file for complete.
    """
    transfer = Transfer(file)
    token = _transfer.set(transfer)
    try:
        yield transfer
    finally:
        _transfer.reset(token)


def _install() -> None:
    """Put the hooks on the client's session, and on those that it makes after a broken connection."""
    if _hooked(get_session()):
        return
    make = getattr(client_http, "_GLOBAL_CLIENT_FACTORY", client_http.default_client_factory)
    huggingface_hub.set_client_factory(lambda: _with_hooks(make()))


def _hooked(session: Any) -> bool:
    return _on_response in session.event_hooks["response"]


def _with_hooks(session: Any) -> Any:
    session.cookies.jar.set_policy(NoCookies())
    hooks = session.event_hooks
    session.event_hooks = {
        "request": [*hooks["request"], _on_request],
        "response": [_on_response, *hooks["response"]],
    }
    return session


class NoCookies(DefaultCookiePolicy):
    """Keeps no cookie that the Hub sets: one too long, or not of ASCII, would break every call that follows."""

    def set_ok(self, cookie: Cookie, request: Request) -> bool:
        return _call.get() is None and super().set_ok(cookie, request)


def _on_request(request: Any) -> None:
    call, transfer = _call.get(), _transfer.get()
    if call is None:
        return
    if call.stopped:
        raise Unanswered("interrupted")
    asks = request.method in ("GET", "HEAD")
    call.answers += asks
    if call.answers > MOST_ANSWERS:
        raise HubError(f"the Hub's answers do not end: {MOST_ANSWERS} pages and redirects came; report it there")
    now = time.monotonic()
    if now - call.waiting.get(threading.get_ident(), now) > PATIENCE:
        raise Unanswered(f"the Hub did not answer for {PATIENCE:.0f} seconds")
    if request.method == "PUT":
        request.stream = _watched(request, partial(_sending, call))
    else:
        call.waiting.setdefault(threading.get_ident(), now)
    if transfer is not None:
        _refuse_slow(now - transfer.begun, transfer.read)
    longest = SILENCE if asks else WORKING
    given = request.extensions.get("timeout", {})
    request.extensions["timeout"] = {
        kind: min(given.get(kind) or longest, longest) for kind in ("connect", "read", "write", "pool")
    }
    request.headers["Accept-Encoding"] = "identity"  # what is packed has no length that could be bounded


def _on_response(response: Any) -> None:
    call = _call.get()
    if call is None:
        return
    timeout = response.request.extensions["timeout"]
    timeout["read"] = min(timeout["read"], SILENCE)  # over what has begun nobody has to think
    _refuse_to_wait(response)
    head, transfer = response.request.method == "HEAD", _transfer.get()
    _check_names(response, head, transfer.file if transfer else None)
    _refuse_other_size(response, transfer.file if transfer else None)
    packed = response.headers.get("Content-Encoding", "identity").lower()
    if packed != "identity" and not head:
        raise HubError(f"the Hub packs its answer ({printable(packed, 40)}), which was not asked for")
    limit, taken, good = LONGEST_ANSWER, None, response.status_code < 400
    if not good:
        limit = LONGEST_ERROR
    elif transfer is not None and not head and not response.has_redirect_location:
        limit, taken = transfer.file.size, transfer
        transfer.start(_first_byte(response))
    _refuse_longer(response.headers.get("Content-Length"), limit, head)
    response.stream = _watched(response, partial(_receiving, call, limit, taken, good))


def _first_byte(response: Any) -> int:
    if response.status_code != 206:
        return 0
    found = FIRST.match(response.headers.get("Content-Range", ""))
    return int(found[1]) if found else 0


def _refuse_slow(seconds: float, read: int) -> None:
    if seconds > PATIENCE + read / SLOWEST:
        raise Unanswered(f"the Hub sent {read} bytes in {seconds:.0f} seconds, too slow to wait for the rest")


def _refuse_to_wait(response: Any) -> None:
    """Do not sleep for as long as the Hub likes; the client does."""
    if response.status_code not in (408, 429) and response.status_code < 500:
        return
    asked = [response.headers.get("Retry-After", "").strip(), *WAITS.findall(response.headers.get("RateLimit", ""))]
    for text in asked:
        if text.isdigit() and (len(text) > 9 or int(text) > LONGEST_WAIT):
            raise Unanswered(f"the Hub is busy and asks to wait {printable(text, 20)} seconds; run it again then")


def _check_names(response: Any, head: bool, file: File | None) -> None:
    """What the client would make names of files of has to be fit for it."""
    commit = response.headers.get("X-Repo-Commit")
    if commit is not None and not COMMIT.fullmatch(commit):
        raise HubError(f"the Hub names a commit {printable(repr(commit), 60)}, which is none")
    if commit is not None and file is not None and commit != file.commit:
        raise HubError(f"the Hub answers with another commit than the one of its listing for {file.name}")
    digest = response.headers.get("X-Xet-Hash")
    if digest is not None and not DIGEST.fullmatch(digest):
        raise HubError(f"the Hub names a digest {printable(repr(digest), 60)}, which is none")
    for name in ("X-Linked-ETag", "ETag"):
        tag = response.headers.get(name)
        if head and tag is not None and not TAG.fullmatch(tag.removeprefix("W/").strip('"')):
            raise HubError(f"the Hub names a file {printable(repr(tag), 60)}, which is no digest and no name either")


def _refuse_other_size(response: Any, file: File | None) -> None:
    """The client asks for room, and takes a file for complete, by this header."""
    size = response.headers.get("X-Linked-Size")
    if file is not None and size is not None and size != str(file.size):
        raise HubError(f"the Hub says that {file.name} has {printable(size, 30)} bytes, its listing {file.size}")


def _refuse_longer(announced: str | None, limit: int, head: bool) -> None:
    if announced is None or head:
        return
    if not announced.isdigit() or len(announced) > 18 or int(announced) > limit:
        raise HubError(f"the Hub announces {printable(announced, 30)} bytes where {limit} are the most that can be")


def _sending(call: Call, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """What is uploaded: the waiting begins with its last byte, the first time; what is sent again is waited for."""
    thread = threading.get_ident()
    again = thread in call.waiting
    call.uploading = call.uploading or time.monotonic()
    for piece in pieces:
        now = time.monotonic()
        if now - call.uploading > WORKING + call.sent / SLOWEST:
            seconds = f"{now - call.uploading:.0f} seconds"
            raise Unanswered(f"the Hub took {call.sent} bytes in {seconds}, too slow to send the rest")
        if call.stopped:
            raise Unanswered("interrupted")
        if not again:
            call.waiting[thread] = now
        call.sent += len(piece)
        yield piece
    if not again:
        call.waiting[thread] = time.monotonic()


def _receiving(
    call: Call, limit: int, transfer: Transfer | None, good: bool, pieces: Iterable[bytes]
) -> Iterator[bytes]:
    """An answer of at most ``limit`` bytes; a ``good`` one ends the waiting, a file's beginning does."""
    begun, read = time.monotonic(), 0
    first = transfer.done if transfer is not None else 0
    for piece in pieces:
        read += len(piece)
        if first + read > limit:
            raise HubError(f"the Hub sends more than the {limit} bytes that can be")
        if transfer is not None:
            call.waiting.pop(threading.get_ident(), None)  # a file goes on where it breaks off
            transfer.take(piece, first)
        if call.stopped:
            raise Unanswered("interrupted")
        _refuse_slow(time.monotonic() - begun, read)
        yield piece
    if transfer is not None and transfer.done == transfer.file.size and not transfer.complete:
        raise Damaged(f"{transfer.file.name} came damaged: it is not what the Hub's listing says")
    if good:
        call.waiting.pop(threading.get_ident(), None)


def _watched(message: Any, watch: Callable[[Iterable[bytes]], Iterator[bytes]]) -> Any:
    """The stream of a request or an answer, as it passes through ``watch``."""
    return _stream_class(type(message).__module__.partition(".")[0])(message.stream, watch)


@functools.cache
def _stream_class(library: str) -> Any:
    """A stream made of another one, for the client's HTTP library, whose name its major versions differ in."""
    base: Any = importlib.import_module(library).SyncByteStream

    class Watched(base):  # type: ignore[misc]  # a class of httpx or of httpx2
        def __init__(self, stream: Any, watch: Callable[[Iterable[bytes]], Iterator[bytes]]) -> None:
            self.stream, self.watch = stream, watch

        def __iter__(self) -> Iterator[bytes]:
            return self.watch(self.stream)

        def close(self) -> None:
            self.stream.close()

    return Watched
