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

from ali_plugin.errors import FolderError
from ali_plugin.support import atomic


@contextmanager
def holding(lock: Path, what: str, *, wait: float = 0.0) -> Iterator[None]:
    """Hold the lock file ``lock`` (made if need be), which belongs to ``what``.

    Args:
        what: for the error, such as "the run in 'runs/fashion'".
        wait: seconds to wait for a process that holds it, -1 for as long as it takes.

    Raises:
        FolderError: another process, which the text names, holds it; or the place cannot be written.
    """
    holder = lock.with_name(f"{lock.name}.holder")
    taken = _acquire(lock, holder, what, wait)
    try:
        with suppress(FolderError):  # it serves the error text alone
            atomic.write(holder, json.dumps(_myself()))
        yield
    finally:
        with suppress(OSError):
            holder.unlink(missing_ok=True)
        taken.release()


def _acquire(lock: Path, holder: Path, what: str, wait: float) -> BaseFileLock:
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        for kind in (FileLock, SoftFileLock):  # the second where a network file system has no locks
            try:
                taken: BaseFileLock = kind(lock)
                taken.acquire(timeout=wait)
                return taken
            except NotImplementedError:
                continue
    except Timeout as error:
        raise FolderError(f"{what} is in use by {_who(holder)}; wait until it ends, or stop it") from error
    except OSError as error:
        raise FolderError(f"cannot lock {what} ({error.strerror or error})") from error
    raise FolderError(f"cannot lock {what}: its file system has no locks")


def _myself() -> dict[str, object]:
    return {"process": os.getpid(), "host": platform.node(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}


def _who(holder: Path) -> str:
    try:
        found = json.loads(holder.read_bytes()[:1000])
        return f"process {int(found['process'])} on {found['host']} (since {found['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
