"""Train one model of an experiment, for a number of steps or for a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ali_plugin.experiments.record import RUNS, Options
from ali_plugin.model import ALI
from ali_plugin.support.limits import MAX_STEPS
from ali_plugin.support.progress import track
from ali_plugin.training import checkpoint
from ali_plugin.training.callbacks import Callback, Run
from ali_plugin.training.run import prepare

ENDLESS = MAX_STEPS
CHECKPOINT_EVERY = 1000  # steps: what a stopped experiment loses at most


@dataclass(frozen=True)
class Length:
    """Steps, or minutes of wall time."""

    steps: int | None = None
    minutes: float | None = None

    @classmethod
    def of(cls, options: Options, quick: int, full: int) -> Length:
        """What the options say, else the experiment's own number of steps."""
        if options.steps is None and options.minutes is None:
            return cls(steps=quick if options.quick else full)
        return cls(options.steps, options.minutes)


def settings_of(options: Options, length: Length) -> dict[str, Any]:
    """What the record of an experiment on pictures says of its trainings."""
    return {
        "architecture": options.architecture,
        "dataset": options.dataset,
        "steps": length.steps,
        "minutes": length.minutes,
    }


@dataclass(frozen=True)
class Trained:
    """A model in eval mode, and how long it trained."""

    model: ALI
    steps: int
    seconds: float

    @property
    def figures(self) -> dict[str, float]:
        """For the table."""
        return {"steps": float(self.steps), "training_seconds": round(self.seconds, 1)}


class Clock(Callback):
    """Stops a run after some minutes."""

    def __init__(self, minutes: float) -> None:
        self.seconds = 60 * minutes

    def on_start(self, trainer: Run) -> None:
        self._look(trainer)

    def on_log(self, trainer: Run, figures: dict[str, float]) -> None:
        self._look(trainer)

    def _look(self, trainer: Run) -> None:
        if trainer.seconds >= self.seconds:
            trainer.stop()


class Bar(Callback):
    """Shows the steps."""

    def __init__(self, name: str) -> None:
        self.name = name

    def on_start(self, trainer: Run) -> None:
        self._steps = track(range(trainer.total_steps), f"training {self.name}", trainer.total_steps)
        self._done = 0

    def on_log(self, trainer: Run, figures: dict[str, float]) -> None:
        while self._done < trainer.step:
            next(self._steps, None)
            self._done += 1


def train(options: Options, name: str, length: Length, **choices: Any) -> Trained:
    """Train into ``out/runs/NAME``, or go on with what is there, and load the model.

    Args:
        choices: fields of ``TrainConfig`` beside those of the options.

    Raises:
        ALIError: see ``ali_plugin.training.run.prepare``.
    """
    folder = options.out / RUNS / name.lower().replace(",", "").replace(" ", "-")
    timed = length.minutes is not None
    config = {
        "architecture": options.architecture,
        "dataset": options.dataset,
        "data_dir": None if options.data_dir is None else str(options.data_dir),
        "seed": options.seed,
        "device": options.device,
        "steps": ENDLESS if timed else length.steps,
        "sample_every": ENDLESS,
        "checkpoint_every": CHECKPOINT_EVERY,
        "log_every": 20,
        **choices,
    }
    callbacks: list[Callback] = [Clock(length.minutes)] if length.minutes is not None else [Bar(name)]
    resume = options.resume and bool(checkpoint.found(folder))
    trainer = prepare(config, folder, resume=resume, callbacks=callbacks, registry=options.registry)
    result = trainer.run()
    model = ALI.from_pretrained(folder, device=trainer.device, registry=options.registry)
    return Trained(model, result.steps, result.seconds)
