"""What a report says of runs in words and numbers: rows with a cell for each run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from ali_plugin.config import settings
from ali_plugin.report.run import RunFolder
from ali_registry import Metric, Registry, UnknownName

NOTHING = "-"
MOST_ROWS = 400


@dataclass(frozen=True)
class Row:
    """One thing, of each run.

    Attributes:
        on: of a figure, what it was measured on; meaning: what it says.
    """

    name: str
    cells: tuple[str, ...]
    on: str = ""
    meaning: str = ""

    @property
    def differs(self) -> bool:
        """Whether the runs are not alike in it."""
        return len(set(self.cells)) > 1


def glance(run: RunFolder) -> dict[str, str]:
    """A run in a few numbers."""
    training, last = run.model.training, run.last
    planned = f" of {training.planned:,}" if training and training.planned != training.steps else ""
    found = {
        "Steps": f"{run.step:,}{planned}",
        "Trained for": _duration(last["seconds"]) if "seconds" in last else NOTHING,
        "Parameters": f"{sum(run.model.parameters.values()):,}",
    }
    if rates := run.figures("images_per_second"):
        found["Images per second"] = f"{median(rates):,.0f}"
    if errors := run.figures("mse_held_out"):
        found["Held-out squared error"] = f"{errors[-1]:.4g}"
    if errors := run.figures("error_held_out"):
        found["Held-out error of classes"] = f"{errors[-1]:.2%}"
    return found


def what(runs: Sequence[RunFolder]) -> list[Row]:
    """What was trained, and how."""
    return _rows(runs, _choices)


def environment(runs: Sequence[RunFolder]) -> list[Row]:
    """Versions and hardware of the runs that have ended."""

    def found(run: RunFolder) -> dict[str, str]:
        training = run.model.training
        return {**training.versions, **training.hardware} if training else {}

    return _rows(runs, found)


def evaluation(runs: Sequence[RunFolder], registry: Registry) -> list[Row]:
    """Figures of ``ali evaluate``, with what each means."""
    cells: dict[tuple[str, ...], dict[int, str]] = {}
    for number, run in enumerate(runs):
        for figure in run.model.figures:
            key = (figure.metric, figure.figure, figure.dataset, figure.split)
            cells.setdefault(key, {})[number] = f"{figure.value:.4g}"
    return [
        Row(f"{metric}: {figure}", tuple(found.get(number, NOTHING) for number in range(len(runs))),
            f"{dataset}, {split}", _meaning(metric, figure, registry))
        for (metric, figure, dataset, split), found in list(cells.items())[:MOST_ROWS]
    ]  # fmt: skip


def _meaning(metric: str, figure: str, registry: Registry) -> str:
    try:
        return registry.get(Metric, metric).meaning(figure)
    except UnknownName:  # of a plugin that is not here
        return ""


def _choices(run: RunFolder) -> dict[str, str]:
    config, model = run.config, run.model.config
    parts = {kind: f"{part.name}, {run.model.parameters[kind]:,} parameters" for kind, part in model.parts.items()}
    length = f"{config.steps:,} steps" if config.steps else f"{config.epochs:,} epochs"
    found = {
        "architecture": config.architecture,
        **parts,
        "data": f"{config.dataset}, {'x'.join(map(str, model.data_shape))}",
        "latent": f"{model.latent_size}, prior N(0, I)",
        "condition": ", ".join(model.condition_names) or str(model.condition_size) if model.condition_size else "",
        "objective": config.objective,
        "labels": config.labels,
        "length": length,
        "batch": config.batch_size,
        "optimiser": f"{config.optimiser}, beta1 {config.beta1}, beta2 {config.beta2}",
        "learning rate": f"{config.lr}{', falling to 0' if config.lr_decay else ''}",
        "of the discriminator": config.lr_discriminator,
        "averaged weights": config.ema or config.ema_half_life,
        "precision": config.precision,
        "seed": config.seed,
        **dict(word.split("=", 1) for word in settings.words(config.settings)),
    }
    return {name: str(value) for name, value in found.items() if value not in (None, "", False)}


def _rows(runs: Sequence[RunFolder], of: Callable[[RunFolder], dict[str, str]]) -> list[Row]:
    found = [of(run) for run in runs]
    names: Iterable[str] = dict.fromkeys(name for cells in found for name in cells)
    rows = [Row(name, tuple(cells.get(name, NOTHING) for cells in found)) for name in names]
    return rows[:MOST_ROWS]


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
