"""A model trained on samples in memory, for a number of steps, epochs or seconds; no folder is written."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ali_plugin.config import shapes
from ali_plugin.datasets.split import DataSplit
from ali_plugin.errors import TrainingDiverged
from ali_plugin.model import ALI
from ali_plugin.nets import state
from ali_plugin.support.limits import MAX_STEPS
from ali_plugin.training.assemble import Assembled, assemble, working
from ali_plugin.training.configure import configure
from ali_registry import Architecture, Registry, blaming

ANY_SIZE = "image-folder"  # a dataset of pictures that has no size of its own
LOOK_EVERY = 50  # steps, at the weights


@dataclass(frozen=True)
class Length:
    """Of a training: one of these."""

    steps: int | None = None
    epochs: int | None = None
    seconds: float | None = None


def train(
    samples: DataSplit, architecture: str, length: Length, options: Mapping[str, Any], registry: Registry
) -> tuple[ALI, int]:
    """The trained model in eval mode, with averaged weights where the recipe asks for them, and the number of steps.

    Args:
        options: fields of ``TrainConfig`` in place of the architecture's recipe; a batch is no larger than the data.

    Raises:
        PartMismatch: the architecture is for other samples.
        TrainingDiverged: the weights became NaN or infinite.
        ALIError: see ``ali_plugin.training.assemble.assemble``.
    """
    run = _assembled(samples, architecture, length, options, registry)
    steps = _steps(run, length.seconds)
    model = run.model.rebuilt()
    if run.step.average is not None:
        state.load(model, run.step.average.weights)
    return model, steps


def _assembled(
    samples: DataSplit, architecture: str, length: Length, options: Mapping[str, Any], registry: Registry
) -> Assembled:
    record = registry.get(Architecture, architecture)
    shapes.given(record, samples.shape)
    told = shapes.told(samples.shape) if shapes.is_open(record) else {}
    size = {"dataset": ANY_SIZE, **told} if told else {}  # which is not looked at, but for its size
    lengths = {"epochs": length.epochs} if length.epochs else {"steps": length.steps or MAX_STEPS}
    chosen = {"batch_size": record.training.batch_size, **options}
    chosen["batch_size"] = min(chosen["batch_size"], len(samples))
    config = configure({"architecture": architecture, "precision": "float32", **size, **chosen, **lengths}, registry)
    return assemble(config, registry, data=(samples, samples))


def _steps(run: Assembled, seconds: float | None) -> int:
    """Train until the run's last step, or for some seconds of wall time; schedules end with either. At least one step.

    Returns:
        How many steps it were.
    """
    done, total, began = 0, run.total_steps, time.perf_counter()
    with working(run.stream), blaming(run.objective):
        while done < total:
            run.step.schedule(done, total)
            run.step(run.batches.next())
            done += 1
            if seconds is not None:
                passed = time.perf_counter() - began
                total = done if passed >= seconds else max(done + 1, min(int(done * seconds / passed), MAX_STEPS))
            if done % LOOK_EVERY == 0 or done >= total:
                _refuse_broken_weights(run.model, done)
    return done


def _refuse_broken_weights(model: ALI, step: int) -> None:
    learned = state.once(state.learned(model)).values()
    total = torch.stack([tensor.detach().float().sum() for tensor in learned]).sum().item()
    if not math.isfinite(total):
        raise TrainingDiverged(step, "the weights", total)
