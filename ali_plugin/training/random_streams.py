"""The random generators of a run's processes, as a checkpoint names and restores them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ali_plugin.support.devices import random_states, restore_random_states
from ali_plugin.training import distributed

GENERATORS = ("cpu", "gpu")
PREFIXES = tuple(f"random.{kind}." for kind in GENERATORS)  # of their names in a checkpoint; a process's number follows


def named(states: Sequence[Sequence[Tensor]]) -> dict[str, Tensor]:
    """States of each kind of generator, one of each process, by the names that they have in a checkpoint."""
    return {
        f"random.{generator}.{process}": value
        for generator, of_processes in zip(GENERATORS, states, strict=False)
        for process, value in enumerate(of_processes)
    }


def restore(saved: Mapping[str, Tensor], device: torch.device) -> tuple[str, ...]:
    """Continue this process's generators where a checkpoint has them; the others stay as they are.

    Returns:
        What is no longer as it would have been: a run may go on with other devices or processes, but not bit for
        bit.

    Raises:
        ValueError: a state is not one of this generator's.
    """
    present = random_states(device)
    states = [_fitting(saved.get(f"random.{kind}.{distributed.rank()}"), old)
              for kind, old in zip(GENERATORS, present, strict=False)]  # fmt: skip
    restore_random_states([old if new is None else new for new, old in zip(states, present, strict=True)], device)
    processes = sum(name.startswith("random.cpu.") for name in saved)
    if not processes:
        raise ValueError("it has no random states")
    was_on_gpu = any(name.startswith("random.gpu.") for name in saved)
    changed = []
    if processes != distributed.world_size():
        changed.append(f"another number of processes ({processes}, now {distributed.world_size()})")
    if was_on_gpu != (device.type == "cuda"):
        changed.append(f"another device ({'a GPU' if was_on_gpu else 'no GPU'}, now {device})")
    if not changed:
        return ()
    return (f"the checkpoint is of {' and '.join(changed)}: the run goes on from all of its state, but "
            "with other random numbers, not bit for bit as it would have",)  # fmt: skip


def _fitting(state: Tensor | None, present: Tensor) -> Tensor | None:
    if state is not None and (state.dtype != torch.uint8 or state.shape != present.shape):
        raise ValueError(f"a random state is {state.dtype} of {state.numel()}, not uint8 of {present.numel()}")
    return state
