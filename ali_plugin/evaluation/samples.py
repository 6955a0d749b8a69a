"""Samples of a split as a model takes them, in batches, as often as they are gone through."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ali_plugin.datasets.split import DataSplit
from ali_plugin.model import ALI
from ali_plugin.scoring import AT_ONCE, Scoring


@dataclass(frozen=True)
class Samples:
    """Some rows of a split, all if None."""

    model: ALI
    split: DataSplit
    rows: NDArray[np.int64] | None = None
    batch_size: int = AT_ONCE

    def __len__(self) -> int:
        return len(self.split) if self.rows is None else len(self.rows)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor | None]]:
        """x (B, *data_shape) and conditions (B, condition_size), on the model's device."""
        size, device, dtype = self.model.config.condition_size, self.model.device, self.model.dtype
        for start in range(0, len(self), self.batch_size):
            part = slice(start, start + self.batch_size)
            yield self.split.rows(
                part if self.rows is None else self.rows[part], condition_size=size, device=device, dtype=dtype
            )

    def scores(self, scoring: Scoring) -> Tensor:
        """Of each of them, (N,), on the CPU."""
        return torch.cat([torch.zeros(0), *(scoring(x, condition).cpu() for x, condition in self)])
