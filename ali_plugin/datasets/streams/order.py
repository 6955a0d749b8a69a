"""The order of a stream, a function of four numbers: epoch, place in it, seed, and canonical nodes.

A canonical node is one reader that the order is made for. In each epoch the shards come in a new order; what they
hold, one after another, is cut into a stretch for each node. A node reads its stretch forwards, a block of samples at
a time, and gives each block in a random order. A batch has equally many samples of each node, one node after another.
No number says how many processes there are: each takes its rows of every batch and reads the nodes that these are of.
After the contract of MosaicML's streaming (canonical nodes, ``py1b``), with no state but those numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ali_plugin.datasets.split import ORDER

MIXED = 8  # nodes at most, where there are not more processes: so many places of the data meet in a batch

Ints = NDArray[np.int64]


def canonical_nodes(batch_size: int, shards: int, processes: int) -> int:
    """How many nodes an order is made for: as many as share a batch equally, up to ``MIXED`` or one for each process,
    and no more than there are shards."""
    most = min(shards, max(MIXED, processes), batch_size)
    return next(number for number in range(most, 0, -1) if batch_size % number == 0)


@dataclass(frozen=True)
class Order:
    """The order in which the samples of shards are drawn.

    Attributes:
        counts: samples of each shard.
        batch_size: rows of a batch, of all nodes together; a multiple of ``nodes``.
        buffer: samples of a block, of all nodes together.
    """

    counts: tuple[int, ...]
    batch_size: int
    seed: int
    nodes: int
    buffer: int

    @property
    def share(self) -> int:
        """Rows of a batch from each node."""
        return self.batch_size // self.nodes

    @property
    def steps(self) -> int:
        """Of an epoch; a last incomplete batch is left out."""
        return sum(self.counts) // self.batch_size

    @property
    def block_steps(self) -> int:
        """Steps that a block lasts, the last one of an epoch less."""
        return max(1, self.buffer // self.batch_size)

    def steps_of(self, block: int) -> int:
        """Steps of a certain block of an epoch."""
        return min(self.block_steps, self.steps - block * self.block_steps)

    def shuffled(self, epoch: int, node: int, block: int) -> Ints:
        """For each place of a node's block (steps x share, step after step) which sample of the block is there."""
        random = np.random.default_rng([self.seed, ORDER, epoch, node, block])
        return random.permutation(self.steps_of(block) * self.share)

    def reading(self, epoch: int, node: int, block: int, chosen: Ints) -> Iterator[tuple[int, Ints]]:
        """Where samples of a node's block lie: shards, in the order of reading, and places in them.

        Args:
            chosen: numbers of samples within the block, which rise.
        """
        shards, ends = self._laid_out(epoch)
        first = (node * self.steps + block * self.block_steps) * self.share
        for i, places in by_part(chosen + first, ends):
            yield int(shards[i]), places

    def _laid_out(self, epoch: int) -> tuple[Ints, Ints]:
        """The shards in an epoch's order, and where each ends."""
        shards = np.random.default_rng([self.seed, ORDER, epoch]).permutation(len(self.counts))
        return shards, np.cumsum(self._sizes[shards])

    @cached_property
    def _sizes(self) -> Ints:
        return np.array(self.counts, np.int64)


def by_part(places: Ints, ends: Sequence[int] | Ints) -> Iterator[tuple[int, Ints]]:
    """Rising places of a whole, by the part that each is in, counted from its beginning."""
    parts = np.searchsorted(ends, places, side="right")
    for part in np.unique(parts):
        yield int(part), places[parts == part] - (ends[part - 1] if part else 0)
