"""One process at a time: locks on run folders and caches, freed by the system when their process is gone."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from ali_plugin.errors import ConfigError, FolderError
from ali_plugin.support import atomic
from ali_plugin.support.strict_json import read_object

NAME = ".lock"  # of a lock that lies in the folder that it is on
FILES = (NAME, f"{NAME}.holder")

SHORT = 0.2  # seconds to wait at least: whoever only looks whether the lock is held, holds it for a moment
SAID = 1.0  # seconds in which the holder says who it is


@contextmanager
def holding(lock: Path, what: str, *, wait: float = 0.0) -> Iterator[None]:
    """Hold the lock file ``lock`` (made if need be), which belongs to ``what``.

    Args:
        what: for the error, such as "the run in 'runs/garments'".
        wait: seconds to wait for a process that holds it, -1 for as long as it takes.

    Raises:
        FolderError: another process, which the text names, holds it; or the place cannot be written.
    """
    holder = _holder(lock)
    taken = _acquire(lock, what, wait)
    try:
        with suppress(FolderError):  # it serves the error text alone
            atomic.write(holder, json.dumps(_myself()))
        yield
    finally:
        with suppress(OSError):
            holder.unlink(missing_ok=True)
        taken.release()


def refuse_held(lock: Path, what: str) -> None:
    """Raise FolderError, as ``holding`` does, if another process holds the lock; nothing is made or written."""
    if lock.is_file() and os.access(lock, os.W_OK):
        _acquire(lock, what, 0).release()


def _acquire(lock: Path, what: str, wait: float) -> BaseFileLock:
    if lock.is_symlink() or (lock.exists() and not lock.is_file()):
        raise FolderError(f"cannot lock {what}: {lock} is a link, a folder or a device; remove it")
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        for kind in (FileLock, SoftFileLock):  # the second where a network file system has no locks
            try:
                taken: BaseFileLock = kind(lock)
                taken.acquire(timeout=wait if wait < 0 else max(wait, SHORT))
                return taken
            except NotImplementedError:
                continue
    except Timeout as error:
        raise FolderError(f"{what} is in use by {_who(_holder(lock))}; wait until it ends, or stop it") from error
    except OSError as error:
        raise FolderError(f"cannot lock {what} ({error.strerror or error})") from error
    raise FolderError(f"cannot lock {what}: its file system has no locks")


def _myself() -> dict[str, object]:
    return {"process": os.getpid(), "host": platform.node(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}


def _holder(lock: Path) -> Path:
    return lock.with_name(f"{lock.name}.holder")


def _who(holder: Path) -> str:
    """The process that holds a lock, which it says a moment after it took it."""
    end = time.monotonic() + SAID
    while True:
        try:
            found = read_object(holder)
            number, host = int(found["process"]), found["host"]
            if host != platform.node() or _is_alive(number):  # else it was killed, and another has taken the lock
                return f"process {number} on {host} (since {found['since']})"
        except (ConfigError, ValueError, KeyError, TypeError):
            pass
        if time.monotonic() > end:
            return "another process"
        time.sleep(0.02)


def _is_alive(number: int) -> bool:
    try:
        os.kill(number, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # it is another person's
        return True
    return True
