"""Checkpoints: the full state of a run as safetensors and JSON, complete or not there at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ali_plugin import state as of_nets
from ali_plugin import weights
from ali_plugin.errors import ConfigError, FolderError, WeightsError
from ali_plugin.support import atomic
from ali_plugin.support.devices import random_states, restore_random_states
from ali_plugin.support.strict_json import read_object
from ali_plugin.training import distributed
from ali_plugin.training.step import TrainingStep

TENSORS, NUMBERS = "state.safetensors", "state.json"
FOLDER = "checkpoints"
GENERATORS = ("cpu", "gpu")


@dataclass(frozen=True)
class Position:
    """Where a run stands: the numbers of a checkpoint."""

    step: int
    epoch: int
    index: int
    seconds: float
    learning_rate_factor: float = 1.0
    average_updates: int = 0


def save(run: Path, step: TrainingStep, position: Position, randomness: Sequence[Sequence[Tensor]], keep: int) -> Path:
    """Write a checkpoint under a temporary name, sync it, rename it; then drop all but the last ``keep``.

    Args:
        randomness: states of each kind of random generator, one of each process of the run.

    Raises:
        FolderError: the disk is full, say; earlier checkpoints are as they were.
    """
    target = run / FOLDER / f"step-{position.step:09d}"
    temporary = target.with_name(f".{target.name}.partial")
    position = replace(position, average_updates=step.average.updates if step.average else 0)
    tensors = state(step)
    for generator, states in zip(GENERATORS, randomness, strict=False):
        tensors |= {f"random.{generator}.{process}": value for process, value in enumerate(states)}
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        weights.write(temporary / TENSORS, tensors)
        atomic.write(temporary / NUMBERS, json.dumps(asdict(position)) + "\n")
        if target.exists():  # a run that was continued from an earlier checkpoint
            shutil.rmtree(target)
        os.replace(temporary, target)
        atomic.sync(target.parent)
    except (OSError, FolderError) as error:
        raise FolderError(f"cannot write the checkpoint {target}: {error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    for old in found(run)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def found(run: Path) -> list[Path]:
    """The complete checkpoints of a run, oldest first."""
    named = [path for path in (run / FOLDER).glob("step-*") if path.name[5:].isdecimal()]
    return sorted(named, key=lambda path: int(path.name[5:]))


def load(path: Path, step: TrainingStep, device: torch.device) -> Position:
    """Put a checkpoint's state into a step, and into the random generators.

    Raises:
        ConfigError, WeightsError: it is damaged or of another model.
    """
    try:
        position = Position(**read_object(path / NUMBERS))
    except (ConfigError, TypeError) as error:
        raise ConfigError(f"{path / NUMBERS} is damaged ({error}); remove {path} to use an older one") from error
    try:
        saved = weights.read_all(path / TENSORS)
        _restore(step, saved, position)
        randomness = [saved[f"random.{name}.{distributed.rank()}"] for name in GENERATORS[: len(random_states(device))]]
        restore_random_states(randomness, device)
    except (WeightsError, KeyError, RuntimeError, ValueError) as error:
        raise WeightsError(f"{path} cannot be continued from ({error}); remove it to use an older one") from error
    return position


def state(step: TrainingStep) -> dict[str, Tensor]:
    """Every tensor of a step: nets, averages, optimisers."""
    tensors = {f"model.{name}": tensor for name, tensor in of_nets.named(step.game.model).items()}
    for name, net in step.game.modules().items():
        tensors |= {f"game.{name}.{key}": tensor for key, tensor in of_nets.named(net).items()}
    if step.average:
        tensors |= {f"average.{name}": tensor for name, tensor in step.average.averages.items()}
    for player, optimiser in step.optimisers.items():
        for i, slots in optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{player}.{i}.{slot}": tensor for slot, tensor in slots.items()}
    return tensors


def _restore(step: TrainingStep, saved: dict[str, Tensor], position: Position) -> None:
    of_nets.load(step.game.model, _below(saved, "model."))
    for name, net in step.game.modules().items():
        of_nets.load(net, _below(saved, f"game.{name}."))
    if step.average:
        step.average.load(_below(saved, "average."), position.average_updates)
    for player, optimiser in step.optimisers.items():
        slots: dict[int, dict[str, Any]] = {}
        for key, tensor in _below(saved, f"optimiser.{player}.").items():
            number, slot = key.split(".", 1)
            slots.setdefault(int(number), {})[slot] = tensor
        optimiser.load_state_dict({**optimiser.state_dict(), "state": slots})


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
