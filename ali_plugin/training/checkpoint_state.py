"""Read state.safetensors against what a run has, before anything of it is put into the run."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, optim
from torch.optim import Optimizer

from ali_plugin.errors import WeightsError
from ali_plugin.folder import weights
from ali_plugin.nets import state
from ali_plugin.objectives.optimisers import SGD, Adam, AdamW
from ali_plugin.support.limits import MAX_STEPS
from ali_plugin.support.strict_json import short
from ali_plugin.training.step import TrainingStep

OF_ADAM = ("exp_avg", "exp_avg_sq", "step")
SLOTS: dict[type, tuple[str, ...]] = {
    **dict.fromkeys((Adam, AdamW, optim.Adam, optim.AdamW), OF_ADAM),
    **dict.fromkeys((SGD, optim.SGD), ("momentum_buffer",)),
}
"""What an optimiser keeps for each parameter that has moved; those of plugins keep what they like."""
SLOT = re.compile(r"(?P<name>\w{1,64})(:(?P<kind>bool|int|float))?", re.ASCII)
NUMBERS: dict[str, tuple[type, torch.dtype]] = {
    "bool": (bool, torch.bool), "int": (int, torch.int64), "float": (float, torch.float64)
}  # fmt: skip
TYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64,
         "I32": torch.int32, "U8": torch.uint8, "BOOL": torch.bool}  # fmt: skip
PROCESS = re.compile(r"\d{1,6}")
LARGEST_GENERATOR = 1 << 16  # bytes of a state; the CPU's has 5056


def nets_of(step: TrainingStep) -> dict[str, Tensor]:
    """Every tensor of a step but the optimisers': nets, averages."""
    tensors = {f"model.{name}": tensor for name, tensor in state.named(step.game.model).items()}
    for name, net in step.game.modules().items():
        tensors |= {f"game.{name}.{key}": tensor for key, tensor in state.named(net).items()}
    if step.average:
        tensors |= {f"average.{name}": tensor for name, tensor in step.average.averages.items()}
        tensors |= {f"game_average.{name}": tensor for name, tensor in step.average.of_others.items()}
    return tensors


def kept(slot: object, value: object) -> tuple[str, Tensor]:
    """What an optimiser keeps in a slot, by its name in the file: a plain number says there of which kind it is.

    Raises:
        WeightsError: it is neither a tensor nor a number, or the slot's name is none.
    """
    if isinstance(slot, str) and SLOT.fullmatch(slot) and ":" not in slot:
        if isinstance(value, Tensor):
            return slot, value
        kind = type(value).__name__
        if kind in NUMBERS:
            try:
                return f"{slot}:{kind}", torch.tensor(value, dtype=NUMBERS[kind][1])
            except (RuntimeError, OverflowError, ValueError) as error:  # an integer beyond 64 bits
                raise WeightsError(f"an optimiser keeps {short(repr(value))} as {slot}: {short(str(error))}") from error
    what = f"a {type(value).__name__} as {short(repr(slot))}"
    raise WeightsError(f"an optimiser keeps {what}; a checkpoint takes tensors and numbers, under names")


def restored(name: str, tensor: Tensor) -> tuple[str, Any]:
    """The reverse of ``kept``."""
    slot, _, kind = name.partition(":")
    return slot, NUMBERS[kind][0](tensor.item()) if kind else tensor


def read(path: Path, step: TrainingStep, generators: Iterable[str]) -> dict[str, Tensor]:
    """The tensors of a checkpoint, each of the name, shape and type that the step's own has.

    Args:
        generators: prefixes of the states of random generators, which are followed by a process's number.

    Raises:
        WeightsError: the file is missing, no regular file, damaged, or of something else.
    """
    if not path.is_file():  # to open a pipe would wait for ever
        raise _refused(path, "it is missing, or no regular file")
    needed, moments, free = nets_of(step), _moments(step), _free(step)
    prefixes = tuple(generators)
    found: dict[str, Tensor] = {}
    try:
        with safe_open(path, framework="pt") as file:
            for name, held in weights.names_in(file).items():
                shape = torch.Size(file.get_slice(held).get_shape())
                like = needed.get(name, moments.get(name))
                if like is None and _is_generator(name, prefixes):
                    like = torch.empty(min(shape.numel(), LARGEST_GENERATOR), dtype=torch.uint8)
                if like is None and (parameter := _of_free(name, free)) is not None:
                    like = _like(file.get_slice(held), name, parameter)
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
            present = {one for one in OF_ADAM if f"{parameter}.{one}" in found}
            if present and len(present) < len(OF_ADAM):
                raise _refused(path, f"it lacks {parameter}.{min(set(OF_ADAM) - present)}")
            if present and not 1 <= found[name].item() <= MAX_STEPS:
                raise _refused(path, f"{name} is {found[name].item()}")


def _moments(step: TrainingStep) -> dict[str, Tensor]:
    """What the optimisers whose slots are known hold or will hold, by its name in the file."""
    tensors = {}
    for player, optimiser in step.optimisers.items():
        for i, parameter in enumerate(_parameters(optimiser)):
            for slot in _slots(optimiser) or ():
                like = torch.empty((), dtype=torch.float32) if slot == "step" else parameter
                tensors[f"optimiser.{player}.{i}.{slot}"] = like
    return tensors


def _free(step: TrainingStep) -> dict[str, Tensor]:
    """The parameters of the other optimisers, by the beginning of their slots' names."""
    return {
        f"optimiser.{player}.{i}.": parameter
        for player, optimiser in step.optimisers.items() if _slots(optimiser) is None
        for i, parameter in enumerate(_parameters(optimiser))
    }  # fmt: skip


def _slots(optimiser: Optimizer) -> tuple[str, ...] | None:
    if any(group.get("amsgrad") for group in optimiser.param_groups):
        return None
    return SLOTS.get(type(optimiser))


def _parameters(optimiser: Optimizer) -> list[Tensor]:
    return [parameter for group in optimiser.param_groups for parameter in group["params"]]


def _of_free(name: str, free: dict[str, Tensor]) -> Tensor | None:
    """The parameter whose slot this is."""
    start, dot, slot = name.rpartition(".")
    return free.get(f"{start}{dot}") if SLOT.fullmatch(slot) else None


def _like(held: Any, name: str, parameter: Tensor) -> Tensor:
    """What such a slot may be: a number of its kind, or a tensor of no more numbers than its parameter has."""
    found = SLOT.fullmatch(name.rpartition(".")[2])
    if found and found["kind"]:
        return torch.empty((), dtype=NUMBERS[found["kind"]][1])
    shape = torch.Size(held.get_shape())
    if shape.numel() > max(parameter.numel(), 1):
        return parameter
    return torch.empty(shape, dtype=TYPES.get(held.get_dtype(), parameter.dtype), device="meta")


def _is_generator(name: str, prefixes: tuple[str, ...]) -> bool:
    return any(name.startswith(prefix) and PROCESS.fullmatch(name.removeprefix(prefix)) for prefix in prefixes)


def _refused(path: Path, reason: str) -> WeightsError:
    return WeightsError(
        f"{path.parent} cannot be continued from ({path.name}: {reason}); remove it to use an older one"
    )
