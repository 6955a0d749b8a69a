"""Train one model of an experiment, for a number of steps or for a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ali_plugin.experiments.record import RUNS, Options
from ali_plugin.model import ALI
from ali_plugin.support.limits import MAX_STEPS
from ali_plugin.support.progress import track
from ali_plugin.training import checkpoint
from ali_plugin.training.callbacks import Callback, Run
from ali_plugin.training.decide import decide
from ali_plugin.training.run import plan, prepare

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
    """Gives a run the length that it will have after some minutes, so that its schedules end with it."""

    def __init__(self, minutes: float) -> None:
        self.seconds = 60 * minutes

    def on_start(self, trainer: Run) -> None:
        self._look(trainer)

    def on_log(self, trainer: Run, figures: dict[str, float]) -> None:
        self._look(trainer)

    def _look(self, trainer: Run) -> None:
        if trainer.seconds > 0:
            steps = int(trainer.step * self.seconds / trainer.seconds)
            trainer.total_steps = min(max(trainer.step, steps), ENDLESS)


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


def check(options: Options, name: str, length: Length, **choices: Any) -> None:
    """Refuse what ``train`` would refuse, where it can be seen without training.

    Raises:
        ALIError: see ``ali_plugin.training.run.plan``.
    """
    folder = _folder(options, name)
    plan(
        _config(options, length, choices),
        folder,
        resume=_goes_on(options, folder),
        allow_changed_data=options.allow_changed_data,
        registry=options.registry,
    )


def train(options: Options, name: str, length: Length, **choices: Any) -> Trained:
    """Train into ``out/runs/NAME``, or go on with what is there, and load the model.

    Args:
        choices: fields of ``TrainConfig`` beside those of the options.

    Raises:
        ALIError: see ``ali_plugin.training.run.prepare``.
    """
    folder = _folder(options, name)
    trainer = prepare(
        _config(options, length, choices),
        folder,
        resume=_goes_on(options, folder),
        allow_changed_data=options.allow_changed_data,
        callbacks=[Bar(name) if length.minutes is None else Clock(length.minutes)],
        registry=options.registry,
    )
    result = trainer.run()
    model = ALI.from_pretrained(folder, device=trainer.device, registry=options.registry)
    return Trained(model, result.steps, result.seconds)


def untrained(options: Options) -> ALI:
    """The model of a run before its first step, in eval mode; the data decide a shape that is left open.

    Raises:
        ALIError: see ``ali_plugin.training.assemble.assemble``.
    """
    decided = decide(_config(options, Length(steps=1), {}), _folder(options, "untrained"), options.registry)
    return decided.assembled(options.registry).model.eval()


def _folder(options: Options, name: str) -> Path:
    return options.out / RUNS / name.lower().replace(",", "").replace(" ", "-")


def _goes_on(options: Options, folder: Path) -> bool:
    return options.resume and bool(checkpoint.found(folder))


def _config(options: Options, length: Length, choices: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "architecture": options.architecture,
        "dataset": options.dataset,
        "data_dir": None if options.data_dir is None else str(options.data_dir),
        "background": options.background,
        "seed": options.seed,
        "device": options.device,
        "steps": ENDLESS if length.steps is None else length.steps,
        "sample_every": ENDLESS,
        "checkpoint_every": CHECKPOINT_EVERY,
        "log_every": 20,
        **choices,
    }
