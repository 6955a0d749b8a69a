"""Pictures of experiments, by matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ali_plugin.support import atomic
from ali_plugin.support.extras import need

Points = NDArray[np.float32]
TITLE_WIDTH = 55  # characters over a grid of pictures


def plots(rows: int, columns: int, width: float = 3.0, ratio: float = 1.0) -> tuple[Any, Any]:
    """A figure and its axes (rows, columns), without ticks; no display is needed.

    Args:
        width: of each of the axes, in inches; its height is ``ratio`` times as much.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    need("matplotlib", "the picture of an experiment", "eval").use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(rows, columns, figsize=(width * columns, width * ratio * rows), squeeze=False)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    return figure, axes


def save(figure: Any, path: Path) -> None:
    """Write a PNG."""
    from matplotlib import pyplot

    figure.tight_layout()
    atomic.write_with(path, lambda temporary: figure.savefig(temporary, dpi=100, format="png"))
    pyplot.close(figure)


def scatter(axis: Any, points: Points, colours: NDArray[np.int64] | None, reach: float, title: str) -> None:
    """Points (N, 2), coloured by a class number."""
    kept = np.abs(points).max(1) <= reach
    shades = {"color": "tab:blue"} if colours is None else {"c": colours[kept], "cmap": "gist_rainbow"}
    axis.scatter(*points[kept].T, s=1, linewidths=0, **shades)
    axis.set_xlim(-reach, reach)
    axis.set_ylim(-reach, reach)
    axis.set_aspect("equal")
    axis.set_title(title, fontsize=9)


def picture_grids(grids: Mapping[str, Sequence[tuple[str, NDArray[np.float32]]]], path: Path) -> None:
    """One row of axes per name, each a grid (rows, columns, C, H, W) of pictures in [0, 1] with a title."""
    columns = max(len(row) for row in grids.values())
    shapes = [pictures.shape for row in grids.values() for _, pictures in row]
    ratio = max(down * height / (across * width) for down, across, _, height, width in shapes)
    figure, axes = plots(len(grids), columns, 4.0, ratio)
    for (name, row), line in zip(grids.items(), axes, strict=True):
        for (title, pictures), axis in zip(row, line, strict=False):
            down, across, channels, height, width = pictures.shape
            grid = pictures.transpose(0, 3, 1, 4, 2).reshape(down * height, across * width, channels)
            axis.imshow(grid.squeeze(-1) if channels == 1 else grid, cmap="gray", vmin=0, vmax=1)
            axis.set_title(fill(title, TITLE_WIDTH), fontsize=9)
        line[0].set_ylabel(name)
    save(figure, path)


def dots(groups: Mapping[str, Mapping[str, Sequence[float]]], unit: str, path: Path) -> None:
    """One of the axes for each group: a line for each name with its values as dots, and their mean as a bar."""
    height = max(len(lines) for lines in groups.values())
    figure, axes = plots(len(groups), 1, 7.0, 0.05 + 0.04 * height)
    from matplotlib import ticker

    for (title, lines), axis in zip(groups.items(), axes[:, 0], strict=True):
        for place, values in enumerate(lines.values()):
            axis.plot(values, [place] * len(values), "o", color="tab:blue", alpha=0.5, markersize=4)
            axis.plot([np.mean(values)] * 2, [place - 0.35, place + 0.35], color="black", linewidth=2)
        axis.set_yticks(range(len(lines)), list(lines), fontsize=8)
        axis.invert_yaxis()
        axis.xaxis.set_major_locator(ticker.MaxNLocator(8))
        axis.grid(axis="x", alpha=0.3)
        axis.set_title(f"{title}, {unit}", fontsize=9)
    save(figure, path)
