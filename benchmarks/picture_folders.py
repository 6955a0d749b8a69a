"""Two folders of colour pictures, 64x64, to train on: ``python benchmarks/picture_folders.py FOLDER``.

FOLDER/scenes has 300 drawn landscapes to train on, and more to measure with, in subfolders of their times of day;
FOLDER/shapes has 5,000 shapes of the example plugin in subfolders of their classes. Both are the same each time.
"""

from __future__ import annotations

import argparse
import runpy
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from ali_plugin.datasets.split import SPLITS

SCENES = {"train": 300, "val": 60, "test": 600}
SIDE, FINE = 64, 4  # pixels of a side, each drawn as so many
SHAPES = Path(__file__).parent.parent / "examples" / "ali-plugin-resnets" / "ali_plugin_resnets" / "shapes.py"
SKIES = {
    "day": ((40, 70, 140), (150, 190, 230)),
    "dusk": ((110, 60, 110), (250, 170, 110)),
    "night": ((10, 14, 40), (50, 60, 110)),
}
GROUNDS = ((60, 120, 60), (150, 130, 70), (210, 215, 225))
WALLS, ROOFS = ((220, 200, 170), (180, 90, 80), (240, 240, 235)), ((120, 50, 40), (70, 70, 80))

Colour = tuple[int, ...]


def scene(time: str, random: np.random.Generator) -> Image.Image:
    """A sky with a sun or moon, two ranges of hills, and perhaps a house and some trees."""
    size = SIDE * FINE
    top, bottom = (np.array(_near(colour, random)) for colour in SKIES[time])
    share = np.linspace(0, 1, size)[:, None, None]
    sky = np.broadcast_to(top + share * (bottom - top), (size, size, 3)).round().astype(np.uint8)
    picture = Image.fromarray(np.ascontiguousarray(sky))
    draw = ImageDraw.Draw(picture)
    x, y, radius = random.uniform((0.1, 0.1, 0.05), (0.9, 0.35, 0.1)) * size
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(250, 240, 190))
    ground = _near(GROUNDS[int(random.integers(len(GROUNDS)))], random)
    _hills(draw, size, 0.5, tuple(int(0.6 * one) for one in ground), random)
    line = _hills(draw, size, 0.7, ground, random)
    if random.random() < 0.6:
        _house(draw, size, line, random)
    for _ in range(int(random.integers(4))):
        _tree(draw, size, line, random)
    return picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def _near(colour: Colour, random: np.random.Generator) -> Colour:
    return tuple(int(one) for one in np.clip(np.array(colour) + random.integers(-20, 21, 3), 0, 255))


def _hills(
    draw: ImageDraw.ImageDraw, size: int, height: float, colour: Colour, random: np.random.Generator
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Draws a range of hills; returns the height of its line at each column."""
    across = np.arange(size) / size
    waves = random.uniform((0.04, 0.5, 0), (0.1, 1.5, 1), (2, 3))
    line = size * (height + sum(a * np.sin(2 * np.pi * (b * across + c)) for a, b, c in waves))
    draw.polygon([(0, size), *zip(range(size), line, strict=True), (size, size)], fill=colour)
    return np.asarray(line)


def _house(draw: ImageDraw.ImageDraw, size: int, line: np.ndarray, random: np.random.Generator) -> None:
    left, width = random.uniform(0.1, 0.65) * size, random.uniform(0.15, 0.25) * size
    foot = line[int(left + width / 2)] + 0.06 * size
    top, middle = foot - 0.7 * width, left + width / 2
    wall, roof = (_near(kinds[int(random.integers(len(kinds)))], random) for kinds in (WALLS, ROOFS))
    draw.rectangle((left, top, left + width, foot), fill=wall)
    draw.polygon([(left - 0.1 * width, top), (middle, top - 0.5 * width), (left + 1.1 * width, top)], fill=roof)
    draw.rectangle((middle - 0.12 * width, foot - 0.4 * width, middle + 0.12 * width, foot), fill=roof)


def _tree(draw: ImageDraw.ImageDraw, size: int, line: np.ndarray, random: np.random.Generator) -> None:
    x, height = random.uniform(0.05, 0.95) * size, random.uniform(0.12, 0.25) * size
    foot = line[int(x)] + random.uniform(0.02, 0.12) * size
    draw.rectangle((x - height / 20, foot - height / 3, x + height / 20, foot), fill=(90, 60, 40))
    crown = [(x - height / 4, foot - height / 4), (x, foot - height), (x + height / 4, foot - height / 4)]
    draw.polygon(crown, fill=_near((40, 90, 50), random))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    random = np.random.default_rng(0)
    for split, count in SCENES.items():
        for number in range(count):
            time = list(SKIES)[number % len(SKIES)]
            path = folder / "scenes" / split / time / f"{number:03}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            scene(time, random).save(path)
    shapes = runpy.run_path(str(SHAPES))["shapes"]
    for split in SPLITS:
        found = shapes(split, (3, SIDE, SIDE))
        for number, (picture, label) in enumerate(zip(found.data, found.labels, strict=True)):
            path = folder / "shapes" / found.classes[label] / f"{split}-{number:04}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture.transpose(1, 2, 0)).save(path)


if __name__ == "__main__":
    main()
