"""Memory that cannot be had: the one place that knows what Python, numpy and torch raise then."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ali_plugin.errors import OutOfMemory
from ali_registry import BuildFailed
from ali_registry.text import printable

SIGNS = ("can't allocate memory", "not enough memory", "out of memory", "tried to allocate", "unable to allocate",
         "cannot allocate memory", "invalid buffer size", "storage size calculation overflowed")  # fmt: skip


@contextmanager
def needed(what: str) -> Iterator[None]:
    """Raise OutOfMemory, which says what for, where memory that the code inside asks for cannot be had."""
    try:
        yield
    except (MemoryError, RuntimeError, BuildFailed) as error:
        if (shortage := shortage_of(error, what)) is not None:
            raise shortage from error
        raise


def shortage_of(error: BaseException | None, what: str = "this") -> OutOfMemory | None:
    """What an error, or one that it came from, says about memory; None if nothing."""
    while error is not None:
        if isinstance(error, OutOfMemory):
            return error
        text = printable(error, 300)
        if isinstance(error, MemoryError) or (
            isinstance(error, RuntimeError) and any(sign in text.lower() for sign in SIGNS)
        ):
            reason = f" ({text})" if text else ""
            return OutOfMemory(f"there is not enough memory for {what}{reason}; ask for less at once, or free some")
        error = error.__cause__
    return None
