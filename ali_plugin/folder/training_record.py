"""What a model was trained with: training.json, written when a run ends, read by its card. No torch to read it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

from ali_plugin.errors import ConfigError
from ali_plugin.folder.model_folder import TRAINING_NAME
from ali_plugin.pictures.background import is_background
from ali_plugin.support.limits import MAX_SEED
from ali_plugin.support.strict_json import is_integer, is_number, read_object, short
from ali_registry.text import is_clean

MAX_COMMAND, MAX_TEXT = 10_000, 500  # characters


@dataclass(frozen=True)
class TrainingRecord:
    """How a model came about.

    Attributes:
        command: that makes it again; a data folder is called DATA.
        steps: that were done; planned: that were asked for.
        versions: of the libraries, by distribution; hardware: what it ran on, by kind.
        background: under what was transparent in its pictures; None where nothing was, and in older records.
    """

    command: str
    dataset: str
    seed: int
    steps: int
    planned: int
    seconds: float
    versions: dict[str, str]
    hardware: dict[str, str]
    background: str | None = None

    @classmethod
    def from_folder(cls, folder: Path) -> TrainingRecord | None:
        """The record in a run or model folder, None if it has none; ConfigError if it is damaged or of no run."""
        path = folder / TRAINING_NAME
        if not path.exists():
            return None
        raw = read_object(path)
        if set(raw) | {"background"} != {field.name for field in fields(cls)}:
            raise ConfigError(f"{path} is no training record of this version; remove it")
        sound = {
            "command": is_clean(raw["command"], MAX_COMMAND),
            "dataset": is_clean(raw["dataset"], MAX_TEXT),
            "seed": is_integer(raw["seed"], MAX_SEED),
            **{name: is_integer(raw[name]) for name in ("steps", "planned")},
            "seconds": is_number(raw["seconds"]) and raw["seconds"] >= 0,
            **{name: _are_clean(raw[name]) for name in ("versions", "hardware")},
            "background": _is_background(raw.get("background")),
        }
        if odd := [name for name, holds in sound.items() if not holds]:
            raise ConfigError(f"{path}: {odd[0]} is {short(raw[odd[0]])}, which no run writes; remove the file")
        return cls(**raw)


def _is_background(value: object) -> bool:
    return value is None or (isinstance(value, str) and is_background(value))


def _are_clean(texts: object) -> bool:
    return isinstance(texts, dict) and all(is_clean(text, MAX_TEXT) for item in texts.items() for text in item)
