"""Where a picture belongs by the folders it lies in: to a split, where they are named like splits, and to a class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ali_plugin.datasets.listing import Listing
from ali_plugin.datasets.split import Split

SPLIT_OF: dict[str, Split] = {
    "train": "train", "training": "train",
    "val": "validation", "valid": "validation", "validation": "validation", "dev": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip
"""What folders of splits are called, in lower case."""
TRAIN: Split = "train"
OUTSIDE = "outside of the folders of the splits"
Names = tuple[str, ...]
"""The folders of a file and its name."""


@dataclass(frozen=True)
class Places:
    """Pictures and where they belong.

    Attributes:
        splits: of each file, "train" where no folder says; ``by_folder`` says whether any does.
        classes: subfolders of the folder, or of its splits.
        labels: numbers of the classes (N,), -1 for a file that lies in none.
    """

    listing: Listing
    splits: tuple[Split, ...]
    by_folder: bool
    classes: tuple[str, ...]
    labels: NDArray[np.int64]


def places(listing: Listing) -> Places:
    """Where the pictures of a folder belong.

    Folders count from where they part: one that holds all others, and nothing else, says nothing of its pictures.
    There are splits where a folder ``train`` lies beside ``val`` or ``test``; what lies outside of them is passed over.
    Only where all pictures of ``train`` (or of all) lie in class folders are there classes.
    """
    parts = _parting([tuple(name.split("/")) for name in listing.found])
    named = [SPLIT_OF.get(part[0].casefold()) if len(part) > 1 else None for part in parts]
    if "train" not in named or not {"validation", "test"} & set(named):
        classes, labels = _classes(parts, parts)
        return Places(listing, (TRAIN,) * len(parts), False, classes, labels)
    inside = [i for i, split in enumerate(named) if split is not None]
    outside = sorted(name for name, split in zip(listing.found, named, strict=True) if split is None)
    passed_over = {**listing.passed_over, **({OUTSIDE: outside} if outside else {})}
    splits = tuple(split for split in named if split is not None)
    below = _parting([parts[i][1:] for i in inside])
    classes, labels = _classes(below, [part for part, split in zip(below, splits, strict=True) if split == "train"])
    kept = replace(listing, found=tuple(listing.found[i] for i in inside), passed_over=passed_over)
    return Places(kept, splits, True, classes, labels)


def _parting(paths: Sequence[Names]) -> list[Names]:
    """The paths from where they part: without the folders above that hold nothing but another folder."""
    depth = 0
    while len({path[depth] for path in paths}) == 1 and all(len(path) > depth + 2 for path in paths):
        depth += 1
    return [path[depth:] for path in paths]


def _classes(parts: Sequence[Names], deciding: Sequence[Names]) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """The first folders of paths as classes, and the class of each, -1 where there is none."""
    if any(len(part) == 1 for part in deciding):
        return (), np.full(len(parts), -1, np.int64)
    classes = tuple(sorted({part[0] for part in parts if len(part) > 1}))
    number = {name: i for i, name in enumerate(classes)}
    return classes, np.array([number[part[0]] if len(part) > 1 else -1 for part in parts], np.int64)
