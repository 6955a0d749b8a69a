"""Run a plugin's code: what it prints does not reach a result, what it raises does not reach the program's end."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ali_registry.errors import ALIError
from ali_registry.text import printable


class Escaped(Exception):
    """A plugin raised what is no ``Exception``: it exits, or interrupts where nobody has pressed Ctrl-C."""


@contextmanager
def guarded() -> Iterator[None]:
    """What the code inside writes to stdout goes to stderr, and what it raises is an ``Exception``.

    A plugin's own KeyboardInterrupt is told from a person's by the signal: only Ctrl-C sends one. After a signal
    KeyboardInterrupt leaves this block whatever the code made of it, so that a plugin cannot swallow it.

    Raises:
        Escaped: in place of a SystemExit, GeneratorExit, KeyboardInterrupt or the like, with its type and text.
    """
    with _stdout_to_stderr(), _interrupts() as came:
        try:
            yield
        except BaseException as error:
            if came:
                raise KeyboardInterrupt from error
            if isinstance(error, Exception):
                raise
            raise Escaped(_described(error)) from error
        if came:
            raise KeyboardInterrupt


def reason(error: BaseException) -> str:
    """An error on one line, with its type unless the text was written for people; never raises."""
    return printable(error) if isinstance(error, ALIError | Escaped) else _described(error)


def _described(error: BaseException) -> str:
    try:
        text = printable(error)
    except BaseException:  # its __str__ interrupts
        text = ""
    return f"{type(error).__name__}: {text}".rstrip(": ")


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """The signals of Ctrl-C that have come while this lasts.

    Somebody else's handler of Ctrl-C (a training that finishes its step) is left in place: then nothing is noted.
    """
    came: list[int] = []
    in_main = threading.current_thread() is threading.main_thread()  # which alone Ctrl-C reaches
    if not in_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield came
        return

    def note(number: int, frame: Any) -> None:
        came.append(number)
        signal.default_int_handler(number, frame)

    signal.signal(signal.SIGINT, note)
    try:
        yield came
    finally:
        if signal.getsignal(signal.SIGINT) is note:  # else the code has put its own there
            signal.signal(signal.SIGINT, signal.default_int_handler)


class _Stdout:
    """stdout, while somebody is inside; several threads may be."""

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0
        self._python: Any = None
        self._file: int | None = None

    def enter(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                _flush()
                self._python, sys.stdout = sys.stdout, sys.stderr
                self._file = _redirected()

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                sys.stdout = self._python
                if self._file is not None:
                    _flush()
                    os.dup2(self._file, 1)
                    os.close(self._file)


_stdout = _Stdout()


@contextmanager
def _stdout_to_stderr() -> Iterator[None]:
    """For Python's prints, and for those of libraries and processes that write to the file itself."""
    _stdout.enter()
    try:
        yield
    finally:
        _stdout.leave()


def _redirected() -> int | None:
    """Let file 1 be file 2, and return what it was; None where one of them is closed."""
    try:
        kept = os.dup(1)
    except OSError:
        return None
    try:
        os.dup2(2, 1)
    except OSError:
        os.close(kept)
        return None
    return kept


def _flush() -> None:
    """What was printed before goes where it was printed to."""
    with contextlib.suppress(Exception):  # closed, or its reader has gone
        if sys.__stdout__ is not None:
            sys.__stdout__.flush()
