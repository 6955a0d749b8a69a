"""Shards for tests: tar files of pictures whose pixels say which sample they are."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

SIDE = 28


def picture(number: int, side: int = SIDE) -> bytes:
    """A grey PNG whose first two pixels are the number, base 256; the others are noise of it."""
    pixels = np.random.default_rng(number).integers(0, 256, (side, side), dtype=np.uint8)
    pixels[0, :2] = divmod(number, 256)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def numbers(x: Tensor) -> list[int]:
    """Which samples these are, (B, 1, H, W) in [0, 1]."""
    high, low = (255 * x[:, 0, 0, :2]).round().long().unbind(1)
    return (256 * high + low).tolist()


def write_tar(path: Path, files: Mapping[str, bytes]) -> Path:
    """A tar file of these files."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def sample(number: int, side: int = SIDE, classes: int = 3) -> dict[str, bytes]:
    """A picture, its class, and what else people keep beside one."""
    stem = f"{number:06}"
    return {f"{stem}.png": picture(number, side), f"{stem}.cls": str(number % classes).encode(), f"{stem}.json": b"{}"}


def write_shards(folder: Path, counts: Iterable[int] = (40, 25, 60, 50, 45), side: int = SIDE) -> Path:
    """Shards 000.tar, 001.tar, ... of so many samples each, which are numbered through."""
    first = 0
    for i, count in enumerate(counts):
        files = {name: content for n in range(first, first + count) for name, content in sample(n, side).items()}
        write_tar(folder / f"{i:03}.tar", files)
        first += count
    return folder
