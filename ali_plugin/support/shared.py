"""Work whose result several callers share while a scope lasts, such as the listing of a folder by two splits of a run.

Outside of a scope nothing is kept: what a folder holds may change between two calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_kept: ContextVar[dict[Any, Any] | None] = ContextVar("kept", default=None)


@contextmanager
def sharing() -> Iterator[None]:
    """Have ``shared`` functions that are called inside do the same work once; a scope inside another is part of it."""
    token = _kept.set({} if (outer := _kept.get()) is None else outer)
    try:
        yield
    finally:
        _kept.reset(token)


def shared(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """A function of hashable arguments whose result is kept until the scope ends."""

    @wraps(function)
    def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        kept = _kept.get()
        if kept is None:
            return function(*args, **kwargs)
        key = (function, args, tuple(kwargs.items()))
        if key not in kept:
            kept[key] = function(*args, **kwargs)
        found: Result = kept[key]
        return found

    return call
