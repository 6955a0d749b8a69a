"""A shard: samples that lie one after another in a file, read forwards; and a portion of its samples."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

UNLABELLED = -1


@dataclass(frozen=True)
class Raw:
    """A sample as it lies in a shard: a picture file's bytes, and its class, UNLABELLED where there are none."""

    content: bytes
    label: int = UNLABELLED


class Shard(ABC):
    """Samples in a file.

    Attributes:
        name: for people, and for whoever asks whether the data are the same.
        samples: how many there are.
    """

    name: str
    samples: int

    @abstractmethod
    def read(self, chosen: NDArray[np.int64]) -> Iterator[Raw]:
        """The samples of these numbers (n,), which rise.

        Raises:
            DataError: the shard is cut off, gone or another one by now; the text names it.
        """


@dataclass(frozen=True)
class Portion:
    """All samples of a shard but a few.

    Attributes:
        without: their numbers, which rise, (k,).
    """

    shard: Shard
    without: NDArray[np.int64]

    def __len__(self) -> int:
        return self.shard.samples - len(self.without)

    def numbers(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """The shard's numbers of the portion's samples at these places."""
        return places + np.searchsorted(self.without - np.arange(len(self.without)), places, side="right")
