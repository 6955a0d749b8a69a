"""What a metric sees: the model and streams over its data, computed once and shared between metrics."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from ali_plugin.conditions import from_labels
from ali_plugin.datasets import load_split
from ali_plugin.datasets.split import DataSplit, Split
from ali_plugin.errors import DataError
from ali_plugin.model import ALI
from ali_plugin.training.batches import to_unit
from ali_registry import Registry


@dataclass
class Context:
    """A model under evaluation.

    Attributes:
        model: in eval mode.
        dataset: registered name; data_dir: its folder.
        seed: of everything random in a metric.
        batch_size: of the streams, which bounds the memory.
    """

    model: ALI
    dataset: str
    data_dir: Path | None = None
    seed: int = 0
    batch_size: int = 250
    registry: Registry | None = None
    _splits: dict[Split, DataSplit] = field(default_factory=dict)
    _codes: dict[Split, Tensor] = field(default_factory=dict)

    def split(self, name: Split) -> DataSplit:
        """A split of the dataset."""
        if name not in self._splits:
            self._splits[name] = load_split(
                self.dataset,
                name,
                data_dir=self.data_dir,
                data_shape=self.model.config.data_shape,
                registry=self.registry,
            )
        return self._splits[name]

    def stream(self, name: Split) -> Iterator[tuple[Tensor, Tensor | None]]:
        """The samples of a split in order, (B, *data_shape), and their conditions, on the model's device."""
        split = self.split(name)
        like = next(self.model.parameters())
        size = self.model.config.condition_size
        if size and split.labels is None:
            raise DataError(f"the model is conditional, but dataset {self.dataset!r} has no labels")
        for start in range(0, len(split), self.batch_size):
            rows = slice(start, start + self.batch_size)
            x = to_unit(torch.from_numpy(split.data[rows].copy()).to(like.device)).to(like.dtype)
            condition = None
            if size and split.labels is not None:
                condition = from_labels(torch.from_numpy(split.labels[rows]), size).to(like.device, like.dtype)
            yield x, condition

    @torch.no_grad()
    def codes(self, name: Split) -> Tensor:
        """The posterior means of a split, (N, latent_size), float32 on the CPU."""
        if name not in self._codes:
            self._codes[name] = torch.cat(
                [self.model.encode(x, condition).mean.float().cpu() for x, condition in self.stream(name)]
            )
        return self._codes[name]
