"""One split of a dataset: an array of samples, with labels where there are any."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ali_plugin.config.conditions import from_labels
from ali_plugin.errors import DataError, OptionError

Split = Literal["train", "validation", "test"]
UNREAD = "unread"  # as a digest: of files that a dry run leaves alone
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
ORDER, LABELLED, MIRRORED = 0, 1, 2  # streams of random numbers that share a run's seed

Rows = slice | NDArray[np.int64]


@dataclass(frozen=True)
class DataSplit:
    """Samples in memory or in a memory map.

    Attributes:
        data: (N, *shape): uint8 pictures, 0 to 255, channels first, or float32 of any range.
        labels: (N,) class numbers, or (N, A) binary attributes, int64.
        classes: names of the classes or attributes.
        notes: what the person should know, such as files that could not be read.
        names: of the samples, where each comes from a file of its own.
        files: the files that the dataset is made of, relative to its folder, those of other splits too where they
            are at hand. A run that is continued finds by them what has changed.
        digest: of all the samples' content where it is known without reading them.
    """

    data: NDArray[np.uint8] | NDArray[np.float32]
    labels: NDArray[np.int64] | None = None
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    digest: str = ""

    def __post_init__(self) -> None:
        if self.data.dtype not in (np.uint8, np.float32):
            raise DataError(f"samples are {self.data.dtype}, neither uint8 pictures nor float32")
        if len(self.data) == 0:
            raise DataError("the split has no samples")
        if self.labels is not None:
            self._check_labels(self.labels)
        if self.names and len(self.names) != len(self.data):
            raise DataError(f"there are {len(self.names)} names for {len(self.data)} samples")

    def _check_labels(self, labels: NDArray[np.int64]) -> None:
        if labels.dtype != np.int64 or labels.ndim not in (1, 2):
            raise DataError(f"labels are {labels.dtype} of shape {labels.shape}, not int64 (N,) or (N, A)")
        if len(labels) != len(self.data):
            raise DataError(f"there are {len(labels)} labels for {len(self.data)} samples")
        if labels.ndim == 2:
            if self.classes and len(self.classes) != labels.shape[1]:
                raise DataError(f"there are {len(self.classes)} names for {labels.shape[1]} attributes")
            return
        least, most = int(labels.min()), int(labels.max())
        if least < 0 or (self.classes and most >= len(self.classes)):
            wrong = least if least < 0 else most
            known = f"there are {len(self.classes)} classes" if self.classes else "classes are numbered from 0"
            raise DataError(f"a label is {wrong}, but {known}; the dataset has to give others")

    def __len__(self) -> int:
        return len(self.data)

    @property
    def label_size(self) -> int:
        """Number of classes, or of attributes.

        Raises:
            DataError: there are no labels.
        """
        if self.labels is None:
            raise DataError("the dataset has no labels")
        if self.labels.ndim == 2:
            return int(self.labels.shape[1])
        return len(self.classes) or int(self.labels.max()) + 1

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return tuple(self.data.shape[1:])

    def rows(
        self,
        chosen: Rows,
        *,
        condition_size: int = 0,
        device: torch.device | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> tuple[Tensor, Tensor | None]:
        """Samples as a model takes them, (B, *shape), pictures in [0, 1], and their conditions (B, condition_size).

        Args:
            chosen: which, a slice or indices (B,).
            condition_size: of the model, 0 for one that takes none.

        Raises:
            DataError: a condition is asked for, and there are no labels.
            PartMismatch: the labels make no condition of this size.
        """
        data = torch.from_numpy(np.array(self.data[chosen]))  # a copy, as a memory map cannot be written
        x = to_unit(data.to(device)).to(dtype)
        return x, self.conditions(chosen, condition_size, device, dtype) if condition_size else None

    def conditions(
        self, chosen: Rows, size: int, device: torch.device | None = None, dtype: torch.dtype = torch.float32
    ) -> Tensor:
        """The conditions (B, size) that the labels of samples make; raises as ``rows`` does."""
        if self.labels is None:
            raise DataError("the model is conditional, but the dataset has no labels; take one that has")
        return from_labels(torch.from_numpy(self.labels[chosen]), size).to(device, dtype)


def joined(splits: Sequence[DataSplit]) -> DataSplit:
    """Splits of one dataset whose samples have names as one, each sample once, sorted by name."""
    rows = {name: (i, row) for i, split in enumerate(splits) for row, name in enumerate(split.names)}
    chosen = [rows[name] for name in sorted(rows)]
    numbers = [split.labels for split in splits if split.labels is not None]
    labels = np.stack([numbers[i][row] for i, row in chosen]) if len(numbers) == len(splits) else None
    data = np.stack([splits[i].data[row] for i, row in chosen])
    return DataSplit(data, labels, splits[0].classes, splits[0].notes, tuple(sorted(rows)))


def to_unit(data: Tensor) -> Tensor:
    """uint8 pictures to float32 in [0, 1]; float data as they are."""
    return data.float().div_(255) if data.dtype == torch.uint8 else data


def balanced_subset(labels: NDArray[np.int64], classes: int, count: int, seed: int) -> NDArray[np.int64]:
    """Indices of ``count`` samples, as many of each class as can be, chosen by the seed.

    Raises:
        OptionError: fewer than one of each class, or more than there are.
    """
    if labels.ndim != 1:
        raise OptionError("--labels needs a dataset with one class for each sample, this one has attributes")
    if count < classes:
        raise OptionError(f"--labels is {count}, but there are {classes} classes; take at least one of each")
    random = np.random.default_rng([seed, LABELLED])
    chosen = []
    for number in range(classes):
        wanted = count // classes + (number < count % classes)
        members = np.flatnonzero(labels == number)
        if wanted > len(members):
            raise OptionError(f"--labels is {count}, {wanted} of class {number}, which has {len(members)} samples")
        chosen.append(random.choice(members, wanted, replace=False))
    return np.sort(np.concatenate(chosen))
