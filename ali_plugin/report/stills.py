"""Pictures inside of the page: as text, small enough for all of them to have room."""

from __future__ import annotations

import base64
from io import BytesIO

from markupsafe import Markup
from PIL import Image

LONGEST = 900  # pixels on a side
SMALLEST = 48  # below which nothing is left to see
QUALITIES = (90, 75, 55)


def data_uri(image: Image.Image, room: int) -> Markup:
    """A picture in at most ``room`` characters where that can be: of less quality, then smaller."""
    shown = image.convert("RGB")
    while True:
        for quality in QUALITIES:
            made = _encoded(shown, quality)
            if len(made) <= room:
                return made
        if max(shown.size) <= SMALLEST:
            return made
        shown = shown.resize((max(shown.width * 3 // 4, 1), max(shown.height * 3 // 4, 1)), Image.Resampling.LANCZOS)


def _encoded(image: Image.Image, quality: int) -> Markup:
    file = BytesIO()
    image.save(file, "WEBP", quality=quality)
    return Markup("data:image/webp;base64,") + base64.b64encode(file.getvalue()).decode()
