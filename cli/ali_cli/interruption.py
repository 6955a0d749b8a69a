"""Ctrl-C, a termination, a closed terminal: the run ends after its step, saved; a second Ctrl-C ends it at once."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
GRACE = 1.0  # seconds in which the program may end by itself after a second Ctrl-C
INTERRUPTED = 130  # exit code


@contextmanager
def interruptible(stop: Callable[[], None], say: Callable[[str], None], waits_for: Callable[[], str]) -> Iterator[None]:
    """Call ``stop`` at the first of the signals, and answer at once, in the middle of a long step too.

    Python runs a handler only between two of its own instructions, so a thread is told of the signal as well. Of
    signals that come together (a terminal that closes sends several) only Ctrl-C counts as a second one.

    Args:
        say: tells the person a line.
        waits_for: what the end has to wait for, in words.
    """
    asked, over = threading.Event(), threading.Event()

    def handle(number: int, _: FrameType | None) -> None:
        if number == signal.SIGINT and asked.is_set():
            raise KeyboardInterrupt
        asked.set()
        stop()

    def answer() -> None:
        told = False
        while number := received.recv(1)[0]:
            if not told:
                say(f"stopping: {waits_for()}; Ctrl-C once more ends at once, back to the last checkpoint")
                told = True
            elif number == signal.SIGINT and not over.wait(GRACE):  # deep in a step, or in a net that never ends
                os._exit(INTERRUPTED)

    received, sent = socket.socketpair()
    sent.setblocking(False)
    thread = threading.Thread(target=answer, name="answers to signals", daemon=True)
    # Whoever had hang-ups ignored (nohup) wants to go on without the terminal.
    heeded = [number for number in SIGNALS if number == signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, handle) for number in heeded}
    wakeup = signal.set_wakeup_fd(sent.fileno(), warn_on_full_buffer=False)
    thread.start()
    try:
        yield
    finally:
        over.set()
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        sent.send(b"\0")
        thread.join(GRACE)
        for end in (received, sent):
            end.close()
