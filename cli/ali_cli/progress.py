"""Progress of a training run: a bar at a terminal, plain lines elsewhere, both on stderr."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from ali_plugin.training.callbacks import Callback

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from ali_plugin.training.trainer import Trainer


def training_progress(verbosity: int) -> list[Callback]:
    """The callback that suits the output; none if quiet."""
    if verbosity < 0:
        return []
    return [ProgressBar()] if sys.stderr.isatty() else [ProgressLines()]


def losses(figures: dict[str, float]) -> str:
    """The figures of a log line that are losses or accuracies, short: ``D 0.41  G 3.2  acc 0.93``."""
    short = {"loss_discriminator": "D", "loss_generator": "G", "accuracy_discriminator": "acc"}
    skip = {"step", "epoch", "seconds", "images_per_second"}
    return "  ".join(f"{short.get(name, name)} {value:.3g}" for name, value in figures.items() if name not in skip)


class ProgressLines(Callback):
    """A line for each log."""

    def on_warning(self, trainer: Trainer, text: str) -> None:
        click.echo(f"warning: {text}", err=True)

    def on_log(self, trainer: Trainer, figures: dict[str, float]) -> None:
        rate = figures["images_per_second"]
        left = (trainer.total_steps - trainer.step) * trainer.config.batch_size / max(rate, 1e-9)
        click.echo(
            f"step {trainer.step}/{trainer.total_steps}  {losses(figures)}  {rate:.0f} images/s  {left:.0f} s left",
            err=True,
        )


class ProgressBar(Callback):
    """A bar with losses, images per second and time left."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def on_start(self, trainer: Trainer) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._task = self._progress.add_task(
            trainer.config.architecture, total=trainer.total_steps, completed=trainer.step, figures=""
        )
        self._progress.start()

    def on_log(self, trainer: Trainer, figures: dict[str, float]) -> None:
        if self._progress is not None and self._task is not None:
            text = f"{losses(figures)}  {figures['images_per_second']:.0f}/s"
            self._progress.update(self._task, completed=trainer.step, figures=text)

    def on_warning(self, trainer: Trainer, text: str) -> None:
        if self._progress is not None:
            self._progress.console.print(f"warning: {text}", style="yellow")

    def on_end(self, trainer: Trainer) -> None:
        if self._progress is not None:
            self._progress.stop()
