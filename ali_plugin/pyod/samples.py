"""What a detector is given as samples of a model: pictures as they are, tables with standardised features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ali_plugin.datasets.split import DataSplit
from ali_plugin.errors import DataError, OptionError
from ali_plugin.support.limits import MAX_SIZE
from ali_registry.text import printable

Array = NDArray[Any]

FARTHEST = 20.0  # deviations from the mean, beyond which a feature is not followed: nets go on in straight lines there
ROUNDING = 1e-6  # by which a picture may leave [0, 1]
LONGEST = 40  # characters of a value that is quoted


class InvalidInput(DataError, ValueError):
    """X is nothing that a detector can take."""


class InvalidParameter(OptionError, ValueError):
    """A parameter of a detector has a value that it cannot have."""


@dataclass(frozen=True, eq=False)
class Form:
    """How X becomes samples.

    Attributes:
        shape: of a sample: (C, H, W), or (features,).
        mean, deviation: of each feature of a table in the training data, (features,) in float64; None for pictures.
    """

    shape: tuple[int, ...]
    mean: Array | None = None
    deviation: Array | None = None

    @classmethod
    def of(cls, x: Array, data_shape: Sequence[int] | None) -> Form:
        """The form of training data.

        Args:
            x: what ``numbers`` gives.
            data_shape: of a sample, where rows of x (N, D) are flattened pictures.

        Raises:
            InvalidInput: x has other samples, too few or no pictures; or features too large to be standardised.
            InvalidParameter: the shape is none.
        """
        shape = tuple(x.shape[1:]) if data_shape is None else _shape(data_shape)
        if len(shape) not in (1, 3):
            raise InvalidInput(f"X is of shape {x.shape}, it has to be (samples, features) or pictures (samples, "
                               "channels, height, width); else say data_shape=(channels, height, width)")  # fmt: skip
        if len(x) < 2:
            raise InvalidInput(f"X has {len(x)} sample, to fit takes at least 2")
        if len(shape) == 3:
            return cls(shape)
        rows = _rows(x, shape).astype(np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            mean, deviation = rows.mean(0), rows.std(0)
        if not np.isfinite(deviation).all():
            column = int(np.flatnonzero(~np.isfinite(deviation))[0])
            most = f"{np.abs(rows[:, column]).max():.3g}"
            raise InvalidInput(
                f"feature {column} of X has numbers up to {most}, too large to be standardised; divide it"
            )
        constant = deviation <= np.finfo(np.float64).eps * np.abs(mean)
        return cls(shape, mean, np.where(constant, 1.0, deviation))

    def samples(self, x: Array) -> DataSplit:
        """What ``numbers`` gives as samples (N, *shape).

        Raises:
            InvalidInput: it has other samples, or pictures that are neither uint8 nor in [0, 1].
        """
        rows = _rows(x, self.shape)
        if self.mean is not None and self.deviation is not None:
            with np.errstate(over="ignore"):
                scaled = (rows.astype(np.float64) - self.mean) / self.deviation
            return DataSplit(scaled.clip(-FARTHEST, FARTHEST).astype(np.float32))
        if rows.dtype == np.uint8:
            return DataSplit(rows)
        low, high = rows.min(), rows.max()
        if low < -ROUNDING or high > 1 + ROUNDING:
            wrong = low if low < -ROUNDING else high
            raise InvalidInput(f"X has the value {wrong:.6g}; pictures are numbers from 0 to 1, or uint8 from 0 to 255")
        return DataSplit(rows.astype(np.float32).clip(0, 1))


def numbers(x: Any) -> Array:
    """X as an array of finite real numbers with at least two axes, (N, ...).

    Raises:
        InvalidInput: it is none.
    """
    if hasattr(x, "toarray"):
        raise InvalidInput("X is sparse, which a net does not take; give X.toarray()")
    try:
        array = np.asarray(x)
    except (ValueError, TypeError, RuntimeError) as error:
        cause = printable(str(error), 120)
        raise InvalidInput(f"X cannot be made an array, its rows may differ in length: {cause}") from error
    if array.dtype.kind == "O":
        array = _converted(array)
    if array.dtype.kind == "c":
        raise InvalidInput("X is complex. Complex data not supported; give real and imaginary parts as features")
    if array.dtype.kind not in "biuf":
        value = array.flat[0] if array.size else array.dtype
        raise InvalidInput(f"X has {_quoted(value)}, which is no real number; leave such features out or encode them")
    if array.ndim < 2:
        raise InvalidInput(f"X is of shape {array.shape}, it has to be (samples, features). Reshape your data, such as "
                           "X.reshape(1, -1) for one sample")  # fmt: skip
    if not array.size:
        what = "sample(s)" if not len(array) else "feature(s)"
        raise InvalidInput(f"X has 0 {what} (shape={array.shape}) while a minimum of 1 is required.")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        place = np.argwhere(~np.isfinite(array))[0]
        what = "NaN" if np.isnan(array[tuple(place)]) else "infinity (inf)"
        raise InvalidInput(f"X has {what} in row {place[0]}, at {', '.join(map(str, place[1:]))}; fill it in, or leave "
                           "the row or feature out")  # fmt: skip
    return array


def _rows(x: Array, shape: tuple[int, ...]) -> Array:
    """x (N, *shape) or (N, product of the shape) as (N, *shape)."""
    if x.shape[1:] != shape and x.shape[1:] != (prod(shape),):
        have = f"X has {x.shape[1]} features" if x.ndim == 2 else f"X is of shape {x.shape}"
        takes = f"{shape[0]} features" if len(shape) == 1 else f"pictures of shape {shape}, or {prod(shape)} features"
        raise InvalidInput(f"{have}, but ALIDetector is expecting {takes} as input")
    return x.reshape(len(x), *shape)


def _shape(given: Any) -> tuple[int, ...]:
    """The shape that is given; InvalidParameter where it is none."""
    if isinstance(given, list | tuple) and len(given) in (1, 3):
        sizes = tuple(int(size) for size in given if isinstance(size, int | np.integer) and 0 < size <= MAX_SIZE)
        if len(sizes) == len(given):
            return sizes
    raise InvalidParameter(f"data_shape is {_quoted(given)}, it has to be (channels, height, width), or (features,)")


def _converted(array: Array) -> Array:
    """An array of objects as one of numbers."""
    for value in array.flat:
        if isinstance(value, str | bytes) or not np.isscalar(value):
            raise InvalidInput(f"X has {_quoted(value)}, which is no number; leave such features out or encode them")
    try:
        return array.astype(np.float64)
    except (ValueError, TypeError, OverflowError) as error:
        raise InvalidInput(
            f"X has what is no real number ({printable(str(error), 80)}); leave such features out"
        ) from error


def _quoted(value: object) -> str:
    return printable(repr(value), LONGEST)
