"""Read state.safetensors against what a run has, before anything of it is put into the run."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ali_plugin.errors import WeightsError
from ali_plugin.folder import weights
from ali_plugin.nets import state
from ali_plugin.support.limits import MAX_STEPS
from ali_plugin.support.strict_json import short
from ali_plugin.training.step import TrainingStep

SLOTS = ("exp_avg", "exp_avg_sq", "step")  # of Adam, for each parameter that has moved
PROCESS = re.compile(r"\d{1,6}")
LARGEST_GENERATOR = 1 << 16  # bytes of a state; the CPU's has 5056


def nets_of(step: TrainingStep) -> dict[str, Tensor]:
    """Every tensor of a step but the optimisers': nets, averages."""
    tensors = {f"model.{name}": tensor for name, tensor in state.named(step.game.model).items()}
    for name, net in step.game.modules().items():
        tensors |= {f"game.{name}.{key}": tensor for key, tensor in state.named(net).items()}
    if step.average:
        tensors |= {f"average.{name}": tensor for name, tensor in step.average.averages.items()}
    return tensors


def read(path: Path, step: TrainingStep, generators: Iterable[str]) -> dict[str, Tensor]:
    """The tensors of a checkpoint, each of the name, shape and type that the step's own has.

    Args:
        generators: prefixes of the states of random generators, which are followed by a process's number.

    Raises:
        WeightsError: the file is missing, no regular file, damaged, or of something else.
    """
    if not path.is_file():  # to open a pipe would wait for ever
        raise _refused(path, "it is missing, or no regular file")
    needed, moments = nets_of(step), _moments(step)
    prefixes = tuple(generators)
    found: dict[str, Tensor] = {}
    try:
        with safe_open(path, framework="pt") as file:
            for name, held in weights.names_in(file).items():
                shape = torch.Size(file.get_slice(held).get_shape())
                like = needed.get(name, moments.get(name))
                if like is None and _is_generator(name, prefixes):
                    like = torch.empty(min(shape.numel(), LARGEST_GENERATOR), dtype=torch.uint8)
                if like is None:
                    raise _refused(path, f"the run has no {short(repr(name))}")
                if shape != like.shape:
                    raise _refused(path, f"{name} has shape {short(str(tuple(shape)))}, not {tuple(like.shape)}")
                found[name] = file.get_tensor(held)
                if found[name].dtype != like.dtype:
                    raise _refused(path, f"{name} holds {found[name].dtype}, not {like.dtype}")
    except (SafetensorError, OSError) as error:
        raise _refused(path, short(str(error))) from error
    if missing := sorted(set(needed) - set(found)):
        raise _refused(path, f"it lacks {missing[0]}")
    _refuse_odd_moments(path, found, moments)
    return found


def _refuse_odd_moments(path: Path, found: dict[str, Tensor], moments: dict[str, Tensor]) -> None:
    """All slots of a parameter are there or none, and its steps are a count."""
    for name in moments:
        parameter, _, slot = name.rpartition(".")
        if slot == "step":
            present = {one for one in SLOTS if f"{parameter}.{one}" in found}
            if present and len(present) < len(SLOTS):
                raise _refused(path, f"it lacks {parameter}.{min(set(SLOTS) - present)}")
            if present and not 1 <= found[name].item() <= MAX_STEPS:
                raise _refused(path, f"{name} is {found[name].item()}")


def _moments(step: TrainingStep) -> dict[str, Tensor]:
    """What the optimisers hold or will hold, by its name in the file."""
    tensors = {}
    for player, optimiser in step.optimisers.items():
        parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
        for i, parameter in enumerate(parameters):
            for slot in SLOTS:
                like = torch.empty((), dtype=torch.float32) if slot == "step" else parameter
                tensors[f"optimiser.{player}.{i}.{slot}"] = like
    return tensors


def _is_generator(name: str, prefixes: tuple[str, ...]) -> bool:
    return any(name.startswith(prefix) and PROCESS.fullmatch(name.removeprefix(prefix)) for prefix in prefixes)


def _refused(path: Path, reason: str) -> WeightsError:
    return WeightsError(
        f"{path.parent} cannot be continued from ({path.name}: {reason}); remove it to use an older one"
    )
