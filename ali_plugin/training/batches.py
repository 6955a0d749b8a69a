"""Shuffled batches without end, whose position is two numbers."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ali_plugin.datasets.split import DataSplit
from ali_plugin.errors import OptionError
from ali_plugin.objectives.game import Batch


def to_unit(data: Tensor) -> Tensor:
    """uint8 pictures to float32 in [0, 1]; float data as they are."""
    return data.float().div_(255) if data.dtype == torch.uint8 else data


def count_batches(samples: int, batch_size: int) -> int:
    """Steps of an epoch; OptionError where not even one batch can be filled."""
    if batch_size > samples:
        raise OptionError(f"--batch-size is {batch_size}, but the training split has {samples} samples; take fewer")
    return samples // batch_size


class Batches:
    """The training split on the device, in a new order each epoch; a last incomplete batch is left out.

    The order is a function of the seed and the epoch, so that ``(epoch, index)`` is the whole state.
    """

    def __init__(self, split: DataSplit, batch_size: int, seed: int, device: torch.device) -> None:
        self.batch_size, self.seed, self.device = batch_size, seed, device
        self.data = torch.from_numpy(np.ascontiguousarray(split.data)).to(device)
        self.labels = None if split.labels is None else torch.from_numpy(split.labels).to(device)
        self.steps_per_epoch = count_batches(len(split), batch_size)
        self.epoch, self.index = 0, 0
        self._order = self._shuffled()

    def _shuffled(self) -> Tensor:
        generator = np.random.default_rng([self.seed, self.epoch])
        return torch.from_numpy(generator.permutation(len(self.data))).to(self.device)

    def next(self) -> Batch:
        """The next batch."""
        if self.index == self.steps_per_epoch:
            self.seek(self.epoch + 1, 0)
        chosen = self._order[self.index * self.batch_size : (self.index + 1) * self.batch_size]
        self.index += 1
        labels = None if self.labels is None else self.labels[chosen]
        return Batch(to_unit(self.data[chosen]), labels=labels)

    def seek(self, epoch: int, index: int) -> None:
        """Go to a position."""
        self.epoch, self.index = epoch, index
        self._order = self._shuffled()
