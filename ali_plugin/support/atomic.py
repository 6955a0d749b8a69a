"""Write files so that a crash, a full disk or Ctrl-C leaves the old file or the new one, never half of one."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout
from safetensors import SafetensorError

from ali_plugin.errors import FolderError

PARTIAL = ".partial"  # in the name of everything that is not complete yet
LOCK = ".lock"  # inside a temporary folder; held while it is filled
OLD = 3600.0  # seconds after which what a killed process left behind is swept
LOST = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG)


@contextmanager
def replacing(path: Path, *, lasting: bool = True) -> Iterator[Path]:
    """Give a temporary path beside ``path``; on leaving, sync it and rename it to ``path``.

    A file that is replaced keeps its mode; a link is replaced by the file, what it led to stays.

    Args:
        lasting: wait for the disk. Otherwise a failure of the power, and that alone, can leave an empty file: enough
            for what only says something of other files that nobody waits for.

    Raises:
        FolderError: the disk is full, the folder cannot be written, or ``path`` is read-only or no regular file;
            ``path`` is as it was.
    """
    try:
        mode = _mode_to_keep(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = _unused(path)
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))  # less the process's umask
    except OSError as error:
        raise FolderError(f"cannot write {path}: {error.strerror or error}") from error
    try:
        yield temporary
        if lasting:
            sync(temporary)
        if mode is not None:
            with suppress(OSError):  # file systems without modes
                temporary.chmod(mode)
        temporary.replace(path)
        if lasting:
            sync(path.parent)
    except (OSError, SafetensorError) as error:
        raise FolderError(f"cannot write {path}: {reason_of(error)}") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def making(folder: Path) -> Iterator[Path]:
    """Give a temporary folder beside ``folder``; on leaving, rename it to ``folder``, which must not be there or empty.

    Left with an exception, the temporary folder is removed. While it is filled it is locked, so that ``sweep`` of
    another process leaves it alone. A link to an empty folder stays, and the content is made where it leads.

    Raises:
        FolderError: it cannot be written, or another process has made ``folder`` meanwhile.
    """
    if folder.is_symlink():
        folder = Path(os.path.realpath(folder))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = _unused(folder)
        temporary.mkdir()
    except OSError as error:
        raise FolderError(f"cannot write {folder}: {error.strerror or error}") from error
    lock = FileLock(temporary / LOCK)
    try:
        with suppress(OSError, NotImplementedError):  # file systems without locks
            lock.acquire(timeout=0)
        yield temporary
        lock.release(force=True)
        (temporary / LOCK).unlink(missing_ok=True)
        os.replace(temporary, folder)
        sync(folder.parent)
    except (OSError, SafetensorError) as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            raise FolderError(f"{folder} is in use: another process has just made it; name a new folder") from error
        raise FolderError(f"cannot write {folder}: {reason_of(error)}") from error
    finally:
        lock.release(force=True)
        shutil.rmtree(temporary, ignore_errors=True)


def write(path: Path, content: str | bytes, *, lasting: bool = True) -> None:
    """Replace a file's content as a whole; see ``replacing``."""
    data = content.encode() if isinstance(content, str) else content
    with replacing(path, lasting=lasting) as temporary:
        temporary.write_bytes(data)


def write_with(path: Path, save: Callable[[Path], object]) -> None:
    """Replace a file by what ``save(temporary_path)`` writes."""
    with replacing(path) as temporary:
        save(temporary)


def refuse(path: Path) -> None:
    """Raise FolderError now where ``replacing`` would after the work: such as a folder or a read-only file."""
    try:
        _mode_to_keep(path)
        above = next(folder for folder in path.absolute().parents if os.path.lexists(folder))
        if not above.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, f"{above} is no folder")
    except OSError as error:
        raise FolderError(f"cannot write {path}: {error.strerror or error}") from error


def _is_nobodys(_: Path) -> bool:
    return False


def refuse_used(
    folder: Path, offer: str = "name a new folder with --out", is_ours: Callable[[Path], bool] = _is_nobodys
) -> None:
    """Raise FolderError where ``folder`` is not free: neither absent nor a folder of nothing but what is ours.

    Args:
        offer: what the person can do.
        is_ours: whether something in it may be there.
    """
    if occupant(folder, is_ours) is not None:
        raise FolderError(f"{str(folder)!r} is in use; {offer}")


def occupant(folder: Path, is_ours: Callable[[Path], bool] = _is_nobodys) -> Path | None:
    """The first by name that keeps ``folder`` from being free, None where it is; a link to nowhere is itself in use.

    Raises:
        FolderError: it is a file, or cannot be read.
    """
    if not os.path.lexists(folder):
        return None
    try:
        return next((path for path in sorted(folder.iterdir()) if not is_ours(path)), None)
    except FileNotFoundError:
        return folder
    except NotADirectoryError:
        raise FolderError(f"{str(folder)!r} is a file; name a folder with --out") from None
    except OSError as error:
        raise FolderError(f"cannot use {str(folder)!r} ({error.strerror or error}); name another --out") from error


def sync(path: Path) -> None:
    """Force a file or folder to the disk, where the file system can; OSError only where data are lost."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:  # folders on Windows
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno in LOST:
            raise
    finally:
        os.close(handle)


def sweep(folder: Path, older_than: float = OLD) -> None:
    """Remove what killed processes left half written in ``folder``: temporary files and folders, old and unlocked.

    Nothing is removed from behind a link.
    """
    if folder.is_symlink():
        return
    with suppress(OSError):
        for entry in list(os.scandir(folder)):
            if is_partial(entry.name):
                with suppress(OSError):
                    _sweep(Path(entry.path), entry.is_dir(follow_symlinks=False), older_than)


def _sweep(path: Path, is_folder: bool, older_than: float) -> None:
    newest = max(inside.lstat().st_mtime for inside in (path, *(path.iterdir() if is_folder else ())))
    if time.time() - newest < older_than:
        return
    if not is_folder:
        path.unlink()
        return
    try:
        with FileLock(path / LOCK, timeout=0):
            pass
    except (Timeout, NotImplementedError):
        return
    shutil.rmtree(path, ignore_errors=True)


def is_partial(name: str) -> bool:
    """Whether a file or folder of this name is temporary."""
    return name.startswith(".") and PARTIAL in name


def reason_of(error: BaseException) -> str:
    """Why something could not be written, without the name of the file."""
    return getattr(error, "strerror", None) or str(error).removeprefix("Error while serializing: ").removeprefix(
        "I/O error: "
    )


def _mode_to_keep(path: Path) -> int | None:
    """The mode of the regular file that is to be replaced, None where there is none; OSError where it must not be."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return None
    if stat.S_ISLNK(status.st_mode):
        return None
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is no regular file")
    if not status.st_mode & 0o222:
        raise PermissionError(errno.EACCES, "it is read-only")
    return stat.S_IMODE(status.st_mode)


def _unused(path: Path) -> Path:
    return path.with_name(f".{path.name[:40]}.{secrets.token_hex(4)}{PARTIAL}{path.suffix[:20]}")
