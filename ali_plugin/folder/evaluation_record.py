"""The figures of a model, kept beside it in evaluation.json: the one place that reads and writes them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from ali_plugin.errors import ConfigError
from ali_plugin.folder.model_folder import EVALUATION_NAME
from ali_plugin.support import atomic, locks
from ali_plugin.support.limits import MAX_SEED
from ali_plugin.support.strict_json import MAX_BYTES, is_integer, is_number, parse, read_text, short
from ali_registry import Metric, Registry
from ali_registry.text import is_clean, printable

MAX_NAME, MAX_PROTOCOL = 100, 500  # characters

WAIT = 5.0  # seconds for another evaluation that keeps its figures


@dataclass(frozen=True)
class Figure:
    """One number with all that it takes to compare it.

    Attributes:
        metric: registered name; figure: which of its numbers.
        split: of the dataset it was measured on.
        protocol: how, in a line.
    """

    metric: str
    figure: str
    value: float
    dataset: str
    split: str
    protocol: str
    seed: int


def figures_of(
    found: Mapping[str, Mapping[str, float]], dataset: str, seed: int, registry: Registry, split: str = "test"
) -> list[Figure]:
    """The results of ``evaluate`` as figures, whose protocol is what the metric says of itself."""
    return [
        Figure(metric, name, float(value), dataset, split, _protocol(metric, registry), seed)
        for metric, values in found.items()
        for name, value in values.items()
    ]


def read(folder: Path) -> list[Figure]:
    """The figures beside a model, [] if there are none.

    Raises:
        ConfigError: the file is damaged.
    """
    path = folder / EVALUATION_NAME
    if not path.exists():
        return []
    raw = parse(read_text(path), str(path))
    if not isinstance(raw, list) or not all(map(_is_sound, raw)):
        raise ConfigError(f"{path} is no list of figures of this version; remove it and evaluate again")
    return [Figure(**row) for row in raw]


def keep(folder: Path, figures: Iterable[Figure]) -> None:
    """Add figures to those beside a model, in place of older ones of the same metric on the same data.

    What is not finite (the PSNR of a perfect reconstruction) is no JSON number and is left out.

    Raises:
        ConfigError: a figure, or all of them, could not be read again; or those that are there cannot.
        FolderError: a run holds the folder, whose next weights are others; or the file cannot be written.
    """
    new = [figure for figure in figures if math.isfinite(figure.value)]
    measured = {(figure.metric, figure.dataset, figure.split) for figure in new}
    with locks.holding(folder / locks.NAME, f"{str(folder)!r}, where the figures are kept,", wait=WAIT):
        old = [figure for figure in read(folder) if (figure.metric, figure.dataset, figure.split) not in measured]
        atomic.write(folder / EVALUATION_NAME, _text([*old, *new]))


def _text(figures: Iterable[Figure]) -> str:
    rows = sorted((asdict(figure) for figure in figures), key=lambda row: (row["dataset"], row["metric"]))
    if odd := [row for row in rows if not _is_sound(row)]:
        raise ConfigError(f"the figure {short(odd[0], 200)} cannot be kept in {EVALUATION_NAME}")
    text = json.dumps(rows, indent=2) + "\n"
    if len(text) > MAX_BYTES:
        raise ConfigError(f"{len(rows)} figures are too many for {EVALUATION_NAME}; remove it and evaluate again")
    return text


def _is_sound(row: object) -> bool:
    """Whether it is a figure: what is read and what is written is held to the same."""
    if not isinstance(row, dict) or set(row) != {field.name for field in fields(Figure)}:
        return False
    texts = {"metric": MAX_NAME, "figure": MAX_NAME, "dataset": MAX_NAME, "split": MAX_NAME, "protocol": MAX_PROTOCOL}
    return (
        all(is_clean(row[key], longest) for key, longest in texts.items())
        and is_number(row["value"])
        and is_integer(row["seed"], MAX_SEED)
    )


def _protocol(metric: str, registry: Registry) -> str:
    return printable(registry.get(Metric, metric).summary, MAX_PROTOCOL)
