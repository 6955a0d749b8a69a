"""A split that streams: its samples lie in shards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from ali_plugin.datasets.listing import unreadable_note
from ali_plugin.datasets.split import DataSplit
from ali_plugin.datasets.streams.decoded import decoded
from ali_plugin.datasets.streams.shard import UNLABELLED, Portion, Shard
from ali_plugin.errors import DataError

LOOKED_AT = 10_000  # samples, where a command wants all of them at hand
LOOKED_AT_BYTES = 1 << 29
SPREAD = 32  # shards at most, from which such a sample is taken


@dataclass(frozen=True)
class StreamSplit:
    """Samples in shards.

    Attributes:
        portions: of the shards, what is of this split.
        shape: of one sample, (C, H, W).
        classes: their names, () where they have none.
        class_count: 0 where there are no labels.
        notes: what the person should know.
        digest: by which one knows whether the data are the same.
        dataset: its name, with which it always streams, where that was not said; the run keeps it.
    """

    portions: tuple[Portion, ...]
    shape: tuple[int, ...]
    classes: tuple[str, ...] = ()
    class_count: int = 0
    notes: tuple[str, ...] = ()
    digest: str = ""
    dataset: str = ""

    def __len__(self) -> int:
        return sum(map(len, self.portions))

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the shards."""
        return tuple(portion.shard.name for portion in self.portions)

    @property
    def label_size(self) -> int:
        """Number of classes; DataError where there are no labels."""
        if not self.class_count:
            raise DataError("the stream has no labels")
        return self.class_count

    def sample(self, most: int = LOOKED_AT) -> DataSplit:
        """At most so many of the samples in memory, spread over the shards, always the same ones."""
        most = min(most, len(self), max(1, LOOKED_AT_BYTES // prod(self.shape)))
        chosen = [self.portions[i] for i in spread(len(self.portions), min(SPREAD, most))]
        ends = np.cumsum([len(portion) for portion in chosen])
        most = min(most, int(ends[-1]))
        places, starts = spread(int(ends[-1]), most), np.concatenate([[0], ends])
        picked = [(portion.shard, portion.numbers(places[(places >= start) & (places < end)] - start))
                  for portion, start, end in zip(chosen, starts, ends, strict=False)]  # fmt: skip
        found = resident(picked, self.shape, self.classes, labelled=self.class_count > 0)
        note = f"of the stream's {len(self)} training samples, {len(found)} are looked at"
        return replace(found, notes=(*self.notes, note, *found.notes)) if len(found) < len(self) else found


def spread(size: int, count: int) -> NDArray[np.int64]:
    """``count`` of ``size`` numbers, evenly, which rise."""
    return np.unique(np.linspace(0, size - 1, count).astype(np.int64))


def resident(
    picked: Sequence[tuple[Shard, NDArray[np.int64]]],
    shape: tuple[int, ...],
    classes: tuple[str, ...],
    *,
    labelled: bool,
) -> DataSplit:
    """Samples of shards in memory; those that cannot be read are left out, and noted.

    Raises:
        DataError: none of them can be read, or a shard is cut off or gone.
    """
    found = list(decoded(picked, shape))
    unreadable = [str(picture) for picture, _ in found if isinstance(picture, DataError)]
    read = [(picture, label) for picture, label in found if not isinstance(picture, DataError)]
    if not read:
        raise DataError(f"none of {len(found)} pictures of the stream can be read, such as {unreadable[0]}")
    labels = np.array([label for _, label in read], np.int64)
    known = labelled and labels.min() > UNLABELLED  # a test split may come without them
    data = np.stack([picture for picture, _ in read])
    return DataSplit(data, labels if known else None, classes, unreadable_note(unreadable))
