"""The picture files below a folder, with their classes, and what was passed over and why."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ali_plugin.errors import DataError
from ali_plugin.pictures.decode import KINDS, is_picture, suffixes
from ali_plugin.support.paths import refuse_no_folder
from ali_plugin.support.shared import shared
from ali_registry.text import printable

SYSTEM = {"__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found", "thumbs.db",
          "desktop.ini"}  # fmt: skip
"""Names of what file managers and storage boxes leave in folders, in lower case."""
OUTPUTS = ({"train_config.json"}, {"experiment.json"}, {"model_index.json"}, {"config.json", "model.safetensors"})
"""Files by which a folder is known as a run's, an experiment's or a model's: its pictures are no training data."""
SHOWN = 5  # names in a note
SEED = b"held out"

Why = Callable[[str, str], None]


@dataclass(frozen=True)
class Listing:
    """What a folder holds.

    Attributes:
        root: the folder.
        found: its pictures, relative to ``root``, with slashes, sorted by folder and name.
        passed_over: reason -> names, relative to ``root``.
    """

    root: Path
    found: tuple[str, ...]
    passed_over: dict[str, list[str]]

    def notes(self) -> tuple[str, ...]:
        """A sentence for each reason."""
        return tuple(f"passed over, {why}: {_count(names)}" for why, names in sorted(self.passed_over.items()))

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """The pictures."""
        return tuple(self.root / name for name in self.found)


@shared
def list_images(folder: Path) -> Listing:
    """The picture files below a folder, by their endings, or by their content where the name has none.

    Hidden files and folders, what systems leave behind, and folders of runs and models are passed over. Links are
    followed, each folder is read once.

    Raises:
        DataError: there is no such folder, or it has no pictures.
    """
    passed: dict[str, list[str]] = {}

    def pass_over(why: str, name: str) -> None:
        passed.setdefault(why, []).append(name)

    refuse_no_folder(folder, str(folder))
    found = tuple(sorted(_walk(folder, pass_over), key=lambda name: name.replace("/", "\0")))
    listing = Listing(folder, found, {why: sorted(names) for why, names in passed.items()})
    if not found:
        reasons = "".join(f"; {note}" for note in listing.notes())
        raise DataError(f"{str(folder)!r} has no pictures ({KINDS}){reasons}")
    return listing


def is_hidden(name: str) -> bool:
    """Whether a file or folder is of no concern to a person: a dot at the front, or a system's own name."""
    return name.startswith(".") or name.casefold() in SYSTEM


def class_names(names: Sequence[str]) -> tuple[str, ...]:
    """The subfolders that hold the files of these names; none if any file lies outside of them."""
    return () if any("/" not in name for name in names) else tuple(sorted({name.split("/", 1)[0] for name in names}))


def class_numbers(names: Sequence[str], classes: Sequence[str]) -> NDArray[np.int64]:
    """The number of each file's class, (N,)."""
    number = {name: i for i, name in enumerate(classes)}
    return np.array([number[name.split("/", 1)[0]] for name in names], np.int64)


def printable_names(names: Sequence[str]) -> tuple[str, ...]:
    """Names that can be shown and written anywhere, and still differ from each other."""
    shown: dict[str, None] = {}
    for name in names:
        text, again = printable(name, 200), 2
        while text in shown:
            text, again = f"{printable(name, 200)} ({again})", again + 1
        shown[text] = None
    return tuple(shown)


def unreadable_note(unreadable: Sequence[str]) -> tuple[str, ...]:
    """A sentence about files that are left out, if there are any."""
    if not unreadable:
        return ()
    return (f"{len(unreadable)} pictures could not be read and are left out: {_named(unreadable)}",)


def incomplete_note(incomplete: Sequence[str]) -> tuple[str, ...]:
    """A sentence about files that end too soon and are used, if there are any."""
    if not incomplete:
        return ()
    return (f"{len(incomplete)} pictures are not complete and are used as far as they go: {_named(incomplete)}",)


def untaught_note(classes: Sequence[str]) -> tuple[str, ...]:
    """A sentence about classes that the other splits have and training has not, if there are any."""
    return (f"classes without a picture to train on: {_count(classes)}",) if classes else ()


def _count(names: Sequence[str]) -> str:
    return f"{len(names)} ({_named(names)})"


def _named(names: Sequence[str]) -> str:
    return "; ".join(printable(name, 200) for name in names[:SHOWN]) + ("; ..." if len(names) > SHOWN else "")


def _walk(root: Path, pass_over: Why) -> Iterator[str]:
    """Names of pictures below ``root``. Linked folders come after all others, so that these keep their own names."""
    endings = suffixes()
    seen: set[tuple[int, int]] = set()
    ancestors = {_identity(parent) for parent in root.resolve().parents}
    folders, linked = [""], list[str]()
    while folders or linked:
        within = folders.pop() if folders else linked.pop(0)
        folder = root / within
        try:
            identity = _identity(folder)
            if identity in seen or identity in ancestors:
                pass_over("linked folders that lead back or were read already", within or ".")
                continue
            seen.add(identity)
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            pass_over("folders that cannot be read", within or ".")
            continue
        names = {entry.name for entry in entries}
        if within and any(names >= marks for marks in OUTPUTS):
            pass_over("folders of runs and models", within)
            continue
        for entry in entries:
            name = f"{within}/{entry.name}" if within else entry.name
            ending = _ending(entry.name)
            if is_hidden(entry.name):
                pass_over("hidden", name)
            elif _is(entry.is_dir):
                (linked if _is(entry.is_symlink) else folders).append(name)
            elif not _is(entry.is_file):
                pass_over("links that lead nowhere and other special files", name)
            elif ending in endings or (not ending and is_picture(folder / entry.name)):
                yield name
            else:
                pass_over("no pictures by their names", name)


def _ending(name: str) -> str:
    """Of a file's name, with its dot, in lower case; "" where it has none."""
    _, dot, ending = name.rpartition(".")
    return f".{ending.lower()}" if dot and ending else ""


def _is(check: Callable[[], bool]) -> bool:
    try:
        return check()
    except OSError:  # such as a link to itself
        return False


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def drawn(names: tuple[str, ...], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """The files' numbers in an order that is drawn by their names, so that new files do not change that of others;
    of each class there are as many in any part of it as in the whole."""
    draws = _draws(names)
    by_class = np.lexsort((draws, labels))  # rows of a class side by side, in the order of their draws
    _, first, sizes = np.unique(labels[by_class], return_index=True, return_counts=True)
    share = np.empty(len(draws))
    share[by_class] = (np.arange(len(draws)) - np.repeat(first, sizes) + 0.5) / np.repeat(sizes, sizes)
    return np.lexsort((draws, share)).astype(np.int64)


@shared
def _draws(names: tuple[str, ...]) -> NDArray[np.uint64]:
    """A number (N,) that each name stands for."""
    digests = [blake2b(os.fsencode(name), key=SEED, digest_size=8).digest() for name in names]
    return np.frombuffer(b"".join(digests), ">u8")
