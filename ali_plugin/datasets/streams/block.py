"""Blocks of a stream: read forwards, decoded, and put in the order of their batches by a thread beside the training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from math import prod
from mmap import mmap
from threading import Thread
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ali_plugin.datasets.streams.decoded import Decoded, decoded
from ali_plugin.datasets.streams.order import Order
from ali_plugin.datasets.streams.split import StreamSplit
from ali_plugin.errors import DataError

BUFFER, BUFFER_BYTES = 1 << 14, 1 << 26  # of a block: samples and bytes at most; two are held
TRIED = 100  # samples that may take the place of one that cannot be read

Ints = NDArray[np.int64]
T = TypeVar("T")


@dataclass(frozen=True)
class Block:
    """The rows of some steps that one process takes.

    Attributes:
        data: (steps, rows, C, H, W) uint8.
        labels: (steps, rows).
        unreadable: what could not be read, whose place another sample has taken.
    """

    data: NDArray[np.uint8]
    labels: Ints
    unreadable: list[str] = field(default_factory=list)


def buffer_of(shape: tuple[int, ...]) -> int:
    """Samples of a block, which depend on nothing but their size: the order depends on them."""
    return max(1, min(BUFFER, BUFFER_BYTES // prod(shape)))


def filled(split: StreamSplit, order: Order, epoch: int, block: int, rows: range) -> Block:
    """Read a block.

    Args:
        rows: of each batch, those of this process.

    Raises:
        DataError: a shard is cut off or gone, or too many of its pictures cannot be read.
    """
    steps = order.steps_of(block)
    made = Block(_room((steps, len(rows), *split.shape)), np.empty((steps, len(rows)), np.int64))
    for node in range(order.nodes):
        of_node = range(node * order.share, (node + 1) * order.share)
        own = range(max(rows.start, of_node.start), min(rows.stop, of_node.stop))
        if own:
            _fill(made, split, order, (epoch, node, block), own, rows.start)
    return made


def _room(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """An array that goes back to the system as a whole: what a run frees otherwise it keeps, in pieces that are too
    small for the next block."""
    return np.frombuffer(mmap(-1, max(1, prod(shape))), np.uint8)[: prod(shape)].reshape(shape)


def _fill(made: Block, split: StreamSplit, order: Order, where: tuple[int, int, int], own: range, first: int) -> None:
    """Put what a node gives into its rows ``own`` of each batch; ``first`` is the process's first row."""
    places = order.shuffled(*where).reshape(-1, order.share)[:, own.start % order.share :][:, : len(own)]
    numbers = places.ravel()
    sequence = np.argsort(numbers)
    columns = own.start - first + sequence % len(own)
    targets = list(zip(sequence // len(own), columns, strict=True))
    found = _samples(split, order, where, numbers[sequence])
    for target, number, (picture, label) in zip(targets, numbers[sequence], found, strict=True):
        if isinstance(picture, DataError):
            made.unreadable.append(str(picture))
            picture, label = _another(split, order, where, int(number))
        made.data[target], made.labels[target] = picture, label


def _samples(split: StreamSplit, order: Order, where: tuple[int, int, int], numbers: Ints) -> Iterator[Decoded]:
    """Samples of a node's block by their rising numbers, with their classes."""
    portions = ((split.portions[i], places) for i, places in order.reading(*where, numbers))
    return decoded(((portion.shard, portion.numbers(places)) for portion, places in portions), split.shape)


def _another(
    split: StreamSplit, order: Order, where: tuple[int, int, int], number: int
) -> tuple[NDArray[np.uint8], int]:
    """The next sample of the block that can be read, whichever process asks."""
    size = order.steps_of(where[2]) * order.share
    for further in range(1, min(size, TRIED)):
        ((picture, label),) = _samples(split, order, where, np.array([(number + further) % size]))
        if not isinstance(picture, DataError):
            return picture, label
    raise DataError(f"of {min(size, TRIED)} pictures in a row none can be read, such as {picture}")


def in_background(work: Callable[[], T]) -> Future[T]:
    """Do something in a thread that nobody waits for when the program ends."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # whoever asks for the result gets it
            future.set_exception(error)

    Thread(target=run, name="stream", daemon=True).start()
    return future
