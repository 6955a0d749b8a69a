"""Shuffled batches without end, whose position is two numbers."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ali_plugin.config.conditions import from_labels, refuse_outside
from ali_plugin.datasets.split import LABELLED, ORDER, DataSplit, balanced_subset, to_unit
from ali_plugin.errors import OptionError
from ali_plugin.objectives.game import Batch, Labelled
from ali_plugin.training import distributed
from ali_plugin.training.source import source_of


def count_batches(samples: int, batch_size: int) -> int:
    """Steps of an epoch; OptionError where not even one batch can be filled."""
    if batch_size > samples:
        raise OptionError(f"--batch-size is {batch_size}, but the training split has {samples} samples; take fewer")
    return samples // batch_size


def share(batch_size: int, processes: int) -> int:
    """Rows of a batch for each process; OptionError where they cannot be equally many."""
    if batch_size % processes:
        raise OptionError(f"--batch-size is {batch_size}, which {processes} processes cannot share equally")
    return batch_size // processes


class Batches:
    """The training split on the device, in a new order each epoch; a last incomplete batch is left out.

    The order is a function of the seed and the epoch, so that ``(epoch, index)`` is the whole state.

    Args:
        condition_size: of the model; its conditions are made from the labels.
        labelled: how many samples' classes may be seen, for objectives that use labels.
    """

    def __init__(
        self,
        split: DataSplit,
        batch_size: int,
        seed: int,
        device: torch.device,
        *,
        condition_size: int = 0,
        labelled: int | None = None,
    ) -> None:
        self.steps_per_epoch = count_batches(len(split), batch_size)
        self.rank, self.world_size = distributed.rank(), distributed.world_size()
        share(batch_size, self.world_size)
        self.batch_size, self.seed, self.device = batch_size, seed, device
        self.condition_size = condition_size
        self.source = source_of(split, device)
        self.samples = len(split)
        if condition_size and split.labels is not None:
            refuse_outside(torch.from_numpy(split.labels), condition_size)
        self.labels = None if split.labels is None else torch.from_numpy(split.labels).to(device)
        self.subset: NDArray[np.int64] | None = None
        if labelled is not None:
            size = split.label_size
            assert split.labels is not None
            self.subset = balanced_subset(split.labels, size, labelled, seed)
        self.epoch, self.index = 0, 0
        self.nodes = 0
        self._order = self._shuffled()

    def _shuffled(self) -> Tensor:
        generator = np.random.default_rng([self.seed, ORDER, self.epoch])
        return self.source.order(torch.from_numpy(generator.permutation(self.samples)))

    def next(self) -> Batch:
        """The next batch."""
        if self.index >= self.steps_per_epoch:  # beyond it where the data have become fewer
            self.seek(self.epoch + 1, 0, self.nodes)
        chosen = self._rows(self.index)
        self.index += 1
        x = to_unit(self.source.take(chosen))
        if self.index < self.steps_per_epoch:
            self.source.prefetch(self._rows(self.index))
        return Batch(x, self._condition(chosen), self._labelled())

    def _rows(self, index: int) -> Tensor:
        return self._own(self._order[index * self.batch_size : (index + 1) * self.batch_size])

    def _own(self, rows: Tensor) -> Tensor:
        """This process's share of a batch's rows."""
        return rows.tensor_split(self.world_size)[self.rank]

    def seek(self, epoch: int, index: int, nodes: int = 0) -> None:
        """Go to a position; an order of all the data is made for no nodes."""
        self.epoch, self.index = epoch, index
        self._order = self._shuffled()

    def notices(self) -> list[str]:
        """What the person should know since this was asked last: of data at hand, nothing."""
        return []

    def _condition(self, chosen: Tensor) -> Tensor | None:
        if not self.condition_size or self.labels is None:
            return None
        return from_labels(self.labels[chosen.to(self.device)], self.condition_size)

    def _labelled(self) -> Labelled | None:
        if self.subset is None or self.labels is None:
            return None
        random = np.random.default_rng([self.seed, LABELLED, self.epoch, self.index])
        picked = random.choice(self.subset, min(self.batch_size, len(self.subset)), replace=False)
        chosen = self._own(self.source.order(torch.from_numpy(picked)))
        x = to_unit(self.source.take(chosen))
        return Labelled(x, self.labels[chosen.to(self.device)], self._condition(chosen))
