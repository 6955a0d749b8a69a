"""Progress of what takes long outside of training: a bar on stderr where it is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from typing import TypeVar

from ali_plugin.support import streams
from ali_registry.text import printable

T = TypeVar("T")

enabled: ContextVar[bool] = ContextVar("enabled", default=True)
"""Set to False to see no bars (``-q``)."""


def track(items: Iterable[T], description: str, total: int) -> Iterator[T]:
    """Pass items on while a bar shows how many have gone through."""
    if not enabled.get() or not streams.is_terminal(sys.stderr):
        yield from items
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import track as rich_track

    console = Console(file=streams.unfailing(sys.stderr))
    yield from rich_track(items, escape(printable(description, 100)), total, console=console)
