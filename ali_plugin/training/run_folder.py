"""The folder of a run: free for a new one, held by one process, its files its own.

A run replaces and removes files of its folder. It never does so behind a link that leads out of it: a link is
followed to read, and to write where nothing is there yet.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ali_plugin.errors import ConfigError, FolderError
from ali_plugin.folder import model_folder
from ali_plugin.support import atomic, locks
from ali_plugin.support.strict_json import read_text
from ali_plugin.training import checkpoint
from ali_plugin.training.config import TRAIN_CONFIG_NAME
from ali_plugin.training.metrics import METRICS_NAME, Metrics

SAMPLES, BEST, TENSORBOARD, WANDB = "samples", "best", "tensorboard", "wandb"
LAUNCH = ".launch"  # holds the name of the launch that trains here, of one process or several
OWN_FILES = (TRAIN_CONFIG_NAME, METRICS_NAME, LAUNCH, *locks.FILES)  # beside those of the model
LEFT = 60.0  # seconds after which a temporary file in a held folder is of a process that was killed
PICTURE = re.compile(r"step-\d{9}-\w+\.png")
EVENTS = re.compile(r"events\.out\.tfevents\..*")
WANDB_RUN = re.compile(r"(offline-)?run-(?P<time>\d{8}_\d{6})-(?P<id>.+)")


@contextmanager
def holding(out: Path) -> Iterator[None]:
    """Hold a run's folder, made if need be: one process at a time trains in it, or changes what it holds.

    What killed processes have left half written is swept.

    Raises:
        FolderError: another process, which the text names, holds it; or it cannot be written.
    """
    with locks.holding(out / locks.NAME, _what(out)):
        for folder in (Path(os.path.realpath(out)), *(out / name for name in (checkpoint.FOLDER, SAMPLES, BEST))):
            atomic.sweep(folder, older_than=LEFT)
        yield


def refuse_unfit(out: Path, *, resume: bool) -> None:
    """Raise FolderError if a run cannot start in ``out``, or go on there with ``resume``; writes nothing."""
    refuse_held(out)
    if resume:
        refuse_odd_files(out)
    else:
        refuse_used(out)


def refuse_held(out: Path) -> None:
    """Raise FolderError, as ``holding`` would, if another process holds the folder; writes nothing."""
    locks.refuse_held(out / locks.NAME, _what(out))


def refuse_used(out: Path) -> None:
    """Raise FolderError if ``out`` is not free for a new run.

    It is free where it is empty, or holds no more than a run leaves that was killed before its first checkpoint.
    """
    offer = "continue its run with --resume, or name another --out"
    found = atomic.occupant(out, _is_early)
    if found is not None and (out / TRAIN_CONFIG_NAME).is_file() and not checkpoint.found(out):
        offer = (
            f"its run has no checkpoint, but {found.name!r} is there; move that away to start anew, or name "
            "another --out"
        )
    atomic.refuse_used(out, offer, _is_early)


def is_of(out: Path, launch: str) -> bool:
    """Whether the run in a folder was begun by this launch, whose processes are started again or joined by others."""
    try:
        return bool(launch) and read_text(out / LAUNCH) == launch
    except ConfigError:  # it is not there
        return False


def claim(out: Path, metrics: Metrics, step: int | None, launch: str = "") -> None:
    """Make a held folder ready for a run, unless another process had it since this one looked.

    Args:
        step: that the run is continued from, None for a new one.
        launch: the name of the launch that trains in it from now on, "" for none.

    Raises:
        FolderError: it is not free, or the run is further by now; or its files are not its own.
    """
    if step is None:
        if not is_of(out, launch):
            refuse_used(out)
        start_anew(out)
    else:
        refuse_odd_files(out)
        newest = checkpoint.found(out)[-1:]
        if newest and newest[0].name != checkpoint.name_of(step):
            raise FolderError(f"another process has continued the run in {str(out)!r} meanwhile; start again")
        metrics.keep_until(step)
    if launch:
        atomic.write(out / LAUNCH, launch)
    else:
        (out / LAUNCH).unlink(missing_ok=True)


def start_anew(out: Path) -> None:
    """Remove the figures and pictures of a run that was killed before its first checkpoint."""
    (out / METRICS_NAME).unlink(missing_ok=True)
    if not (out / SAMPLES).is_symlink():
        for picture in _entries(out / SAMPLES):
            if PICTURE.fullmatch(picture.name):
                picture.unlink(missing_ok=True)


def refuse_odd_files(out: Path) -> None:
    """Raise FolderError where a file that a run replaces is a link out of its folder, or no regular file."""
    model_folder.refuse_links_elsewhere(out, (*OWN_FILES, *model_folder.FILES))
    for name in (*OWN_FILES, *model_folder.FILES):
        if (out / name).exists() and not (out / name).is_file():
            raise FolderError(f"{out / name} is no regular file; a run writes a file of this name, so remove it")
    for name in (checkpoint.FOLDER, SAMPLES, BEST):
        if (out / name).exists() and not (out / name).is_dir():
            raise FolderError(f"{out / name} is no folder; a run makes a folder of this name, so remove it")


def refuse_overwriting(path: Path) -> None:
    """Raise FolderError if a file would be replaced behind a linked folder of the run."""
    if path.parent.is_symlink() and os.path.lexists(path):
        raise FolderError(f"{path.parent} is a link, and {path.name} is there already; it is not overwritten")


def _what(out: Path) -> str:
    return f"the run in {str(out)!r}"


def _is_early(path: Path) -> bool:
    """Whether a run leaves it that was killed before its first checkpoint."""
    ours = {SAMPLES: PICTURE, TENSORBOARD: EVENTS, WANDB: re.compile(rf"{WANDB_RUN.pattern}|latest-run|debug.*\.log")}
    if not path.is_dir() or (path.is_symlink() and path.name not in (checkpoint.FOLDER, *ours, BEST)):
        return path.name in OWN_FILES or atomic.is_partial(path.name)
    mine = ours.get(path.name)
    inside = (entry.name for entry in _entries(path))
    return all(atomic.is_partial(name) or (mine is not None and mine.fullmatch(name)) for name in inside)


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise FolderError(f"{folder} cannot be read ({error.strerror or error})") from error
