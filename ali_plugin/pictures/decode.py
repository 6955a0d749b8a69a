"""The one door for picture files: opened by content, turned upright, laid on white, made grey or colour, fitted.

What a decoder raises for a file is a ``DataError`` here: it costs that file and nothing else.
"""

from __future__ import annotations

import os
import stat
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import BytesIO
from math import prod
from pathlib import Path
from threading import current_thread, main_thread
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile

from ali_plugin.errors import DataError, PartMismatch
from ali_plugin.support.budget import Budget
from ali_registry.text import printable

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "DIB", "TIFF", "WEBP", "AVIF", "HEIF", "JPEG2000", "PPM")
"""What is opened, whatever its name: formats that need no outside program (EPS would start Ghostscript)."""
KINDS = "PNG, JPEG, WebP, AVIF, TIFF, GIF, BMP, JPEG 2000 or PNM"
MODES = {1: "L", 3: "RGB"}
JPEG_HEAD, START_OF_SCAN, ADOBE = b"\xff\xd8\xff", 0xDA, 0xEE
BACKGROUND = "white"  # under whatever is transparent

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


def read_image(path: Path | bytes, data_shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """One picture file, or the content of one, as uint8 (C, H, W); see ``fit_image``. Of several frames the first is
    taken.

    Raises:
        DataError: it cannot be read, or is too large.
        PartMismatch: ``data_shape`` is not that of pictures.
    """
    check_shape(data_shape)
    with _ours(), _opened(path) as file, _image(file) as image:
        if prod(image.size) > MAX_HEADER_PIXELS:
            raise _too_large(image)
        with IN_FLIGHT.taking(prod(image.size)):
            return _fitted(image, data_shape)


def read_images(paths: Sequence[Path | bytes], data_shape: tuple[int, ...]) -> Iterator[NDArray[np.uint8] | DataError]:
    """Pictures in the order of ``paths`` (or contents), decoded in threads, or the reason why one cannot be read."""
    check_shape(data_shape)
    chunk = min(512, max(16, WAITING // prod(data_shape)))

    def read(path: Path | bytes) -> NDArray[np.uint8] | DataError:
        try:
            return read_image(path, data_shape)
        except DataError as error:
            return error

    with ThreadPoolExecutor() as readers:  # Pillow decodes outside of the interpreter's lock
        for start in range(0, len(paths), chunk):
            with _quiet():
                decoded = list(readers.map(read, paths[start : start + chunk]))
            yield from decoded


def fit_image(image: Image.Image, data_shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """A picture as uint8 (C, H, W): upright, resized by its shorter side and centre-cropped.

    What is transparent shows white. Grey of 16 bits is scaled to 8; so are 32-bit integers and floats, from the
    least of the ranges 0 to 65535 (floats: 0 to 1, 255, 65535) that holds them, or else from their own extremes.

    Raises:
        DataError: it cannot be decoded, or is too large.
        PartMismatch: ``data_shape`` is not that of pictures.
    """
    check_shape(data_shape)
    with _ours():
        return _fitted(image, data_shape)


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
            whole = _on_background(_in_8_bits(image), "RGB").copy()
            whole.thumbnail((longest, longest), Image.Resampling.LANCZOS)
            return whole


def check_shape(data_shape: tuple[int, ...]) -> None:
    """Raise PartMismatch for data that are no pictures with one or three channels."""
    if len(data_shape) != 3 or data_shape[0] not in MODES:
        raise PartMismatch(f"the model takes data of shape {data_shape}, no pictures with 1 or 3 channels")


def is_picture(path: Path) -> bool:
    """Whether a file begins as a picture does."""
    Image.init()
    try:
        with _opened(path) as file:
            head = file.read(16)
        accepts = (Image.OPEN[name][1] for name in FORMATS if name in Image.OPEN)
        return any(accept is not None and accept(head) is True for accept in accepts)
    except Exception:  # then it is none that could be read
        return False


def suffixes() -> frozenset[str]:
    """Endings of the names of picture files, ".png" and such."""
    Image.init()
    return frozenset(suffix for suffix, name in Image.EXTENSION.items() if name in (*FORMATS, "MPO"))


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


def _image(file: BinaryIO) -> Image.Image:
    head = file.read(len(JPEG_HEAD))
    file.seek(0)
    if head == JPEG_HEAD:  # not through Pillow's factory, which fails on sound pictures with an odd table of others
        try:
            return JpegImageFile(file)
        except Exception:  # what cameras and programs have written beside a sound picture
            return JpegImageFile(BytesIO(_without_metadata(file)))
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


def _fitted(image: Image.Image, data_shape: tuple[int, ...]) -> NDArray[np.uint8]:
    channels, height, width = data_shape
    if prod(image.size) > REDUCED:
        image.draft(None, (2 * width, 2 * height))
    if prod(image.size) > MAX_PIXELS:
        raise _too_large(image)
    image.load()
    plain = _on_background(_in_8_bits(image), MODES[channels])
    turn = TURNS.get(_orientation(image))
    upright = plain if turn is None else plain.transpose(turn)
    fitted = ImageOps.fit(upright, (width, height), Image.Resampling.BICUBIC)
    return np.asarray(fitted, np.uint8).reshape(height, width, channels).transpose(2, 0, 1)


def _orientation(image: Image.Image) -> int:
    """EXIF's number for how the picture is to be turned; 1, as it is, where nothing legible says so."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # EXIF is written by every camera in its own way; the picture is sound all the same
        return 1


def _in_8_bits(image: Image.Image) -> Image.Image:
    """Grey of more bits or of floats scaled to 8 bits; others as they are."""
    if not image.mode.startswith(("I", "F")):
        return image
    values = np.asarray(image)
    transparent = image.info.get("transparency")
    low, high = _range(values, (65535.0,) if image.mode.startswith("I") else (1.0, 255.0, 65535.0))
    scaled = (values.astype(np.float32) - low) * np.float32(255 / (high - low) if high > low else 0)
    grey = np.nan_to_num(scaled, copy=False, nan=0, posinf=255, neginf=0).clip(0, 255).round().astype(np.uint8)
    if isinstance(transparent, int):
        grey[values == transparent] = 255
    return Image.fromarray(grey)


def _range(values: NDArray[np.generic], usual: Sequence[float]) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    if not finite.size:
        raise DataError("it has no finite values")
    low, high = float(finite.min()), float(finite.max())
    return next(((0.0, top) for top in usual if low >= 0 and high <= top), (low, high))


def _on_background(image: Image.Image, mode: str) -> Image.Image:
    if image.has_transparency_data:
        picture = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
        image = Image.new("RGB", picture.size, BACKGROUND)
        image.paste(picture, mask=picture.getchannel("A"))
    return image if image.mode == mode else image.convert(mode)
