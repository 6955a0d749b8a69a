"""What is held out of a stream that has no splits of its own: a bounded sample, always the same one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ali_plugin.datasets.split import Split
from ali_plugin.datasets.streams.order import by_part
from ali_plugin.datasets.streams.shard import Portion, Shard
from ali_plugin.datasets.streams.split import SPREAD, spread
from ali_plugin.errors import DataError

MOST = 1000  # samples of validation, and of test
SHARE = 0.05  # of the shards that they are taken from
DRAW = 20  # seed: what is held out is the same for all runs

Picked = list[tuple[Shard, NDArray[np.int64]]]


@dataclass(frozen=True)
class Parted:
    """Shards, parted.

    Attributes:
        train: what is not held out.
        held_out: samples of validation and of test, by the shard that they are in.
    """

    train: tuple[Portion, ...]
    held_out: dict[Split, Picked]


def parted(shards: Sequence[Shard], splits: Sequence[Split] = ("validation", "test")) -> Parted:
    """Hold out a sample for each of these splits, spread over the shards.

    Raises:
        DataError: there are too few samples.
    """
    chosen = spread(len(shards), min(SPREAD, len(shards)))
    ends = np.cumsum([shards[i].samples for i in chosen])
    total = int(ends[-1])
    count = min(MOST, max(1, round(total * SHARE)))
    if total <= count * len(splits):
        raise DataError(f"the stream has {total} samples; it needs at least {count * len(splits) + 1}, since "
                        f"{' and '.join(splits)} take one each")  # fmt: skip
    drawn = np.random.default_rng(DRAW).choice(total, count * len(splits), replace=False)
    without = [np.zeros(0, np.int64) for _ in shards]
    held_out: dict[Split, Picked] = {}
    for split, places in zip(splits, drawn.reshape(len(splits), count), strict=True):
        found = [(int(chosen[i]), numbers) for i, numbers in by_part(np.sort(places), ends)]
        held_out[split] = [(shards[i], numbers) for i, numbers in found]
        for i, numbers in found:
            without[i] = np.sort(np.concatenate([without[i], numbers]))
    portions = tuple(Portion(shard, numbers) for shard, numbers in zip(shards, without, strict=True))
    return Parted(tuple(portion for portion in portions if len(portion)), held_out)
