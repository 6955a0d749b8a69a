"""Shards that are parquet files, on the Hub or wherever else they can be opened; a row is a sample."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ali_plugin.datasets.streams.order import by_part
from ali_plugin.datasets.streams.shard import UNLABELLED, Raw, Shard
from ali_plugin.errors import DataError
from ali_plugin.support.extras import need
from ali_registry.text import printable

ROWS = 64  # that are taken from a row group at a time
Opened = Callable[[], AbstractContextManager[BinaryIO]]
MOST = (1 << 63) - 1  # a label of more bits is as much out of range as this one


class ParquetShard(Shard):
    """A parquet file, whose footer is read.

    Args:
        name: for people.
        opened: opens it.
        image, label: names of its columns, None for no label; a picture is bytes, or has them as its field "bytes".

    Raises:
        DataError: it is empty, cut off or no parquet file; it lacks a column, or its classes are no numbers.
    """

    def __init__(self, name: str, opened: Opened, image: str, label: str | None) -> None:
        self.name, self._open, self._image, self._label = name, opened, image, label
        with parquet_file(name, opened) as file:
            _refuse_unfit(name, file.schema_arrow, image, label)
            groups = [file.metadata.row_group(i).num_rows for i in range(file.metadata.num_row_groups)]
        self._ends = np.cumsum(np.array(groups, np.int64))
        self.samples = sum(groups)
        if not self.samples:
            raise DataError(f"the shard {name!r} is empty")

    def read(self, chosen: NDArray[np.int64]) -> Iterator[Raw]:
        with parquet_file(self.name, self._open) as file:
            for group, places in by_part(chosen, self._ends):
                yield from self._of_group(file, group, places)

    def labels(self) -> NDArray[np.int64]:
        """The classes of all samples, read alone."""
        with parquet_file(self.name, self._open) as file:
            column = file.read(columns=[self._label]).column(0).to_pylist()
        return np.array([_number(value) for value in column], np.int64)

    def _of_group(self, file: Any, group: int, places: NDArray[np.int64]) -> Iterator[Raw]:
        columns, start = [self._image, *([self._label] if self._label else [])], 0
        for batch in file.iter_batches(batch_size=ROWS, row_groups=[group], columns=columns):
            here = places[(places >= start) & (places < start + batch.num_rows)] - start
            start += batch.num_rows
            if len(here):
                pictures = batch.column(self._image)
                numbers = batch.column(self._label) if self._label else None
                for row in here.tolist():
                    label = UNLABELLED if numbers is None else _number(numbers[row].as_py())
                    yield Raw(_content(pictures[row].as_py()), label)
            if start > places[-1]:
                return


def _refuse_unfit(name: str, schema: Any, image: str, label: str | None) -> None:
    """Raise DataError for a shard whose columns are not those of its set."""
    for column in (image, *([] if label is None else [label])):
        if column not in schema.names:
            held = printable(", ".join(schema.names[:8]), 200)
            raise DataError(f"the shard {name!r} has no column {column!r}, as others of its set have; it has {held}")
    kind = "" if label is None else str(schema.field(label).type)
    if not kind.startswith(("int", "uint", "bool", "null")) and label is not None:
        raise DataError(f"the label column {label!r} of the shard {name!r} is {printable(kind, 60)}, no class numbers; "
                        "name another with :label=, or none by :label= alone")  # fmt: skip


@contextmanager
def parquet_file(name: str, opened: Opened) -> Iterator[Any]:
    """An opened ``pyarrow.parquet.ParquetFile``; what is wrong with its content, also while it is used, is a DataError.
    What its source raises while it is read is the source's to tell.

    Args:
        name: for people.
        opened: opens its content.
    """
    parquet, arrow = (need(module, "a set of the Hub", "hf") for module in ("pyarrow.parquet", "pyarrow"))
    with opened() as content:
        try:
            with parquet.ParquetFile(content) as file:
                yield file
        except arrow.ArrowInvalid as error:
            empty = "is empty" if "0 bytes" in str(error) else "is cut off or no parquet file; fetch or write it again"
            raise DataError(f"the shard {name!r} {empty}") from error
        except (OSError, arrow.ArrowException) as error:
            if isinstance(error, OSError) and type(error) is not OSError:  # arrow's own are of no kind
                raise
            raise DataError(f"the shard {name!r} cannot be read: {printable(error, 200)}") from error


def _content(value: Any) -> bytes:
    """A picture file's bytes; none where the row has none, which decoding tells."""
    found = value.get("bytes") if isinstance(value, dict) else value
    return found if isinstance(found, bytes) else b""


def _number(value: object) -> int:
    return min(value, MOST) if isinstance(value, int) else UNLABELLED
