"""Checkpoints: the full state of a run as safetensors and JSON, complete or not there at all."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ali_plugin.errors import ConfigError, FolderError, WeightsError
from ali_plugin.folder import weights
from ali_plugin.nets import state as of_nets
from ali_plugin.support import atomic
from ali_plugin.support.limits import MAX_STEPS
from ali_plugin.support.strict_json import read_object
from ali_plugin.support.typed import fields_of
from ali_plugin.training import checkpoint_state, fingerprint, random_streams
from ali_plugin.training.fingerprint import Fingerprint
from ali_plugin.training.step import TrainingStep

TENSORS, NUMBERS = "state.safetensors", "state.json"
FOLDER = "checkpoints"
NAMES = re.compile(r"step-\d{9,18}")


@dataclass(frozen=True)
class Position:
    """Where a run stands: the numbers of a checkpoint.

    Attributes:
        index: batches of the epoch that are done.
        canonical_nodes: that the order of a stream was made for, 0 for data at hand; see ``datasets.streams.order``.
    """

    step: int
    epoch: int
    index: int
    seconds: float
    learning_rate_factor: float = 1.0
    average_updates: int = 0
    canonical_nodes: int = 0


RANGES = {
    "step": (0, MAX_STEPS),
    "epoch": (0, MAX_STEPS),
    "index": (0, MAX_STEPS),
    "seconds": (0.0, 1e12),
    "learning_rate_factor": (2.0**-64, 1.0),  # it halves at each rewind, five times in one sitting
    "average_updates": (0, MAX_STEPS),
    "canonical_nodes": (0, MAX_STEPS),
}


def save(
    run: Path,
    step: TrainingStep,
    position: Position,
    randomness: Sequence[Sequence[Tensor]],
    data: Fingerprint,
    keep: int,
) -> Path:
    """Write a checkpoint under a temporary name, sync it, rename it; then drop all but the last ``keep``.

    Nothing is dropped or replaced where the folder of the checkpoints is a link.

    Args:
        randomness: states of each kind of random generator, one of each process of the run.
        data: what the run has seen; whoever continues it compares.

    Raises:
        FolderError: the disk is full, say; earlier checkpoints are as they were.
    """
    target = run / FOLDER / name_of(position.step)
    linked = (run / FOLDER).is_symlink()
    position = replace(position, average_updates=step.average.updates if step.average else 0)
    tensors = state(step) | random_streams.named(randomness)
    try:
        with atomic.making(target) as temporary:
            weights.write(temporary / TENSORS, tensors)
            atomic.write(temporary / NUMBERS, json.dumps(asdict(position)) + "\n")
            atomic.write(temporary / fingerprint.NAME, data.to_json())
            if not linked:  # it is there in a run that was continued from an earlier one
                shutil.rmtree(target, ignore_errors=True)
    except FolderError as error:
        reason = atomic.reason_of(error.__cause__ or error)
        raise FolderError(f"cannot write the checkpoint {target}: {reason}") from error
    for old in [] if linked else found(run)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def name_of(step: int) -> str:
    """Of a checkpoint's folder."""
    return f"step-{step:09d}"


def found(run: Path) -> list[Path]:
    """The complete checkpoints of a run, oldest first."""
    try:
        complete = [path for path in (run / FOLDER).iterdir() if NAMES.fullmatch(path.name) and path.is_dir()]
        return sorted(complete, key=_step_of)
    except OSError:
        return []


def last_step(run: Path) -> int:
    """Of a run's last complete checkpoint, 0 where there is none."""
    return max(map(_step_of, found(run)), default=0)


def _step_of(path: Path) -> int:
    return int(path.name.removeprefix("step-"))


def load(path: Path, step: TrainingStep, device: torch.device) -> tuple[Position, tuple[str, ...]]:
    """Put a checkpoint's state into a step, and into the random generators; with what the person should know.

    All of it is compared with what the step has before anything is put anywhere.

    Raises:
        ConfigError, WeightsError: it is damaged or of another model.
    """
    position = read_position(path)
    saved = checkpoint_state.read(path / TENSORS, step, random_streams.PREFIXES)
    try:
        notes = random_streams.restore(saved, device)
        _restore(step, saved, position)
    except (WeightsError, KeyError, RuntimeError, ValueError, TypeError) as error:
        raise WeightsError(f"{path} cannot be continued from ({error}); remove it to use an older one") from error
    return position, notes


def read_position(path: Path) -> Position:
    """The numbers of a checkpoint, of their kinds and in their ranges; ConfigError where they are not."""
    source = path / NUMBERS
    try:
        position = fields_of(Position, read_object(source), str(source))
        for field, (least, most) in RANGES.items():
            if not least <= getattr(position, field) <= most:
                raise ConfigError(
                    f"{source}: {field} is {getattr(position, field)}, it has to be {least:g} to {most:g}"
                )
        if path.name != name_of(position.step):
            raise ConfigError(f"step is {position.step} in a folder of another step")
    except ConfigError as error:
        raise ConfigError(f"{source} is damaged ({error}); remove {path} to use an older one") from error
    return position


def state(step: TrainingStep) -> dict[str, Tensor]:
    """Every tensor of a step: nets, averages, optimisers."""
    tensors = checkpoint_state.nets_of(step)
    for player, optimiser in step.optimisers.items():
        for i, slots in optimiser.state_dict()["state"].items():
            for slot, value in slots.items():
                if value is not None:
                    name, tensor = checkpoint_state.kept(slot, value)
                    tensors[f"optimiser.{player}.{i}.{name}"] = tensor
    return tensors


def _restore(step: TrainingStep, saved: dict[str, Tensor], position: Position) -> None:
    of_nets.load(step.game.model, _below(saved, "model."))
    for name, net in step.game.modules().items():
        of_nets.load(net, _below(saved, f"game.{name}."))
    if step.average:
        step.average.load(_below(saved, "average."), position.average_updates, _below(saved, "game_average."))
    for player, optimiser in step.optimisers.items():
        slots: dict[int, dict[str, Any]] = {}
        for key, tensor in _below(saved, f"optimiser.{player}.").items():
            number, slot = key.split(".", 1)
            slot, value = checkpoint_state.restored(slot, tensor)
            slots.setdefault(int(number), {})[slot] = value
        optimiser.load_state_dict({**optimiser.state_dict(), "state": slots})


def _below(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
