"""Picture files that end too soon: what is there is used where it is enough, and they are counted and named."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ali_plugin.datasets import load_split
from ali_plugin.errors import DataError
from ali_plugin.pictures.decode import fit_image, read_picture

SHAPE = (3, 12, 16)
KINDS: dict[str, dict[str, Any]] = {
    "PNG": {}, "JPEG": {"quality": 95}, "BMP": {}, "PPM": {}, "TIFF": {}, "GIF": {"interlace": False},
}  # fmt: skip


def scene() -> Image.Image:
    """Colours that differ from row to row, and noise that no format makes small."""
    random = np.random.default_rng(0)
    rows = np.linspace(40, 200, 120)[:, None, None] * np.array([1.0, 0.6, 0.3])
    return Image.fromarray((rows + random.integers(0, 40, (120, 160, 3))).astype(np.uint8))


def content(kind: str, share: float, **options: Any) -> bytes:
    out = io.BytesIO()
    scene().save(out, kind, **options)
    return out.getvalue()[: int(len(out.getvalue()) * share)]


def difference(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    return float(np.abs(one.astype(float) - other).mean())


@pytest.mark.parametrize("kind", KINDS)
def test_the_rows_that_are_there_are_the_picture(kind: str) -> None:
    """Nothing of what a decoder fills the rest with is seen."""
    cut = read_picture(content(kind, 0.8, **KINDS[kind]), SHAPE)
    found = re.fullmatch(r"it ends too soon, (\d+)% of its rows are there", cut.missing)
    assert found is not None
    rows = 120 * int(found[1]) // 100
    assert 0.6 < rows / 120 < 0.9
    box = (0, 120 - rows, 160, 120) if kind == "BMP" else (0, 0, 160, rows)  # which begins with the last row
    assert difference(cut.pixels, fit_image(scene().crop(box), SHAPE)) < 6
    assert difference(cut.pixels, fit_image(scene(), SHAPE)) > 6


@pytest.mark.parametrize("kind", KINDS)
def test_less_than_half_is_no_picture(kind: str) -> None:
    with pytest.raises(DataError, match=r"it ends too soon: \d+% of its rows are there, less than 50%"):
        read_picture(content(kind, 0.3, **KINDS[kind]), SHAPE)


@pytest.mark.parametrize("share", [0.5, 0.95])
def test_of_a_progressive_jpeg_all_rows_are_there(share: float) -> None:
    cut = read_picture(content("JPEG", share, quality=95, progressive=True), SHAPE)
    assert cut.missing == "it ends too soon, all of its rows are there, though not in every detail"
    assert difference(cut.pixels, fit_image(scene(), SHAPE)) < 6


def test_they_are_counted_and_named(tmp_path: Path) -> None:
    for i in range(20):
        scene().save(tmp_path / f"{i:02}.png")
    (tmp_path / "05.png").write_bytes(content("PNG", 0.9))
    (tmp_path / "06.png").write_bytes(content("PNG", 0.2))
    notes = load_split("image-folder", "train", data_dir=tmp_path, data_shape=SHAPE).notes
    assert any("1 pictures could not be read and are left out: 06.png: it ends too soon" in note for note in notes)
    assert any("1 pictures are not complete and are used as far as they go: 05.png" in note for note in notes)
