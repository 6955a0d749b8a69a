"""The end of a run: training.json, which says how the model came about, and the card."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict, fields
from typing import Any

from ali_plugin.config import settings
from ali_plugin.folder.model_folder import TRAINING_NAME
from ali_plugin.folder.training_record import TrainingRecord
from ali_plugin.hub import card
from ali_plugin.support import atomic, machine
from ali_plugin.training.callbacks.callback import Callback, Run
from ali_plugin.training.config import TrainConfig
from ali_plugin.training.option import name_of, option_of


class RecordKeeper(Callback):
    """Writes training.json and the card when a run ends, after the pictures that the card shows."""

    def on_end(self, trainer: Run) -> None:
        atomic.write(trainer.out / TRAINING_NAME, json.dumps(asdict(record(trainer)), indent=2) + "\n")
        card.write(trainer.out, registry=trainer.registry)


def record(trainer: Run) -> TrainingRecord:
    """Of a run as it stands."""
    plugins = {plugin.distribution: plugin.version for plugin in trainer.model.config.plugins}
    return TrainingRecord(
        command=command(trainer.config),
        dataset=trainer.config.dataset,
        seed=trainer.config.seed,
        steps=trainer.step,
        planned=trainer.total_steps,
        seconds=round(trainer.seconds, 1),
        versions={**plugins, **machine.versions()},
        hardware=machine.hardware(trainer.device),
        background=trainer.config.background,
    )


def command(config: TrainConfig) -> str:
    """The line that repeats a run, with every choice written out, whatever the defaults become."""
    words = ["ali", "train"]
    for choice in fields(config):
        told, value = option_of(choice), getattr(config, choice.name)
        if told.learned:
            words += _typed(name_of(choice), "DATA" if told.is_folder and value else value)
    return shlex.join(words)


def _typed(name: str, value: Any) -> list[str]:
    if value is None or value is False:
        return []
    if value is True:
        return [name]
    values = settings.words(value) if isinstance(value, dict) else value if isinstance(value, list | tuple) else [value]
    return [word for one in values for word in (name, str(one))]
