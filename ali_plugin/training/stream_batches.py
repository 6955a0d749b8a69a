"""Batches of a stream: its position is two numbers and the nodes that the order is made for."""

from __future__ import annotations

import warnings
from concurrent.futures import Future
from functools import partial

import torch

from ali_plugin.config.conditions import from_labels, refuse_outside
from ali_plugin.datasets.split import to_unit
from ali_plugin.datasets.streams.block import Block, buffer_of, filled, in_background
from ali_plugin.datasets.streams.order import Order, canonical_nodes
from ali_plugin.datasets.streams.split import StreamSplit
from ali_plugin.errors import ConfigError, OptionError
from ali_plugin.objectives.game import Batch
from ali_plugin.training import distributed
from ali_plugin.training.batches import count_batches, drawn_to_mirror, mirrored, share

Place = tuple[int, int]
"""A block: its epoch, and its number in it."""


def refuse_few_shards(split: StreamSplit, processes: int) -> None:
    """Raise OptionError where processes are more than shards, so that some would have none to read."""
    if processes > len(split.portions):
        shards = f"{len(split.portions)} shards" if len(split.portions) > 1 else "one shard"
        raise OptionError(f"{processes} processes share a stream of {shards}; take at most "
                          f"--devices {len(split.portions)}, or cut the data into more shards")  # fmt: skip


class StreamBatches:
    """Batches of a stream on the device, in a new order each epoch; a last incomplete batch is left out.

    The order is a function of seed, epoch and ``nodes``, whatever the number of processes: ``(epoch, index, nodes)``
    is the whole state. The next block is read while the steps of the present one are made.

    Args:
        condition_size: of the model; its conditions are made from the labels.
        flip: mirror each picture left to right, with probability 1/2, drawn as ``Batches`` does it.
    """

    def __init__(
        self,
        split: StreamSplit,
        batch_size: int,
        seed: int,
        device: torch.device,
        *,
        condition_size: int = 0,
        flip: bool = False,
    ) -> None:
        self.rank, self.world_size = distributed.rank(), distributed.world_size()
        self.steps_per_epoch = count_batches(len(split), batch_size)
        own = share(batch_size, self.world_size)
        refuse_few_shards(split, self.world_size)
        self.split, self.batch_size, self.seed, self.device = split, batch_size, seed, device
        self.condition_size, self.flip = condition_size, flip
        self._rows = range(self.rank * own, (self.rank + 1) * own)
        self.epoch, self.index = 0, 0
        self.order = self._order_for(canonical_nodes(batch_size, len(split.portions), self.world_size))
        self._present: tuple[Place, Block] | None = None
        self._next: tuple[Place, Future[Block]] | None = None
        self._notices: list[str] = []
        warnings.filterwarnings("ignore", module=r"PIL\.")  # they name no file; filters are of all threads

    @property
    def nodes(self) -> int:
        """That the order is made for."""
        return self.order.nodes

    def next(self) -> Batch:
        """The next batch."""
        if self.index >= self.steps_per_epoch:
            self.seek(self.epoch + 1, 0, self.nodes)
        number, step = divmod(self.index, self.order.block_steps)
        block = self._block(number)
        self.index += 1
        data = torch.from_numpy(block.data[step])
        if self.device.type == "cuda":
            data = data.pin_memory()
        x = to_unit(data.to(self.device, non_blocking=True))
        if self.flip:
            drawn = drawn_to_mirror(self.batch_size, self.seed, self.epoch, self.index)
            x = mirrored(x, drawn[self._rows.start : self._rows.stop])
        if not self.condition_size:
            return Batch(x, None, None)
        labels = torch.from_numpy(block.labels[step]).to(self.device)
        return Batch(x, from_labels(labels, self.condition_size), None)

    def seek(self, epoch: int, index: int, nodes: int) -> None:
        """Go to a position of an order that was made for so many nodes.

        Raises:
            ConfigError: no order of these batches can be.
        """
        if nodes != self.nodes:
            if nodes < 1 or self.batch_size % nodes:
                raise ConfigError(f"canonical_nodes is {nodes}, which a batch of {self.batch_size} is no multiple of")
            self.order = self._order_for(nodes)
            self._present = self._next = None
        self.epoch, self.index = epoch, index

    def notices(self) -> list[str]:
        """What the person should know since this was asked last."""
        told, self._notices = self._notices, []
        return told

    def _order_for(self, nodes: int) -> Order:
        counts = tuple(map(len, self.split.portions))
        return Order(counts, self.batch_size, self.seed, nodes, buffer_of(self.split.shape))

    def _block(self, number: int) -> Block:
        """A block of the present epoch; the one after it is begun when this one is there, so that they do not read
        against each other."""
        place = self.epoch, number
        if self._present is None or self._present[0] != place:
            last = (number + 1) * self.order.block_steps >= self.steps_per_epoch
            after = (self.epoch + 1, 0) if last else (self.epoch, number + 1)
            self._present = place, self._begun(place).result()
            self._next = after, in_background(partial(filled, self.split, self.order, *after, self._rows))
            self._note(self._present[1].unreadable)
            if self.condition_size:
                refuse_outside(torch.from_numpy(self._present[1].labels.ravel()), self.condition_size)
        return self._present[1]

    def _begun(self, place: Place) -> Future[Block]:
        self._present = None  # two blocks are held at most
        if self._next is not None and self._next[0] == place:
            return self._next[1]
        return in_background(partial(filled, self.split, self.order, *place, self._rows))

    def _note(self, unreadable: list[str]) -> None:
        if unreadable:
            what = f"{len(unreadable)} pictures of the stream" if len(unreadable) > 1 else "a picture of the stream"
            self._notices.append(f"{what} could not be read, such as {unreadable[0]}; the samples after "
                                 f"{'them' if len(unreadable) > 1 else 'it'} take their places")  # fmt: skip
