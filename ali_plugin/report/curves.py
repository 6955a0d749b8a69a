"""The figures of runs as curves: panels of inline SVG, drawn here, since they have to follow the page's colours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

from ali_registry.text import printable

WIDTH, HEIGHT = 440, 250  # in the units of a drawing, which is scaled to the page
LEFT, RIGHT, TOP, BOTTOM = 52, 14, 10, 28  # margins around the axes
POINTS = 240  # of a curve; each is the mean of the lines near it
MOST_SERIES, MOST_PANELS = 6, 16
TICKS, SMALLEST = 4, 1e-30
NOT_DRAWN = ("step", "epoch", "seconds")

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Kind:
    """Figures that share a panel.

    Attributes:
        prefix: of their names; what follows it names a curve.
    """

    prefix: str
    title: str
    caption: str


KINDS = (
    Kind("loss_", "Losses", "Of each player in the game. They pull against each other, so neither has to fall."),
    Kind("accuracy_discriminator", "Accuracy of the discriminator",
         "Pairs that it tells right. At 0.5 it cannot tell them apart, at 1 it has won and the others stop learning."),
    Kind("mse_held_out", "Held-out reconstruction error",
         "Squared error per element, of data that are not trained on. Lower is better."),
    Kind("error_held_out", "Held-out classification error", "Share of data not trained on whose class is wrong."),
    Kind("cycle_", "Cycles", "Distances of what is encoded and decoded to what it was."),
    Kind("rate_", "Learning rates", "Of each player."),
    Kind("images_per_second", "Speed", "Images per second."),
)  # fmt: skip


@dataclass(frozen=True)
class Curve:
    """One figure over steps: means of neighbouring lines, and the range that they are the mean of."""

    name: str
    steps: Array
    mean: Array
    low: Array
    high: Array

    @classmethod
    def of(cls, name: str, steps: Array, values: Array) -> Curve:
        parts = np.array_split(np.arange(len(steps)), min(POINTS, len(steps)))
        mean, low, high = (
            np.array([function(values[part]) for part in parts]) for function in (np.mean, np.min, np.max)
        )
        return cls(name, np.array([steps[part].mean() for part in parts]), mean, low, high)

    @property
    def story(self) -> str:
        """For who does not see it."""
        return f"{self.name or 'value'} from {_number(self.mean[0])} to {_number(self.mean[-1])}"


@dataclass(frozen=True)
class Panel:
    """Drawings of one kind of figure, one for each run, on the same axes."""

    title: str
    caption: str
    legend: tuple[str, ...]
    drawings: tuple[Markup, ...]


def panels(runs: Sequence[tuple[str, Sequence[dict[str, float]]]]) -> list[Panel]:
    """Curves of runs: of each its name and its lines of figures, in order."""
    names = dict.fromkeys(name for _, lines in runs for line in lines for name in line if name not in NOT_DRAWN)
    kinds = [kind for kind in KINDS if any(name.startswith(kind.prefix) for name in names)]
    others = [Kind(name, name, "") for name in names if not any(name.startswith(kind.prefix) for kind in KINDS)]
    return [_panel(kind, runs, list(names)) for kind in (*kinds, *others)[:MOST_PANELS]]


def _panel(kind: Kind, runs: Sequence[tuple[str, Sequence[dict[str, float]]]], names: list[str]) -> Panel:
    chosen = [name for name in names if name.startswith(kind.prefix)][:MOST_SERIES]
    # The figure of a plugin may begin as another one does, which is then a curve of its own.
    legend = [name.removeprefix(kind.prefix).strip("_") if len(chosen) > 1 else "" for name in chosen]
    curves = [[_curve(told, name, lines) for told, name in zip(legend, chosen, strict=True)] for _, lines in runs]
    there = [curve for of_run in curves for curve in of_run if curve is not None]
    reach = _Axis.over([curve.steps for curve in there]), _Axis.over([curve.mean for curve in there], whole=True)
    drawings = (_drawing(f"{kind.title} of {run}", found, *reach) for (run, _), found in zip(runs, curves, strict=True))
    return Panel(kind.title, kind.caption, tuple(legend) if len(legend) > 1 else (), tuple(drawings))


def _curve(told: str, name: str, lines: Sequence[dict[str, float]]) -> Curve | None:
    points = [(line["step"], line[name]) for line in lines if name in line]
    if not points:
        return None
    steps, values = np.array(points, np.float64).T
    return Curve.of(told, steps, values)


@dataclass(frozen=True)
class _Axis:
    """A range, and where it is marked."""

    low: float
    high: float
    ticks: tuple[float, ...]

    @classmethod
    def over(cls, values: Sequence[Array], *, whole: bool = False) -> _Axis:
        """The range of values, widened to whole ticks if asked for."""
        low, high = min(float(v.min()) for v in values), max(float(v.max()) for v in values)
        if high - low <= max(1e-9 * max(abs(low), abs(high)), SMALLEST):  # a constant
            around = abs(high) / 2 if abs(high) > SMALLEST else 0.5
            low, high = low - around, high + around
        rough = (high - low) / TICKS
        unit = 10.0 ** floor(log10(rough))
        size = unit * next(factor for factor in (1, 2, 5, 10) if factor * unit >= 0.999 * rough)
        if whole:
            low, high = floor(low / size + 1e-6) * size, ceil(high / size - 1e-6) * size
        first, last = ceil(low / size - 1e-6), floor(high / size + 1e-6)
        return cls(low, high, tuple(i * size for i in range(first, last + 1)))

    def place(self, value: Array | float, start: float, end: float) -> Array:
        """Where values are between two ends of the drawing."""
        return np.asarray(
            start + (np.clip(value, self.low, self.high) - self.low) / (self.high - self.low) * (end - start)
        )


def _drawing(title: str, curves: Sequence[Curve | None], steps: _Axis, values: _Axis) -> Markup:
    """An SVG whose colours come from the page's style: ``s0``, ``s1``, ... are its curves."""
    if not any(curves):
        return Markup('<p class="none">not measured</p>')
    told = f"{title}, by step: {'; '.join(curve.story for curve in curves if curve)}"
    pieces = [
        Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">').format(WIDTH, HEIGHT, printable(told)),
        *(_mark(steps, tick, upright=False) for tick in steps.ticks),
        *(_mark(values, tick, upright=True) for tick in values.ticks),
        Markup('<text x="{}" y="{}" text-anchor="end">step</text>').format(LEFT - 6, HEIGHT - BOTTOM + 18),
    ]
    for number, curve in enumerate(curves):
        if curve is not None:
            pieces += _strokes(curve, number, steps, values)
    return Markup("").join([*pieces, Markup("</svg>")])


def _mark(axis: _Axis, tick: float, *, upright: bool) -> Markup:
    """A line across the drawing, or a short one below it, and its number."""
    base = HEIGHT - BOTTOM
    ends: tuple[float, ...]
    text: tuple[float, float]
    if upright:
        y = float(axis.place(tick, base, TOP))
        ends, text, anchor = (LEFT, y, WIDTH - RIGHT, y), (LEFT - 6, y + 4), "end"
    else:
        x = float(axis.place(tick, LEFT, WIDTH - RIGHT))
        ends, text, anchor = (x, base, x, base + 4), (x, base + 18), "middle"
    line = '<line class="tick" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>'
    return Markup(line + '<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(
        *ends, *text, anchor, _number(tick)
    )


def _strokes(curve: Curve, number: int, steps: _Axis, values: _Axis) -> list[Markup]:
    x = steps.place(curve.steps, LEFT, WIDTH - RIGHT)
    mean, low, high = (values.place(v, HEIGHT - BOTTOM, TOP) for v in (curve.mean, curve.low, curve.high))
    band = _path(np.concatenate([x, x[::-1]]), np.concatenate([high, low[::-1]]))
    marks = [Markup('<path class="band s{}" d="{}Z"/>').format(number, band)] if (high != low).any() else []
    if len(x) == 1:
        return [*marks, Markup('<circle class="dot s{}" cx="{:.1f}" cy="{:.1f}" r="3"/>').format(number, x[0], mean[0])]
    return [*marks, Markup('<path class="line s{}" d="{}"/>').format(number, _path(x, mean))]


def _path(x: Array, y: Array) -> str:
    return "M" + "L".join(f"{a:.1f} {b:.1f}" for a, b in zip(x, y, strict=True))


def _number(value: float) -> str:
    """Short: 12k, 0.0005, 1e-09."""
    value = float(value)
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if size <= abs(value) < 1e12:
            return f"{value / size:.3g}{letter}"
    return str(escape(f"{0.0 if abs(value) < 1e-15 else value:.3g}"))
