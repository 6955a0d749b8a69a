"""Shards that are tar files, as WebDataset lays them out: the files of a sample lie together and share their name up
to its first dot, such as ``000017.jpg`` and ``000017.cls``."""

from __future__ import annotations

import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ali_plugin.datasets.listing import is_hidden
from ali_plugin.datasets.streams.choice import Choice
from ali_plugin.datasets.streams.shard import UNLABELLED, Raw, Shard
from ali_plugin.errors import DataError
from ali_plugin.pictures.decode import KINDS, MAX_BYTES, suffixes
from ali_plugin.support.limits import MAX_SIZE
from ali_plugin.support.strict_json import short
from ali_registry.text import printable

CLASS = "cls"
LABEL_BYTES = 32  # of a number
OFFSET, SIZE, LABEL = range(3)  # columns of a shard's table


class TarShard(Shard):
    """A tar file whose pictures are known.

    Args:
        table: (samples, 3) int64: where each picture begins, its bytes, its class.
    """

    def __init__(self, path: Path, name: str, table: NDArray[np.int64]) -> None:
        self.path, self.name, self.table = path, name, table
        self.samples = len(table)

    def read(self, chosen: NDArray[np.int64]) -> Iterator[Raw]:
        try:
            with self.path.open("rb") as file:
                for offset, size, label in self.table[chosen].tolist():
                    file.seek(offset)
                    content = file.read(size)
                    if len(content) < size:
                        raise DataError(f"the shard {str(self.path)!r} is cut off: it ends before byte {offset + size}")
                    yield Raw(content, label)
        except OSError as error:
            raise DataError(f"the shard {str(self.path)!r} cannot be read: {error.strerror or error}") from error


def table_of(path: Path, choice: Choice) -> NDArray[np.int64]:
    """Where the pictures of a tar file are, and their classes; its headers are read, its content is not.

    Raises:
        DataError: it is empty, cut off or no tar file; it has no pictures, or several for a sample; a label is text.
    """
    scan = _Scan(path, choice)
    try:
        if path.stat().st_size == 0:
            raise DataError(f"the shard {str(path)!r} is empty")
        with path.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
            while (member := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined] # tarfile would keep them, millions
                if tar.offset <= member.offset:  # it says less than no bytes: tarfile would read it for ever
                    raise DataError(f"the shard {str(path)!r} is damaged: a file in it has {member.size} bytes")
                scan.take(member, file)
            file.seek(tar.offset)
            _refuse_end(path, file)
    except tarfile.ReadError as error:
        if "unexpected end" in str(error):
            raise _cut_off(path) from None
        raise DataError(
            f"the shard {str(path)!r} is no tar file, or a compressed one: {short(str(error), 100)}"
        ) from None
    except (tarfile.TarError, OSError, ValueError, MemoryError, OverflowError) as error:
        reason = printable(getattr(error, "strerror", None) or str(error) or "a header says nonsense", 200)
        raise DataError(f"the shard {str(path)!r} cannot be read: {reason}") from error
    return scan.table()


def _ending(named: str) -> str:
    """Of files, as a person names it: in any case, with its dot or without."""
    return named.lower().removeprefix(".")


def _refuse_end(path: Path, file: BinaryIO) -> None:
    """Raise DataError where a tar file does not end, or something follows its end, which tarfile passes over."""
    if len(end := file.read(tarfile.BLOCKSIZE)) < tarfile.BLOCKSIZE or any(end):
        raise _cut_off(path)
    while more := file.read(1 << 20):
        if more.strip(b"\0"):
            raise DataError(f"the shard {str(path)!r} goes on behind the end of a tar file, as files joined by `cat` "
                            "do; keep them apart")  # fmt: skip


def _cut_off(path: Path) -> DataError:
    return DataError(f"the shard {str(path)!r} is cut off: it lacks the end of a tar file; fetch or write it again")


@dataclass
class _Scan:
    """What has been seen of a tar file.

    Attributes:
        key: of the present sample; picture, label: what is known of it.
        unlabelled, labelled, alone: a sample without a class, one with, and one that has a class but no picture.
        seen: endings of files, and how many have each.
    """

    path: Path
    choice: Choice
    key: str = ""
    picture: tuple[int, int] | None = None
    ending: str = ""
    label: int | None = None
    rows: list[tuple[int, int, int]] = field(default_factory=list)
    unlabelled: str = ""
    labelled: str = ""
    alone: str = ""
    seen: Counter[str] = field(default_factory=Counter)
    _pictures: frozenset[str] = field(default_factory=suffixes)

    def take(self, member: tarfile.TarInfo, file: BinaryIO) -> None:
        """See something in the shard."""
        folder, _, base = member.name.rpartition("/")
        if is_hidden(base) or member.isdir():
            return
        stem, _, ending = base.partition(".")
        ending = ending.lower()
        if (key := f"{folder}/{stem}") != self.key:
            self._finish()
            self.key = key
        self.seen[ending] += 1
        if self._is_picture(ending):
            if not member.isreg() or member.issparse():
                raise DataError(f"the picture {member.name!r} in {str(self.path)!r} is a link or sparse; write "
                                "the shard with `tar -h --hard-dereference`")  # fmt: skip
            if self.picture is not None:
                raise DataError(f"the shard {str(self.path)!r} has two pictures of {key.lstrip('/')!r} ({self.ending}, "
                                f"{ending}); name one with --dataset webdataset:image={self.ending}")  # fmt: skip
            self.picture, self.ending = (member.offset_data, member.size), ending
            if member.size > MAX_BYTES:
                raise DataError(
                    f"the shard {str(self.path)!r} has a picture of {member.size:,} bytes, {member.name!r}; at most "
                    f"{MAX_BYTES:,} are read"
                )
        elif ending and ending == (CLASS if self.choice.label is None else _ending(self.choice.label)):
            self.label = self._number(member, file)

    def table(self) -> NDArray[np.int64]:
        """All rows; DataError where there are none, or some have a class and others have none."""
        self._finish()
        kinds = ", ".join(f".{ending}" for ending, _ in self.seen.most_common(5))
        held = f"it holds {kinds}" if kinds else "it is empty"
        if not self.rows:
            wanted = KINDS if self.choice.image is None else f".{_ending(self.choice.image)}"
            raise DataError(f"the shard {str(self.path)!r} has no pictures ({wanted}); {held}")
        if self.alone and not self.labelled:
            raise DataError(f"the shard {str(self.path)!r} has a class of {self.alone!r}, but not beside its picture; "
                            "the files of a sample lie one after another (tar --sort=name)")  # fmt: skip
        if self.choice.label and not self.labelled:
            raise DataError(f"the shard {str(self.path)!r} has no classes (.{_ending(self.choice.label)}); {held}")
        if self.labelled and self.unlabelled:
            raise DataError(f"the shard {str(self.path)!r} has a class of {self.labelled!r}, but none of "
                            f"{self.unlabelled!r}; give all one, or none with --dataset webdataset:label=")  # fmt: skip
        return np.array(self.rows, np.int64)

    def _finish(self) -> None:
        if self.picture is not None:
            self.rows.append((*self.picture, UNLABELLED if self.label is None else self.label))
            if self.label is None:
                self.unlabelled = self.unlabelled or self.key.lstrip("/")
            else:
                self.labelled = self.labelled or self.key.lstrip("/")
        elif self.label is not None:
            self.alone = self.alone or self.key.lstrip("/")
        self.picture, self.label = None, None

    def _is_picture(self, ending: str) -> bool:
        if self.choice.image is not None:
            return ending == _ending(self.choice.image)
        return f".{ending.rpartition('.')[2]}" in self._pictures

    def _number(self, member: tarfile.TarInfo, file: BinaryIO) -> int:
        """The class in a file; the file's place is not tarfile's to keep."""
        file.seek(member.offset_data)
        content = file.read(min(member.size, LABEL_BYTES))
        if len(content) < min(member.size, LABEL_BYTES):
            raise _cut_off(self.path)
        text = content.decode(errors="replace").strip()
        if not (text.isascii() and text.isdecimal()) or member.size > LABEL_BYTES:
            raise DataError(f"the label of {member.name!r} in {str(self.path)!r} is {short(repr(text), 60)}, no class "
                            "number from 0; write numbers, or go without with --dataset webdataset:label=")  # fmt: skip
        if int(text) >= MAX_SIZE:
            raise DataError(f"the label of {member.name!r} in {str(self.path)!r} is {text}; classes are numbered from "
                            f"0 to {MAX_SIZE - 1}")  # fmt: skip
        return int(text)
