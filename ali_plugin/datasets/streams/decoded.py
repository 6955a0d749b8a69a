"""The pictures of samples as they lie in shards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from ali_plugin.datasets.streams.shard import Raw, Shard
from ali_plugin.errors import DataError
from ali_plugin.pictures.decode import read_images

AT_ONCE, AT_ONCE_BYTES = 512, 1 << 26  # samples that are read before they are decoded, and their bytes, about

Ints = NDArray[np.int64]
Decoded = tuple[NDArray[np.uint8] | DataError, int]
"""A picture, uint8 (C, H, W), or what is wrong with it; and its class."""


def decoded(picked: Iterable[tuple[Shard, Ints]], shape: tuple[int, ...]) -> Iterator[Decoded]:
    """Samples of shards, by their numbers, which rise within a shard.

    Raises:
        DataError: a shard is cut off or gone.
    """
    samples = ((shard, number, raw) for shard, numbers in picked
               for number, raw in zip(numbers.tolist(), shard.read(numbers), strict=True))  # fmt: skip
    while chunk := list(_some(samples)):
        pictures = read_images([raw.content for _, _, raw in chunk], shape)
        for (shard, number, raw), picture in zip(chunk, pictures, strict=True):
            if isinstance(picture, DataError) or picture.missing:  # another takes its place
                wrong = picture if isinstance(picture, DataError) else picture.missing
                yield DataError(f"{shard.name}, sample {number}: {wrong}"), raw.label
            else:
                yield picture.pixels, raw.label


def _some(samples: Iterator[tuple[Shard, int, Raw]]) -> Iterator[tuple[Shard, int, Raw]]:
    size = 0
    for sample in islice(samples, AT_ONCE):
        yield sample
        size += len(sample[2].content)
        if size > AT_ONCE_BYTES:
            return
