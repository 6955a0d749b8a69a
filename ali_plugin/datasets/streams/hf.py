"""Sets of the Hugging Face Hub, ``--dataset hf:USER/NAME[:CONFIG]``: in the cache, or as a stream beyond the disk."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ali_plugin.datasets.cache import MANIFEST
from ali_plugin.datasets.listing import unreadable_note
from ali_plugin.datasets.split import SPLITS, UNREAD, DataSplit, Split
from ali_plugin.datasets.streams import hub_cache
from ali_plugin.datasets.streams.held_out import parted
from ali_plugin.datasets.streams.hub_set import STREAM, Address, HubSet
from ali_plugin.datasets.streams.shard import Portion, Shard
from ali_plugin.datasets.streams.split import StreamSplit, resident
from ali_plugin.errors import DataError
from ali_plugin.pictures.decode import check_shape
from ali_plugin.support import dry_run


def hf(split: Split, data_shape: tuple[int, ...] = (), words: str = "", **_: Any) -> DataSplit | StreamSplit:
    """The pictures of a set on the Hub, resized (shorter side) and centre-cropped to ``data_shape``.

    The set's own splits are taken; where it has no validation or test, a bounded sample of train is held out.

    Raises:
        ALIError: see ``HubSet``; or it has no training split, or a file is cut off or empty.
        PartMismatch: the architecture is not made for pictures.
    """
    check_shape(data_shape)
    of = HubSet(Address.of(words))
    if (train := of.own("train")) is None:
        raise DataError(f"{of.who} has no split 'train'; it has {', '.join(of.files)}")
    own = of.own(split)
    if split != "train" and own is not None:
        shards = of.shards(own)
        return _of_portions(of, own, [Portion(shard, np.zeros(0, np.int64)) for shard in shards], data_shape, words)
    shards = of.shards(train)
    missing = [name for name in SPLITS[1:] if of.own(name) is None]
    parts = parted(shards, missing)
    if split != "train" and dry_run.active.get():
        held_out = [Portion(shard, np.zeros(0, np.int64)) for shard, _ in parts.held_out[split]]
        return _undecoded(held_out, data_shape, _classes(of, shards), ())
    if split != "train":
        return resident(parts.held_out[split], data_shape, _classes(of, shards), labelled=of.columns.label is not None)
    return _of_portions(of, train, parts.train, data_shape, words)


def _of_portions(
    of: HubSet, name: str, portions: Sequence[Portion], shape: tuple[int, ...], words: str
) -> DataSplit | StreamSplit:
    """A whole split: from the cache, or as a stream."""
    shards = [portion.shard for portion in portions]
    classes = _classes(of, shards)
    labelled, files = of.columns.label is not None, tuple(shard.name for shard in shards)
    what = (of.files[name], of.columns.image, of.columns.label, shape, [len(portion) for portion in portions])
    folder = hub_cache.folder_of("hf", *what)
    streams = of.address.streams or not hub_cache.fits(portions, shape, folder)
    if streams:
        digest = hashlib.sha256(repr((of.files[name], what[1:3], [len(p) for p in portions])).encode()).hexdigest()
        note = f"{len(shards)} shards with {sum(map(len, portions))} pictures of {of.address.repo} are read as a stream"
        found = StreamSplit(tuple(portions), shape, classes, len(classes), (note,), digest)
        return found if of.address.streams else replace(found, dataset=f"hf:{words}:{STREAM}")
    if dry_run.active.get() and not (folder / MANIFEST).is_file():
        return _undecoded(portions, shape, classes, files)
    kept = hub_cache.kept(portions, shape, folder)
    known = labelled and int(kept.labels.min()) >= 0  # a test split may come without them
    return DataSplit(kept.data, kept.labels if known else None, classes if known else (),
                     unreadable_note(kept.unreadable), files=files, digest=kept.digest)  # fmt: skip


def _classes(of: HubSet, shards: Sequence[Shard]) -> tuple[str, ...]:
    """Names of the classes, their numbers where they have none."""
    return of.columns.classes or tuple(map(str, range(of.class_count(list(shards)))))  # type: ignore[arg-type]


def _undecoded(
    portions: Sequence[Portion], shape: tuple[int, ...], classes: tuple[str, ...], files: tuple[str, ...]
) -> DataSplit:
    """What a dry run knows of a set that is not in the cache: how many samples there are."""
    count = sum(map(len, portions))
    data = np.broadcast_to(np.zeros((), np.uint8), (count, *shape))
    note = "a dry run fetches no pictures, so those that cannot be read still count"
    labels = np.arange(count, dtype=np.int64) % len(classes) if classes else None
    return DataSplit(data, labels, classes, (note,), files=files, digest=UNREAD)
