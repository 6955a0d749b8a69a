"""What a model was trained with: training.json, written when a run ends, read by its card. No torch to read it."""

from __future__ import annotations

import json
import os
import platform
import shlex
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ali_plugin.errors import ConfigError
from ali_plugin.folder.model_folder import TRAINING_NAME
from ali_plugin.support import atomic
from ali_plugin.support.limits import MAX_SEED
from ali_plugin.support.strict_json import is_integer, is_number, read_object, short
from ali_plugin.training.callbacks import Callback
from ali_plugin.version import __version__
from ali_registry.text import is_clean, printable

if TYPE_CHECKING:
    from ali_plugin.training.config import TrainConfig
    from ali_plugin.training.trainer import Trainer

MAX_COMMAND, MAX_TEXT = 10_000, 500  # characters
OF_THE_MACHINE = {"device", "log_every", "sample_every", "checkpoint_every", "keep"}
"""Choices that say how a run was watched and kept, not what it learned."""


@dataclass(frozen=True)
class TrainingRecord:
    """How a model came about.

    Attributes:
        command: that makes it again; a data folder is called DATA.
        steps: that were done; planned: that were asked for.
        versions: of the libraries, by distribution; hardware: what it ran on, by kind.
    """

    command: str
    dataset: str
    seed: int
    steps: int
    planned: int
    seconds: float
    versions: dict[str, str]
    hardware: dict[str, str]

    @classmethod
    def from_folder(cls, folder: Path) -> TrainingRecord | None:
        """The record in a run or model folder, None if it has none; ConfigError if it is damaged or of no run."""
        path = folder / TRAINING_NAME
        if not path.exists():
            return None
        raw = read_object(path)
        if set(raw) != {field.name for field in fields(cls)}:
            raise ConfigError(f"{path} is no training record of this version; remove it")
        sound = {
            "command": is_clean(raw["command"], MAX_COMMAND),
            "dataset": is_clean(raw["dataset"], MAX_TEXT),
            "seed": is_integer(raw["seed"], MAX_SEED),
            **{name: is_integer(raw[name]) for name in ("steps", "planned")},
            "seconds": is_number(raw["seconds"]) and raw["seconds"] >= 0,
            **{name: _are_clean(raw[name]) for name in ("versions", "hardware")},
        }
        if odd := [name for name, holds in sound.items() if not holds]:
            raise ConfigError(f"{path}: {odd[0]} is {short(raw[odd[0]])}, which no run writes; remove the file")
        return cls(**raw)


def _are_clean(texts: object) -> bool:
    return isinstance(texts, dict) and all(is_clean(text, MAX_TEXT) for item in texts.items() for text in item)


class RecordKeeper(Callback):
    """Writes training.json and the card when a run ends, after the pictures that the card shows."""

    def on_end(self, trainer: Trainer) -> None:
        from ali_plugin.hub import card

        atomic.write(trainer.out / TRAINING_NAME, json.dumps(asdict(record(trainer)), indent=2) + "\n")
        card.write(trainer.out, registry=trainer.registry)


def record(trainer: Trainer) -> TrainingRecord:
    """Of a run as it stands."""
    device = next(trainer.model.parameters()).device
    return TrainingRecord(
        command=command(trainer.config),
        dataset=trainer.config.dataset,
        seed=trainer.config.seed,
        steps=trainer.step,
        planned=trainer.total_steps,
        seconds=round(trainer.seconds, 1),
        versions=_versions(trainer),
        hardware=_hardware(device),
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


def _versions(trainer: Trainer) -> dict[str, str]:
    import torch

    plugins = {plugin.distribution: plugin.version for plugin in trainer.model.config.plugins}
    return {"python": platform.python_version(), "torch": torch.__version__, **plugins, "ali-plugin": __version__}


def _hardware(device: Any) -> dict[str, str]:
    import torch

    found = {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.machine()}",
    }
    if device.type == "cuda":
        found["accelerator"] = torch.cuda.get_device_name(device)
    return {"device": device.type, **{name: printable(text, MAX_TEXT) for name, text in found.items()}}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()
