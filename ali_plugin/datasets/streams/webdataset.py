"""A person's own tar shards, ``--dataset webdataset --data-dir 'shards/{000..009}.tar'``."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ali_plugin.datasets.split import DataSplit, Split
from ali_plugin.datasets.streams.choice import Choice
from ali_plugin.datasets.streams.held_out import parted
from ali_plugin.datasets.streams.names import shard_files
from ali_plugin.datasets.streams.split import StreamSplit, resident
from ali_plugin.datasets.streams.tables import tar_shards
from ali_plugin.datasets.streams.tar import LABEL, TarShard
from ali_plugin.errors import DataError, OptionError
from ali_plugin.pictures.decode import check_shape
from ali_plugin.support.strict_json import short


def webdataset(
    split: Split, data_dir: Path | None = None, data_shape: tuple[int, ...] = (), words: str = "", **_: Any
) -> DataSplit | StreamSplit:
    """The pictures of tar shards, resized (shorter side) and centre-cropped to ``data_shape``; ``.cls`` are classes.

    A twentieth, at most 1,000 samples, is held out for validation, as many for test, drawn with a fixed seed from up
    to 32 of the shards.

    Raises:
        DataError: a shard is missing, empty, cut off, or has no pictures; a label is no class number.
        OptionError: the dataset's name or the braces say what cannot be.
        PartMismatch: the architecture is not made for pictures.
    """
    check_shape(data_shape)
    choice = Choice.of(words)
    if choice.others:
        raise OptionError(f"--dataset webdataset:{short(words, 100)} is not known; it may say webdataset:image=ENDING "
                          "and :label=ENDING")  # fmt: skip
    assert data_dir is not None  # load sees to it
    shards = tar_shards(shard_files(data_dir, ".tar"), choice)
    classes = _class_count(shards)
    names = tuple(map(str, range(classes)))
    of = parted(shards)
    if split != "train":
        return resident(of.held_out[split], data_shape, names, labelled=classes > 0)
    return StreamSplit(of.train, data_shape, names, classes, notes=_notes(shards), digest=_digest(shards))


def _class_count(shards: Sequence[TarShard]) -> int:
    """Number of classes, 0 where there are none; DataError where only some shards have them."""
    highest = [(int(shard.table[:, LABEL].max()), shard.name) for shard in shards]
    if min(highest)[0] < 0 <= max(highest)[0]:
        raise DataError(f"the shard {max(highest)[1]!r} has classes, but {min(highest)[1]!r} has none; go without with "
                        "--dataset webdataset:label=")  # fmt: skip
    return max(highest)[0] + 1


def _notes(shards: Sequence[TarShard]) -> tuple[str, ...]:
    return (f"{len(shards)} shards with {sum(shard.samples for shard in shards)} pictures are read as a stream",)


def _digest(shards: Sequence[TarShard]) -> str:
    digest = hashlib.sha256()
    for shard in shards:
        digest.update(f"{shard.name}\0{shard.samples}\n".encode(errors="surrogateescape"))
        digest.update(np.ascontiguousarray(shard.table).tobytes())
    return digest.hexdigest()
