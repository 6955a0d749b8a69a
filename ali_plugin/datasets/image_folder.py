"""A person's own pictures: a folder of picture files, with or without a subfolder for each class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ali_plugin.datasets.cache import Decoded, decoded
from ali_plugin.datasets.listing import drawn, list_images, printable_names, untaught_note
from ali_plugin.datasets.split import SPLITS, DataSplit, Split
from ali_plugin.datasets.split_folders import Places, places
from ali_plugin.errors import DataError
from ali_plugin.pictures.background import WHITE
from ali_plugin.pictures.decode import check_shape
from ali_plugin.support import dry_run
from ali_plugin.support.shared import shared

ORDER: tuple[Split, ...] = ("test", "validation", "train")  # of pictures in the cache
HELD_OUT_SHARE = 0.1  # half of it for validation, half for test
FEW, LEAST = 8, 2  # from so many pictures on, validation and test have at least so many each; below that, one each


def image_folder(
    split: Split,
    data_dir: Path | None = None,
    data_shape: tuple[int, ...] = (),
    background: str = WHITE,
    **_: Any,
) -> DataSplit:
    """Every picture below ``data_dir``, resized (shorter side) and centre-cropped to ``data_shape``.

    Subfolders of ``data_dir`` are the classes. Of each class a tenth is held out, drawn with a fixed seed: half of it
    for validation and half for test. Folders ``train``, ``val`` and ``test`` are taken as splits, with classes below
    them; one of the last two that is missing is drawn from ``train``, a twentieth of it. Files that are passed over or
    cannot be read are in ``notes``.

    Raises:
        DataError: no folder, no pictures, or none that can be read.
        PartMismatch: the architecture is not made for pictures.
    """
    check_shape(data_shape)
    if data_dir is None:
        raise DataError("image-folder needs --data-dir, a folder of pictures")
    found, pictures, order, counts = _read(data_dir, data_shape, background)
    part, note = _part(counts, split, found.by_folder)
    labels, names = found.labels[order[part]], found.listing.found
    notes = (*found.listing.notes(), *pictures.notes, *note, *untaught_note(_untaught(found, order, counts)))
    if dry_run.active.get():
        notes += ("a dry run decodes nothing, so files that cannot be read still count",)
    return DataSplit(
        pictures.data[part],
        labels if found.classes and labels.min(initial=0) >= 0 else None,
        printable_names(found.classes),
        notes,
        tuple(names[i] for i in order[part].tolist()),
        files=names,
        digest=pictures.digest,
    )


@shared
def _read(
    folder: Path, data_shape: tuple[int, ...], background: str
) -> tuple[Places, Decoded, NDArray[np.int64], dict[Split, int]]:
    """What all splits of a folder have in common: where its files belong, its pictures, the numbers of the files that
    these are of, as they lie there, and how many each split has by its own folder."""
    found = places(list_images(folder))
    number = {name: i for i, name in enumerate(ORDER)}
    place = np.array([number[name] for name in found.splits], np.int64)
    names = found.listing.found
    order = drawn(names, place * (len(found.classes) + 1) + found.labels)
    order = order[np.argsort(place[order], kind="stable")]
    pictures = decoded(folder, [names[i] for i in order.tolist()], data_shape, "image-folder", background)
    order = order[pictures.kept]
    counts = {name: int((place[order] == i).sum()) for i, name in enumerate(ORDER)}
    if not counts["train"]:
        raise DataError(f"no picture of the folder train in {str(folder)!r} can be read: {pictures.unreadable[0]}")
    return found, pictures, order, counts


def _part(counts: dict[Split, int], split: Split, by_folder: bool) -> tuple[slice, tuple[str, ...]]:
    """The rows of a split, which lie as ``ORDER`` says, and what to say about how they were found.

    What has no pictures of its own is drawn from the first of ``train``'s rows.
    """
    missing = [name for name in ORDER if name != "train" and not counts[name]]
    first = counts["test"] + counts["validation"]
    rows = {"test": slice(0, counts["test"]), "validation": slice(counts["test"], first)}
    of_train, note = _drawn(counts["train"], missing)
    rows |= {name: slice(first + part.start, first + part.stop) for name, part in of_train.items()}
    if by_folder:
        sizes = ", ".join(f"{rows[name].stop - rows[name].start} for {name}" for name in SPLITS)
        note = f"folders are taken as splits, {sizes}" + "".join(f"; {name} is drawn from train" for name in missing)
    return rows[split], (note,) if note else ()


def _untaught(found: Places, order: NDArray[np.int64], counts: dict[Split, int]) -> list[str]:
    """The classes of which there is no picture in ``train``."""
    taught = set(found.labels[order[counts["test"] + counts["validation"] :]].tolist())
    return [name for number, name in enumerate(found.classes) if number not in taught]


def _drawn(count: int, missing: Sequence[Split]) -> tuple[dict[str, slice], str]:
    """The parts of ``count`` pictures that the missing splits and train get, and what to say about few of them."""
    if not missing:
        return {"train": slice(0, count)}, ""
    if count == 1:
        one: dict[str, slice] = dict.fromkeys([*missing, "train"], slice(0, 1))
        return one, "there is one picture: it is trained on, and held out"
    if count == len(missing):
        two = {"test": slice(0, 1), "validation": slice(0, 1), "train": slice(1, 2)}
        return two, "there are two pictures: one is trained on, the other is both validation and test"
    half, least = round(count * HELD_OUT_SHARE / 2), LEAST if count >= FEW else 1
    note = f"of {count} pictures, {least} are for validation and {least} for test" if half < least else ""
    half = max(half, least)
    parts: dict[str, slice] = {name: slice(i * half, (i + 1) * half) for i, name in enumerate(missing)}
    return {**parts, "train": slice(len(missing) * half, count)}, note
