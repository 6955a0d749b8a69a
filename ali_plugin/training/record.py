"""The end of a run: training.json, which says how the model came about, and the card."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from ali_plugin.folder.model_folder import TRAINING_NAME
from ali_plugin.folder.training_record import TrainingRecord
from ali_plugin.hub import card
from ali_plugin.support import atomic, machine
from ali_plugin.training.callbacks import Callback

if TYPE_CHECKING:
    from ali_plugin.training.config import TrainConfig
    from ali_plugin.training.trainer import Trainer

OF_THE_MACHINE = {"device", "log_every", "sample_every", "checkpoint_every", "keep"}
"""Choices that say how a run was watched and kept, not what it learned."""


class RecordKeeper(Callback):
    """Writes training.json and the card when a run ends, after the pictures that the card shows."""

    def on_end(self, trainer: Trainer) -> None:
        atomic.write(trainer.out / TRAINING_NAME, json.dumps(asdict(record(trainer)), indent=2) + "\n")
        card.write(trainer.out, registry=trainer.registry)


def record(trainer: Trainer) -> TrainingRecord:
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
    )


def command(config: TrainConfig) -> str:
    """The line that repeats a run, with every choice written out, whatever the defaults become."""
    words = ["ali", "train"]
    for choice in fields(config):
        value = getattr(config, choice.name)
        if choice.name not in OF_THE_MACHINE:
            name = "--arch" if choice.name == "architecture" else f"--{choice.name.replace('_', '-')}"
            words += _option(name, "DATA" if choice.name == "data_dir" and value else value)
    return shlex.join(words)


def _option(name: str, value: Any) -> list[str]:
    if value is None or value is False:
        return []
    if value is True:
        return [name]
    values = value if isinstance(value, list | tuple) else [value]
    return [word for one in values for word in (name, str(one))]
