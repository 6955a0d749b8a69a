"""Progress of a training run: a bar at a terminal, plain lines elsewhere, both on stderr, never still for long."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from ali_plugin.support import streams
from ali_plugin.training.callbacks import Callback, Run
from ali_registry.text import printable

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

BEAT = 0.5  # seconds
MOST = 12  # figures on a line
STILL = 4.0  # seconds without a line, after which one says that the run is at work


def training_progress(verbosity: int) -> TrainingProgress:
    """The callback that suits the output."""
    if verbosity < 0:
        return TrainingProgress()
    return ProgressBar() if streams.is_terminal(sys.stderr) else ProgressLines()


def losses(figures: dict[str, float]) -> str:
    """The figures of a log line that are losses or accuracies, short: ``D 0.41  G 3.2  acc 0.93``."""
    short = {"loss_discriminator": "D", "loss_generator": "G", "accuracy_discriminator": "acc"}
    skip = {"step", "epoch", "seconds", "images_per_second"}
    shown = [f"{printable(short.get(name, name), 40)} {value:.3g}"  # an objective of a plugin names them
             for name, value in figures.items() if name not in skip]  # fmt: skip
    return "  ".join(shown[:MOST])


class TrainingProgress(Callback):
    """Shows nothing of a run, and tells what a person has to know."""

    def say(self, text: str) -> None:
        """A line of its own; dropped where it cannot be written."""
        click.echo(text, file=streams.unfailing())

    def close(self) -> None:
        """After the run, however it ended; may be called again."""

    def on_end(self, trainer: Run) -> None:
        self.close()


class Heartbeat:
    """Calls a function every ``BEAT`` seconds from a thread of its own, also while a step takes long."""

    def __init__(self, beat: Callable[[], None]) -> None:
        self._beat, self._over = beat, threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(BEAT):
            self._beat()

    def stop(self) -> None:
        self._over.set()
        self._thread.join()


class ProgressLines(TrainingProgress):
    """A line for each log, and one every few seconds where none comes."""

    def __init__(self) -> None:
        self._heart: Heartbeat | None = None
        self._last = time.monotonic()

    def say(self, text: str) -> None:
        self._last = time.monotonic()
        super().say(text)

    def on_start(self, trainer: Run) -> None:
        begun = time.monotonic()

        def beat() -> None:
            if time.monotonic() - self._last > STILL:
                at = f"step {trainer.step}/{trainer.total_steps}"
                self.say(f"{at}  at work on the next, {time.monotonic() - begun:.0f} s since the start")

        self._heart = Heartbeat(beat)

    def on_warning(self, trainer: Run, text: str) -> None:
        self.say(f"warning: {printable(text)}")

    def on_log(self, trainer: Run, figures: dict[str, float]) -> None:
        rate = figures["images_per_second"]
        left = (trainer.total_steps - trainer.step) * trainer.config.batch_size / max(rate, 1e-9)
        self.say(
            f"step {trainer.step}/{trainer.total_steps}  {losses(figures)}  {rate:.0f} images/s  {left:.0f} s left"
        )

    def close(self) -> None:
        if self._heart is not None:
            self._heart.stop()
            self._heart = None


class ProgressBar(TrainingProgress):
    """A bar with losses, images per second and time left; something on it turns while a step takes long."""

    def __init__(self) -> None:
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._heart: Heartbeat | None = None

    def say(self, text: str) -> None:
        if self._progress is None:
            super().say(text)
        else:
            self._progress.console.print(text, style="yellow", markup=False, highlight=False)

    def on_start(self, trainer: Run) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            SpinnerColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}", markup=False),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(file=streams.unfailing(sys.stderr)),  # which the bar puts itself in the place of
        )
        task = progress.add_task(
            trainer.config.architecture, total=trainer.total_steps, completed=trainer.step, figures=""
        )
        progress.start()
        self._progress, self._task = progress, task
        self._heart = Heartbeat(lambda: progress.update(task, completed=trainer.step))

    def on_log(self, trainer: Run, figures: dict[str, float]) -> None:
        if self._progress is not None and self._task is not None:
            text = f"{losses(figures)}  {figures['images_per_second']:.0f}/s"
            self._progress.update(self._task, completed=trainer.step, figures=text)

    def on_warning(self, trainer: Run, text: str) -> None:
        self.say(f"warning: {printable(text)}")

    def close(self) -> None:
        super().close()
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
