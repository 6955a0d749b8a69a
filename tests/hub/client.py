"""The real huggingface_hub in a process of its own, since it reads its environment when it is imported."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

TESTS = (
    Path(__file__).resolve().parents[1]
)  # not the checkout's root, whose packages would be taken for the installed ones
PATIENCE = 180.0  # seconds; the client itself gives up on a failing server after about 25, on a machine with time


class RemoteTracebackError(Exception):
    """Where an exception was raised in the other process; the cause of the one that came back."""


class Client:
    """A process with the given environment that runs functions of a test module, one at a time.

    The other process finds functions by name, so they must stand at the top of a module. What they raise
    comes back as it was raised.
    """

    def __init__(self, env: Mapping[str, str]) -> None:
        command = [sys.executable, "-m", "hub.client"]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, env=env, cwd=TESTS, stdin=pipe, stdout=pipe)

    def __call__(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        calls, results = self._process.stdin, self._process.stdout
        assert calls is not None
        assert results is not None
        watchdog = threading.Timer(PATIENCE, self._process.kill)
        watchdog.start()
        try:
            pickle.dump((function, args, kwargs), calls)
            calls.flush()
            value, error, where = pickle.load(results)
        except (EOFError, BrokenPipeError):
            raise RuntimeError(f"The client process died: exit status {self._process.wait()}") from None
        finally:
            watchdog.cancel()
        if error is not None:
            raise error from RemoteTracebackError(where)
        result: T = value
        return result

    def close(self) -> None:
        with self._process:  # which waits for the process, once it has no more calls to wait for
            pass


def main() -> None:
    calls = sys.stdin.buffer
    with os.fdopen(os.dup(1), "wb") as results:
        os.dup2(2, 1)  # what the client prints must not mix with the results
        while True:
            try:
                function, args, kwargs = pickle.load(calls)
            except EOFError:
                return
            outcome: tuple[object, Exception | None, str]
            try:
                outcome = function(*args, **kwargs), None, ""
            except Exception as error:
                outcome = None, error, traceback.format_exc()
            pickle.dump(outcome, results)
            results.flush()


if __name__ == "__main__":
    main()
