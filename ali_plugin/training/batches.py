"""Shuffled batches without end, whose position is two numbers."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ali_plugin.config.conditions import from_labels, refuse_outside
from ali_plugin.datasets.split import LABELLED, MIRRORED, ORDER, DataSplit, balanced_subset, to_unit
from ali_plugin.errors import OptionError
from ali_plugin.objectives.game import Batch, Labelled
from ali_plugin.training import distributed
from ali_plugin.training.source import source_of


def count_batches(samples: int, batch_size: int) -> int:
    """Steps of an epoch; OptionError where not even one batch can be filled."""
    if batch_size > samples:
        raise OptionError(f"--batch-size is {batch_size}, but the training split has {samples} samples; take fewer")
    return samples // batch_size


def share(batch_size: int, processes: int, labelled: int | None = None) -> int:
    """Rows of a batch for each process.

    Args:
        labelled: how many samples' classes may be seen; of them as many are drawn for a step, if there are.

    Raises:
        OptionError: those of the batch, or of the labelled samples, cannot be equally many.
    """
    drawn = {"--batch-size": batch_size, "--labels": batch_size if labelled is None else min(batch_size, labelled)}
    for option, rows in drawn.items():
        if rows % processes:
            fit = f"take a multiple of {processes}, or fewer processes"
            raise OptionError(f"{option} is {rows}, which {processes} processes cannot share equally; {fit}")
    return batch_size // processes


def drawn_to_mirror(whole: int, seed: int, *place: int) -> Tensor:
    """Which of the ``whole`` pictures of a step are mirrored (whole,), about half of them; ``place`` is the step's."""
    return torch.from_numpy(np.random.default_rng([seed, MIRRORED, *place]).random(whole) < 0.5)


def mirrored(x: Tensor, drawn: Tensor) -> Tensor:
    """Pictures x (B, C, H, W), those that are drawn (B,) mirrored left to right."""
    return torch.where(drawn.to(x.device).reshape(-1, 1, 1, 1), x.flip(-1), x)


class Batches:
    """The training split on the device, in a new order each epoch; a last incomplete batch is left out.

    The order is a function of the seed and the epoch, and what is mirrored of the index too, so that
    ``(epoch, index)`` is the whole state.

    Args:
        condition_size: of the model; its conditions are made from the labels.
        labelled: how many samples' classes may be seen, for objectives that use labels.
        flip: mirror each picture left to right, with probability 1/2.
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
        flip: bool = False,
    ) -> None:
        self.steps_per_epoch = count_batches(len(split), batch_size)
        self.rank, self.world_size = distributed.rank(), distributed.world_size()
        share(batch_size, self.world_size, labelled)
        self.batch_size, self.seed, self.device = batch_size, seed, device
        self.condition_size, self.flip = condition_size, flip
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
        x = self._mirrored(to_unit(self.source.take(chosen)), self.batch_size)
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
        x = self._mirrored(to_unit(self.source.take(chosen)), len(picked), LABELLED)
        return Labelled(x, self.labels[chosen.to(self.device)], self._condition(chosen))

    def _mirrored(self, x: Tensor, whole: int, *which: int) -> Tensor:
        """This process's share x of ``whole`` pictures, about half of them mirrored; ``which`` tells draws of a step
        apart."""
        if not self.flip:
            return x
        return mirrored(x, self._own(drawn_to_mirror(whole, self.seed, self.epoch, self.index, *which)))
