"""What a run's data are: counts, digests and file names. Checkpoints keep it, so that no run goes on with others.

It does not hold the folder's place: the whole folder may be moved.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ali_plugin.datasets.split import UNREAD, DataSplit
from ali_plugin.datasets.streams.split import StreamSplit
from ali_plugin.errors import ConfigError, DataError
from ali_plugin.support.strict_json import read_object, short

NAME = "data.json"
READ_WHOLE = 1 << 26  # bytes of samples of which each counts; of more, evenly spread rows of about that size
KEEP_NAMES = 1 << 19  # characters of file names that are kept one by one; of more, their number and digest
SHOWN = 3  # names in a sentence


@dataclass(frozen=True)
class SplitPrint:
    """A split: its size, the shape of a sample, the number of classes (0: no labels), digests."""

    samples: int
    shape: tuple[int, ...]
    classes: int
    labels: str
    content: str


@dataclass(frozen=True)
class Fingerprint:
    """The data of a run.

    Attributes:
        splits: train and validation.
        files: how many files they were taken from, 0 where that is not known; ``digest`` is of their names.
        names: these names, sorted, None where they are too many to keep.
    """

    splits: dict[str, SplitPrint]
    files: int
    digest: str
    names: tuple[str, ...] | None

    @classmethod
    def of(cls, splits: Mapping[str, DataSplit | StreamSplit]) -> Fingerprint:
        """Of data that are loaded. Takes a fraction of a second, however many they are."""
        names = sorted({_text(name) for name in set[str]().union(*(split.files for split in splits.values()))})
        whole = "\n".join(names)
        kept = tuple(names) if len(whole) <= KEEP_NAMES else None
        return cls({name: _print(split) for name, split in splits.items()}, len(names), _digest(whole.encode()), kept)

    @classmethod
    def from_checkpoint(cls, folder: Path) -> Fingerprint | None:
        """The one that a checkpoint keeps, None in one of an earlier version.

        Raises:
            ConfigError: it is damaged.
        """
        path = folder / NAME
        if not path.exists() and not path.is_symlink():
            return None
        try:
            return _parse(read_object(path))
        except (ConfigError, KeyError, TypeError, ValueError) as error:
            raise ConfigError(
                f"{path} is damaged ({short(str(error))}); remove {folder} to use an older checkpoint"
            ) from error

    def to_json(self) -> str:
        return json.dumps(asdict(self)) + "\n"

    def changes(self, now: Fingerprint) -> list[str]:
        """What is different in ``now``, in words; empty if nothing is."""
        found = self._changed_files(now)
        for name in self.splits:
            found += _changed_split(name, self.splits[name], now.splits[name], bool(found))
        return found

    def _changed_files(self, now: Fingerprint) -> list[str]:
        if (self.files, self.digest) == (now.files, now.digest):
            return []
        if self.names is None or now.names is None:
            counts = f"there are {now.files} files, there were {self.files}"
            return [counts if now.files != self.files else f"some of the {now.files} files have other names"]
        gone, new = sorted(set(self.names) - set(now.names)), sorted(set(now.names) - set(self.names))
        return [_named(what, names) for what, names in (("gone", gone), ("new", new)) if names]


def continuing(checkpoint: Path, now: Fingerprint, *, uses_classes: bool, allowed: bool) -> tuple[str, ...]:
    """Compare the data with those of a checkpoint that is to be continued; return what the person should know.

    Args:
        uses_classes: the nets are made for a number of classes.
        allowed: the person knows that the data have changed.

    Raises:
        DataError: the data have changed; the text says how.
        ConfigError: the checkpoint's fingerprint is damaged.
    """
    before = Fingerprint.from_checkpoint(checkpoint)
    if before is None:
        return (f"{checkpoint} does not say what its data were; nobody can tell whether they are the same",)
    changes = "; ".join(before.changes(now))
    if not changes:
        return ()
    old, new = before.splits["train"].classes, now.splits["train"].classes
    if uses_classes and old != new:
        raise DataError(f"the nets of {checkpoint} are made for {old} classes, the data have {new}; {changes}; "
                        "put them back or start another run with another --out")  # fmt: skip
    if not allowed:
        raise DataError(f"the data have changed since {checkpoint}: {changes}; put them back, name their folder with "
                        "--data-dir, or go on with the data as they are by --allow-changed-data")  # fmt: skip
    return (f"the run goes on with data that have changed since {checkpoint}: {changes}",)


def _print(split: DataSplit | StreamSplit) -> SplitPrint:
    if isinstance(split, StreamSplit):
        return SplitPrint(len(split), split.shape, split.class_count, "", split.digest)
    labels = "" if split.labels is None else _digest(np.ascontiguousarray(split.labels).tobytes())
    classes = 0 if split.labels is None else split.label_size
    return SplitPrint(len(split), split.shape, classes, labels, split.digest or _content(split.data))


def _content(data: NDArray[Any]) -> str:
    digest = hashlib.sha256(str(data.dtype).encode())
    if data.nbytes <= READ_WHOLE:
        digest.update(np.ascontiguousarray(data).tobytes())
        return digest.hexdigest()
    rows = max(1, READ_WHOLE * len(data) // data.nbytes)
    for row in np.linspace(0, len(data) - 1, rows).astype(np.int64):
        digest.update(np.ascontiguousarray(data[row]).tobytes())
    return digest.hexdigest()


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _text(name: str) -> str:
    """A file name that any JSON reader takes: bytes that are no UTF-8 become escapes."""
    return name if name.isascii() else name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _named(what: str, names: list[str]) -> str:
    shown = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
    return f"{len(names)} {'file is' if len(names) == 1 else 'files are'} {what} ({shown})"


def _changed_split(name: str, before: SplitPrint, now: SplitPrint, explained: bool) -> list[str]:
    """``explained``: other changes are told already, of which other content and labels are the consequence."""
    if before == now:
        return []
    if before.shape != now.shape:
        return [f"samples of the {name} split are of shape {now.shape}, they were of {before.shape}"]
    if now.content == UNREAD:
        return []
    if before.samples != now.samples:
        return [f"the {name} split has {now.samples} samples, it had {before.samples}"]
    if before.classes != now.classes:
        return [f"the {name} split has {now.classes} classes, it had {before.classes}"]
    if explained:
        return []
    what = "labels" if before.content == now.content else "samples"
    return [f"{what} of the {name} split are others, as many as there were"]


def _parse(raw: dict[str, Any]) -> Fingerprint:
    splits = {name: _parse_split(raw["splits"][name]) for name in ("train", "validation")}
    files, digest, names = raw["files"], raw["digest"], raw["names"]
    if type(files) is not int or not isinstance(digest, str):
        raise ValueError("files is no number or digest no text")
    if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise ValueError("names is no list of texts")
    return Fingerprint(splits, files, digest, None if names is None else tuple(names))


def _parse_split(raw: dict[str, Any]) -> SplitPrint:
    samples, shape, classes, labels, content = (raw[key] for key in SplitPrint.__dataclass_fields__)
    numbers = [samples, classes, *shape]
    if any(type(number) is not int for number in numbers) or not all(isinstance(t, str) for t in (labels, content)):
        raise ValueError("a split's numbers or digests are something else")
    return SplitPrint(samples, tuple(shape), classes, labels, content)
