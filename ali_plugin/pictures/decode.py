"""The one door for picture files: opened by content, turned upright, fitted, made plain grey or colour.

What a decoder raises for a file is a ``DataError`` here: it costs that file and nothing else.
"""

from __future__ import annotations

import importlib
import os
import stat
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from math import prod
from pathlib import Path
from threading import current_thread, main_thread
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile

from ali_plugin.errors import DataError, PartMismatch
from ali_plugin.pictures import background as under
from ali_plugin.pictures import cut_off
from ali_plugin.pictures.background import WHITE
from ali_plugin.pictures.colour import in_8_bits, plain
from ali_plugin.support.budget import Budget
from ali_registry.text import printable

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "DIB", "TIFF", "WEBP", "AVIF", "HEIF", "JPEG2000", "PPM")
"""What is opened, whatever its name: formats that need no outside program (EPS would start Ghostscript)."""
KINDS = "PNG, JPEG, WebP, AVIF, TIFF, GIF, BMP, JPEG 2000, PNM, or HEIF with 'ali-plugin[pictures]'"
MODES = {1: "L", 3: "RGB"}
JPEG_HEAD, START_OF_SCAN, ADOBE = b"\xff\xd8\xff", 0xDA, 0xEE
RULES = 3  # how a file becomes pixels; with another number, caches of before are not used
LEAST_THERE = 0.5  # of the rows of a file that ends too soon

MAX_BYTES = 1 << 29  # of a file; some decoders read it whole
MAX_PIXELS = 1 << 26  # of a decoded picture, 8192 x 8192: a decoder and what follows take up to 16 bytes for each
MAX_HEADER_PIXELS = 3 << 26  # of a JPEG, which is decoded at a half to an eighth of its size
IN_FLIGHT = Budget(MAX_PIXELS)  # pixels that are being decoded by all threads together
REDUCED = 1 << 24  # pixels beyond which a JPEG is decoded smaller, to not less than twice what is asked for
WAITING = 1 << 25  # bytes of fitted pictures between the decoders and who takes them

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # fmt: skip
"""EXIF's orientations."""
ON_ITS_SIDE = range(5, 9)  # those of them that exchange height and width


@dataclass(frozen=True)
class Picture:
    """What was read from a file.

    Attributes:
        pixels: uint8 (C, H, W).
        missing: what of the file is not there, in words; empty where nothing is.
    """

    pixels: NDArray[np.uint8]
    missing: str = ""


def read_image(path: Path | bytes, data_shape: tuple[int, ...], background: str = WHITE) -> NDArray[np.uint8]:
    """One picture file, or the content of one, as uint8 (C, H, W); see ``read_picture``."""
    return read_picture(path, data_shape, background).pixels


def read_picture(path: Path | bytes, data_shape: tuple[int, ...], background: str = WHITE) -> Picture:
    """One picture file, or the content of one, fitted as ``fit_image`` does it. Of several frames the first is taken.

    Of a file that ends too soon the rows that are there are the picture, if they are half of all.

    Raises:
        DataError: it cannot be read, or is too large, or too much of it is missing.
        OptionError: the background is no colour.
        PartMismatch: ``data_shape`` is not that of pictures.
    """
    check_shape(data_shape)
    colour = under.rgb(background)

    def opened(file: BinaryIO) -> ImageFile:
        image = _image(file)
        _reduce(image, data_shape)
        return image

    with _ours(), _opened(path) as file, _image(file) as image:
        if prod(image.size) > MAX_HEADER_PIXELS:
            raise _too_large(image)
        with IN_FLIGHT.taking(prod(image.size)):
            _reduce(image, data_shape)
            try:
                image.load()
            except OSError as error:
                if not cut_off.is_cut_off(error):
                    raise
                there, rows = cut_off.what_is_there(file, opened)
                missing = _missing(len(rows) / there.height)
                return Picture(_fitted(there, data_shape, colour, rows), missing)
            return Picture(_fitted(image, data_shape, colour))


def read_images(
    paths: Sequence[Path | bytes], data_shape: tuple[int, ...], background: str = WHITE
) -> Iterator[Picture | DataError]:
    """Pictures in the order of ``paths`` (or contents), decoded in threads, or the reason why one cannot be read."""
    check_shape(data_shape)
    chunk = min(512, max(16, WAITING // prod(data_shape)))

    def read(path: Path | bytes) -> Picture | DataError:
        try:
            return read_picture(path, data_shape, background)
        except DataError as error:
            return error

    with ThreadPoolExecutor() as readers:  # Pillow decodes outside of the interpreter's lock
        for start in range(0, len(paths), chunk):
            with _quiet():
                decoded = list(readers.map(read, paths[start : start + chunk]))
            yield from decoded


def fit_image(image: Image.Image, data_shape: tuple[int, ...], background: str = WHITE) -> NDArray[np.uint8]:
    """A picture as uint8 (C, H, W): upright, resized by its shorter side and centre-cropped, in grey or sRGB.

    Bits and colours are as ``ali_plugin.pictures.colour`` has them; what is transparent shows the background.

    Raises:
        DataError: it cannot be decoded, or is too large.
        OptionError: the background is no colour.
        PartMismatch: ``data_shape`` is not that of pictures.
    """
    check_shape(data_shape)
    colour = under.rgb(background)
    with _ours():
        _reduce(image, data_shape)
        image.load()
        return _fitted(image, data_shape, colour)


def read_whole(path: Path, longest: int) -> Image.Image:
    """One picture file as RGB, as it is or shrunk to at most ``longest`` pixels on a side.

    Raises:
        DataError: it cannot be read, or is too large.
    """
    with _ours(), _quiet(), _opened(path) as file, _image(file) as image:
        if prod(image.size) > MAX_PIXELS:
            raise _too_large(image)
        with IN_FLIGHT.taking(prod(image.size)):
            image.load()
            whole = plain(in_8_bits(image), "RGB", b"", under.rgb(WHITE)).copy()
            whole.thumbnail((longest, longest), Image.Resampling.LANCZOS)
            return whole


def size_of(path: Path) -> tuple[int, int]:
    """Height and width of a picture file, in pixels and upright, by what it says at its beginning.

    Raises:
        DataError: it cannot be read.
    """
    with _ours(), _opened(path) as file, _image(file) as image:
        return image.size if _orientation(image) in ON_ITS_SIDE else (image.height, image.width)


def check_shape(data_shape: tuple[int, ...]) -> None:
    """Raise PartMismatch for data that are no pictures with one or three channels."""
    if len(data_shape) != 3 or data_shape[0] not in MODES:
        raise PartMismatch(f"the model takes data of shape {data_shape}, no pictures with 1 or 3 channels")


def is_picture(path: Path) -> bool:
    """Whether a file begins as a picture does."""
    _all_formats()
    try:
        with _opened(path) as file:
            head = file.read(16)
        accepts = (Image.OPEN[name][1] for name in FORMATS if name in Image.OPEN)
        return any(accept is not None and accept(head) is True for accept in accepts)
    except Exception:  # then it is none that could be read
        return False


def suffixes() -> frozenset[str]:
    """Endings of the names of picture files, ".png" and such."""
    _all_formats()
    return frozenset(suffix for suffix, name in Image.EXTENSION.items() if name in (*FORMATS, "MPO"))


@cache
def _all_formats() -> None:
    """Let Pillow know its formats, and HEIF from the extra ``pictures`` where it is installed."""
    Image.init()
    with suppress(ImportError):
        importlib.import_module("pillow_heif").register_heif_opener()


@contextmanager
def _ours() -> Iterator[None]:
    """Whatever a decoder raises as a DataError of one line."""
    try:
        yield
    except (DataError, PartMismatch):
        raise
    except UnidentifiedImageError:
        raise DataError(f"its content is not {KINDS}") from None
    except Image.DecompressionBombError as error:
        raise DataError(f"{printable(error, 200)}; shrink the picture") from error
    except MemoryError as error:
        raise DataError("there is not enough memory to decode it; shrink the picture") from error
    except OSError as error:
        raise DataError(printable(error.strerror or error, 200) or type(error).__name__) from error
    except Exception as error:  # decoders raise what they meet: struct.error, KeyError, ZeroDivisionError, ...
        raise DataError(f"it is damaged ({type(error).__name__}: {printable(error, 200)})") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """No warnings of Pillow's, which name no file; not in threads, since filters are the process's."""
    if current_thread() is not main_thread():
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _opened(path: Path | bytes) -> Iterator[BinaryIO]:
    """A regular file, opened so that a pipe does not make anybody wait; or the content of one."""
    if isinstance(path, bytes):
        if len(path) > MAX_BYTES:
            raise _too_long(len(path))
        yield BytesIO(path)
        return
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with open(handle, "rb") as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise DataError("it is no regular file")
        if status.st_size > MAX_BYTES:
            raise _too_long(status.st_size)
        yield file


def _image(file: BinaryIO) -> ImageFile:
    head = file.read(len(JPEG_HEAD))
    if not head:
        raise DataError("it is empty")
    file.seek(0)
    if head == JPEG_HEAD:  # not through Pillow's factory, which fails on sound pictures with an odd table of others
        try:
            return JpegImageFile(file)
        except Exception:  # what cameras and programs have written beside a sound picture
            return JpegImageFile(BytesIO(_without_metadata(file)))
    _all_formats()
    return Image.open(file, formats=[name for name in FORMATS if name != "HEIF" or name in Image.OPEN])


def _without_metadata(file: BinaryIO) -> bytes:
    """A JPEG without the segments of applications, except Adobe's (APP14), which says how colours are stored."""
    file.seek(2)
    kept = [JPEG_HEAD[:2]]
    while len(head := file.read(4)) == 4 and head[0] == 0xFF and head[1] != START_OF_SCAN:
        body = file.read(max(int.from_bytes(head[2:]) - 2, 0))
        if not (0xE1 <= head[1] <= 0xEF and head[1] != ADOBE):
            kept += (head, body)
    return b"".join([*kept, head, file.read()])


def _too_long(size: int) -> DataError:
    return DataError(f"it has {size:,} bytes, more than {MAX_BYTES:,}; shrink the picture")


def _too_large(image: Image.Image) -> DataError:
    return DataError(f"it has {image.width} x {image.height} pixels, more than {MAX_PIXELS:,}; shrink the picture")


def _missing(share: float) -> str:
    """What is said of a file of which this share of the rows is there; DataError where that is too little."""
    if share < LEAST_THERE:
        raise DataError(f"it ends too soon: {int(100 * share)}% of its rows are there, less than {LEAST_THERE:.0%}")
    if share == 1:
        return "it ends too soon, all of its rows are there, though not in every detail"
    return f"it ends too soon, {int(100 * share)}% of its rows are there"


def _reduce(image: Image.Image, data_shape: tuple[int, ...]) -> None:
    """Have a large JPEG decoded smaller; DataError for what is too large all the same."""
    _, height, width = data_shape
    if prod(image.size) > REDUCED:
        image.draft(None, (2 * width, 2 * height))
    if prod(image.size) > MAX_PIXELS:
        raise _too_large(image)


def _fitted(
    image: Image.Image, data_shape: tuple[int, ...], background: under.RGB, rows: range | None = None
) -> NDArray[np.uint8]:
    """See ``fit_image``. Colours are made plain when the picture is small.

    Args:
        rows: of the image, which are the picture; None for all.
    """
    channels, height, width = data_shape
    turn, profile = TURNS.get(_orientation(image)), image.info.get("icc_profile")
    stored = in_8_bits(image, rows)
    upright = stored if turn is None else stored.transpose(turn)
    fitted = ImageOps.fit(upright, (width, height), Image.Resampling.BICUBIC)
    shown = plain(fitted, MODES[channels], profile if isinstance(profile, bytes) else b"", background)
    return np.asarray(shown, np.uint8).reshape(height, width, channels).transpose(2, 0, 1)


def _orientation(image: Image.Image) -> int:
    """EXIF's number for how the picture is to be turned; 1, as it is, where nothing legible says so."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # EXIF is written by every camera in its own way; the picture is sound all the same
        return 1
