"""A picture of any mode in plain grey or colour: 8 bits, sRGB, nothing transparent."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps
from PIL.TiffImagePlugin import PHOTOMETRIC_INTERPRETATION, TiffImageFile

from ali_plugin.errors import DataError
from ali_plugin.pictures.background import RGB

GREY = ("1", "L", "LA", "La")  # modes; grey of more bits is made L first
OPAQUE = ("L", "RGB", "CMYK", "LAB")  # modes that profiles are made for; others become L or RGB
WHITE_IS_ZERO = (
    0  # TIFF's photometric interpretation of negatives, which Pillow turns in pictures of at most 8 bits only
)
PROFILES = 16  # that are kept ready, as the pictures of one camera share theirs


def in_8_bits(image: Image.Image, rows: range | None = None) -> Image.Image:
    """A picture that can be resized: L, RGB, CMYK or LAB, or LA or RGBA where something is transparent.

    Grey of 16 bits is scaled to 8; so are 32-bit integers and floats, from the least of the ranges 0 to 65535 (floats:
    0 to 1, 255, 65535) that holds them, or else from their own extremes.

    Args:
        rows: of the image, which are the picture; None for all.

    Raises:
        DataError: none of its values is a finite number.
    """
    negative = image.mode.startswith(("I", "F")) and _photometric(image) == WHITE_IS_ZERO
    image = image if rows is None else image.crop((0, rows.start, image.width, rows.stop))
    image = _scaled(image) if image.mode.startswith(("I", "F")) else image
    image = ImageOps.invert(image) if negative else image
    if image.has_transparency_data:
        image = image.convert("LA") if image.mode == "La" else image
        return image.convert("LA" if image.mode in GREY else "RGBA")
    return image if image.mode in OPAQUE else image.convert("L" if image.mode in GREY else "RGB")


def plain(image: Image.Image, mode: str, profile: bytes, background: RGB) -> Image.Image:
    """What ``in_8_bits`` made, as "L" or "RGB" in sRGB.

    Args:
        profile: the ICC profile of its colours; one that is damaged or of other kinds of colours is passed over.
        background: what shows where it is transparent.
    """
    alpha = image.getchannel("A") if image.mode in ("LA", "RGBA") else None
    image = image.convert(image.mode.removesuffix("A"))
    transform = _to_srgb(profile, image.mode) if profile else None
    image = image if transform is None else transform.apply(image)
    if alpha is not None:
        canvas = Image.new("RGB", image.size, background)
        canvas.paste(image.convert("RGB"), mask=alpha)
        image = canvas
    return image.convert(mode)


@lru_cache(PROFILES)
def _to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except Exception:  # of whatever the profile is; the picture is sound all the same
        return None


def _photometric(image: Image.Image) -> object:
    """What a TIFF says of its least value; None of other files."""
    return image.tag_v2.get(PHOTOMETRIC_INTERPRETATION) if isinstance(image, TiffImageFile) else None


def _scaled(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    low, high = _range(values, (65535.0,) if image.mode.startswith("I") else (1.0, 255.0, 65535.0))
    scaled = (values.astype(np.float32) - low) * np.float32(255 / (high - low) if high > low else 0)
    grey = np.nan_to_num(scaled, copy=False, nan=0, posinf=255, neginf=0).clip(0, 255).round().astype(np.uint8)
    made, transparent = Image.fromarray(grey), image.info.get("transparency")
    if isinstance(transparent, int):
        made.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
    return made


def _range(values: NDArray[np.generic], usual: Sequence[float]) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    if not finite.size:
        raise DataError("it has no finite values")
    low, high = float(finite.min()), float(finite.max())
    return next(((0.0, top) for top in usual if low >= 0 and high <= top), (low, high))
