"""What a metric sees: the model and streams over its data, computed once and shared between metrics."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from ali_plugin.datasets import load_split
from ali_plugin.datasets.split import DataSplit, Split
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

    def stream(self, name: Split) -> Iterator[Tensor]:
        """The samples of a split in order, (B, *data_shape) in [0, 1], on the model's device."""
        data = self.split(name).data
        like = next(self.model.parameters())
        for start in range(0, len(data), self.batch_size):
            rows = torch.from_numpy(data[start : start + self.batch_size].copy())
            yield to_unit(rows.to(like.device)).to(like.dtype)

    @torch.no_grad()
    def codes(self, name: Split) -> Tensor:
        """The posterior means of a split, (N, latent_size), float32 on the CPU."""
        if name not in self._codes:
            self._codes[name] = torch.cat([self.model.encode(x).mean.float().cpu() for x in self.stream(name)])
        return self._codes[name]
