"""The figures of the steps since the last log line, read from the device in one go."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ali_plugin.errors import TrainingDiverged
from ali_plugin.training.distributed import mean_over_processes


class Meter:
    """Keeps each step's figures on the device until they are read."""

    def __init__(self) -> None:
        self._rows: list[dict[str, Tensor]] = []

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, figures: dict[str, Tensor]) -> None:
        """Take a step's figures, device scalars."""
        self._rows.append(figures)

    def clear(self) -> None:
        """Forget what has not been read."""
        self._rows = []

    def read(self, step: int) -> dict[str, float]:
        """Means over the steps since the last call: the one place where the host waits for the device.

        Args:
            step: the last of them.

        Raises:
            TrainingDiverged: a figure is NaN or infinite; it says of which step.
        """
        rows, self._rows = self._rows, []
        places = [(row, name) for row, figures in enumerate(rows) for name in figures]
        values = torch.stack([rows[row][name].float() for row, name in places])
        found: dict[str, list[float]] = {}  # phases and lazy terms have their own: a mean is over the steps with it
        for (row, name), value in zip(places, mean_over_processes(values).tolist(), strict=True):
            if not math.isfinite(value):
                raise TrainingDiverged(step - len(rows) + row + 1, name, value)
            found.setdefault(name, []).append(value)
        return {name: sum(values) / len(values) for name, values in found.items()}
