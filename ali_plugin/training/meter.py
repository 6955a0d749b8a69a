"""The figures of the steps since the last log line, read from the device in one go."""

from __future__ import annotations

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
        names = [name for name in rows[-1] if all(name in row for row in rows)]  # phases have their own
        table = torch.stack([torch.stack([row[name].float() for name in names]) for row in rows])
        table = mean_over_processes(table).cpu()
        broken = (~table.isfinite()).nonzero()
        if len(broken):
            row, column = (int(i) for i in broken[0])
            raise TrainingDiverged(step - len(rows) + row + 1, names[column], float(table[row, column]))
        return dict(zip(names, table.mean(0).tolist(), strict=True))
