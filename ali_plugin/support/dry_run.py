"""Whether this is a dry run, in which nothing is downloaded, decoded or written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

active: ContextVar[bool] = ContextVar("active", default=False)


@contextmanager
def writing_nothing() -> Iterator[None]:
    """Make what is called inside a dry run."""
    token = active.set(True)
    try:
        yield
    finally:
        active.reset(token)
