"""The shape of a sample where an architecture leaves it open: it is said, or the data have it. No torch here."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ali_plugin.errors import OptionError, PartMismatch
from ali_plugin.support.limits import MAX_SIZE
from ali_plugin.support.strict_json import short
from ali_registry import Architecture

Shape = tuple[int, ...]
Pattern = tuple[int | None, ...]
"""A shape with None for each size that is open."""

ImageSize = int | str
"""A side of square pictures, or "48x64", height first."""

CHANNELS = (1, 3)
COLOUR = 3
EXAMPLE = 64  # pixels of a side, or features: of an open architecture that is shown or measured

_SIZE = re.compile(r"(\d{1,9})(?:\s*[xX\u00d7]\s*(\d{1,9}))?")


def is_open(record: Architecture) -> bool:
    """Whether an architecture leaves some of its data shape to the data."""
    return None in record.data_shape


def accepts(pattern: Pattern | None, shape: Sequence[int | None]) -> bool:
    """Whether a shape is one of a pattern, or could be where it is open itself; of None, all are."""
    if pattern is None:
        return True
    return len(pattern) == len(shape) and all(
        want is None or have is None or want == have for want, have in zip(pattern, shape, strict=True)
    )


def text(pattern: Sequence[int | None]) -> str:
    """For people: 3x64x64, anyx32x32, any x any x any, any length."""
    if list(pattern) == [None]:
        return "any length"
    between = " x " if pattern.count(None) > 1 else "x"
    return between.join("any" if size is None else str(size) for size in pattern)


def image_size(value: object) -> ImageSize:
    """A size of pictures as train_config.json keeps it: a number where they are square.

    Raises:
        OptionError: it is none.
    """
    found = _SIZE.fullmatch(str(value).strip()) if isinstance(value, int | str) else None
    if found is None or isinstance(value, bool):
        raise OptionError(f"--image-size is {short(repr(value))}, it has to be a side such as 64, or HEIGHTxWIDTH such "
                          "as 48x64")  # fmt: skip
    height, width = int(found[1]), int(found[2] or found[1])
    if not (0 < height <= MAX_SIZE and 0 < width <= MAX_SIZE):
        raise OptionError(f"--image-size is {short(repr(value))}, sides are from 1 to {MAX_SIZE}")
    return height if height == width else f"{height}x{width}"


def channels(value: int) -> int:
    """The number of colour channels; OptionError where it is none of pictures."""
    if value not in CHANNELS:
        raise OptionError(f"--channels is {short(repr(value))}, it has to be 1 (grey) or 3 (colour)")
    return value


def told(shape: Shape) -> dict[str, Any]:
    """What ``--image-size`` and ``--channels`` would be for data of a shape; empty where they are no pictures."""
    return {"image_size": image_size(f"{shape[1]}x{shape[2]}"), "channels": shape[0]} if len(shape) == 3 else {}


def decided(
    record: Architecture,
    *,
    image_size: ImageSize | None = None,
    channels: int | None = None,
    data: Shape | None = None,
    source: str = "the data",
    usual: Pattern = (COLOUR, None, None),
) -> Shape:
    """The shape of a sample of an architecture.

    Args:
        image_size, channels: what is said of it.
        data: the shape that the data have, None where they are fitted to the architecture.
        source: names the data in errors.
        usual: what is taken where nothing says more.

    Raises:
        OptionError: what is said contradicts the architecture or the data, or nothing says what is open.
        PartMismatch: the data are not such as the architecture is for.
    """
    own, owner = record.data_shape, f"architecture {record.name!r} is for data of shape"
    said = _said(record, image_size, channels)
    _refuse_another(said, own, owner, "leave it out, or take an --arch that is for any size")
    if data is not None and is_open(record):
        if not accepts(own, data):
            raise PartMismatch(f"{source} has samples of shape {text(data)}, but {owner} {text(own)}; "
                               "choose another --dataset or --arch")  # fmt: skip
        _refuse_another(said, data, f"{source} has samples of shape", "leave it out")
        usual = data
    sources = (own, said, usual if len(usual) == len(own) else (None,) * len(own))
    found = [next((size for size in sizes if size is not None), None) for sizes in zip(*sources, strict=True)]
    shape = tuple(size for size in found if size is not None)
    if len(shape) < len(found):
        advice = "say --image-size, such as 64" if len(own) == 3 else "take another --dataset"
        raise OptionError(f"{owner} {text(own)}, and {source} has no size of its own; {advice}")
    return shape


def given(record: Architecture, data_shape: Sequence[int] | None) -> Shape:
    """The shape of a sample of an architecture, which has to be given where it leaves it open.

    Raises:
        PartMismatch: it is not given, or none that the architecture is for.
    """
    who = f"architecture {record.name!r} is for data of"
    if data_shape is None:
        if is_open(record):
            raise PartMismatch(f"{who} {text(record.data_shape)}; say which, such as data_shape={example(record)}")
        return decided(record)
    if not isinstance(data_shape, tuple | list) or not accepts(record.data_shape, data_shape):
        raise PartMismatch(f"{who} {text(record.data_shape)}, not of shape {short(repr(data_shape))}")
    return tuple(data_shape)


def example(record: Architecture, side: int = EXAMPLE, channels: int = COLOUR) -> Shape:
    """A shape of an architecture, with square pictures of about this side where it is open."""
    near = nearest(record, side)
    usual = (channels, near, near) if len(record.data_shape) == 3 else (side,) * len(record.data_shape)
    return tuple(own or other for own, other in zip(record.data_shape, usual, strict=True))


def shown(record: Architecture, size: object = None, colours: int | None = None) -> Shape:
    """The shape of an architecture that is to be looked at: as it is said, where it is open, or an example.

    Raises:
        OptionError: what is said is no size, or not the architecture's.
    """
    return decided(
        record,
        image_size=None if size is None else image_size(size),
        channels=None if colours is None else channels(colours),
        usual=example(record),
    )


def nearest(record: Architecture, side: int) -> int:
    """The side of square pictures of an architecture that is nearest to this one; of two, the smaller one."""
    return min(record.sides or (side,), key=lambda one: (abs(one - side), one))


def _said(record: Architecture, size: ImageSize | None, colours: int | None) -> Pattern:
    """What is said, as a pattern of the architecture's length."""
    if size is None and colours is None:
        return (None,) * len(record.data_shape)
    if len(record.data_shape) != 3:
        option = "--image-size" if size is not None else "--channels"
        raise OptionError(f"{option} is for pictures, architecture {record.name!r} is for data of "
                          f"{text(record.data_shape)}; leave it out")  # fmt: skip
    height, _, width = str("" if size is None else size).partition("x")
    return (colours, *((int(height), int(width or height)) if height else (None, None)))


def _refuse_another(said: Pattern, have: Pattern, who: str, advice: str) -> None:
    if accepts(have, said):
        return
    option = f"--image-size is {text(said[1:])}" if accepts(have[:1], said[:1]) else f"--channels is {said[0]}"
    raise OptionError(f"{option}, but {who} {text(have)}; {advice}")
