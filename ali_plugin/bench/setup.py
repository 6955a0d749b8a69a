"""What is measured: an architecture's step on a device, and the steps that it is compared with."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import torch

from ali_plugin.bench.against import AgainstStep
from ali_plugin.bench.limits import wait
from ali_plugin.bench.textbook import TextbookStep
from ali_plugin.config.shapes import Shape
from ali_plugin.model import ALI
from ali_plugin.objectives.ali import ALIGame
from ali_plugin.objectives.game import Batch
from ali_plugin.support import devices
from ali_plugin.training.config import Precision, TrainConfig
from ali_plugin.training.step import TrainingStep
from ali_registry import Architecture, default_registry

Kind = Literal["ours", "textbook", "against"]


@dataclass(frozen=True)
class Contender:
    """A step, and what holds while it is done."""

    step: Callable[[Batch], Any]
    around: Callable[[], AbstractContextManager[None]]

    def __call__(self, batch: Batch, times: int = 1) -> None:
        with self.around():
            for _ in range(times):
                self.step(batch)

    def seconds(self, batch: Batch, times: int) -> float:
        """Mean seconds of a step."""
        with self.around():
            wait(batch.x.device)
            start = time.perf_counter()
            for _ in range(times):
                self.step(batch)
            wait(batch.x.device)
            return (time.perf_counter() - start) / times


@dataclass(frozen=True)
class Setup:
    """Names and numbers of a measurement.

    Attributes:
        data_shape: of a sample, without an open size.
        precision, compiled, cuda_graphs: of the project's step; the textbook step is eager float32.
        against: the file of a third step, None for none; absolute.
    """

    architecture: str
    data_shape: Shape
    batch_size: int
    device: str
    precision: Precision
    compiled: bool
    cuda_graphs: bool
    against: str | None

    @classmethod
    def from_json(cls, text: str) -> Setup:
        """What ``to_json`` gave."""
        raw = json.loads(text)
        return cls(**{**raw, "data_shape": tuple(raw["data_shape"])})

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @property
    def eager(self) -> Setup:
        """The same with a step whose work can be counted."""
        return replace(self, compiled=False, cuda_graphs=False)

    @cached_property
    def kinds(self) -> tuple[Kind, ...]:
        """The steps that are compared."""
        return ("ours", "textbook", "against") if self.against else ("ours", "textbook")

    def batch(self) -> Batch:
        """A batch of random samples, always the same, its tensors new each time."""
        record, device = default_registry().get(Architecture, self.architecture), torch.device(self.device)
        generator = torch.Generator().manual_seed(0)
        shape = (self.batch_size, *self.data_shape)
        x = torch.rand(shape, generator=generator, dtype=torch.float32).to(device)
        condition = torch.randint(2, (self.batch_size, record.condition_size), generator=generator).float().to(device)
        return Batch(x, condition if record.condition_size else None)

    def contender(self, kind: Kind) -> Contender:
        """A step on a model of its own.

        Raises:
            OptionError: the file is none that could be measured.
        """
        device = torch.device(self.device)
        torch.manual_seed(0)
        if kind == "against":
            assert self.against is not None
            step = AgainstStep(Path(self.against), self.data_shape, self.batch_size, device)
            return Contender(step, step.surroundings)
        with device:
            model = ALI.from_architecture(self.architecture, data_shape=self.data_shape).train()
        if kind == "textbook":
            return Contender(TextbookStep(model), partial(devices.precision, "float32"))
        config = TrainConfig(
            architecture=self.architecture,
            dataset="-",
            steps=1,
            precision=self.precision,
            compile=self.compiled,
            cuda_graphs=self.cuda_graphs,
        )
        return Contender(TrainingStep(ALIGame(model), config), partial(devices.precision, self.precision))
