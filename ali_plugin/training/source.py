"""Where a run's samples live: on the device where they fit, else in the memory map, one batch ahead of the step."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from ali_plugin.datasets.split import DataSplit

DEVICE_SHARE = 0.5  # of the free device memory that samples may take


class Source(ABC):
    """Gives rows of the training data, on the device."""

    @abstractmethod
    def order(self, permutation: Tensor) -> Tensor:
        """A permutation put where ``take`` wants its indices."""

    @abstractmethod
    def take(self, chosen: Tensor) -> Tensor:
        """The rows of these indices (B,), as they are stored, (B, *data_shape)."""

    def prefetch(self, chosen: Tensor) -> None:  # noqa: B027 - nothing to do where the data are at hand
        """Say which rows will be taken next."""


class Resident(Source):
    """Samples as a tensor on the device. On a CPU that is the array or memory map itself, no copy of it."""

    def __init__(self, data: Tensor, device: torch.device) -> None:
        self.data, self.device = data.to(device), device

    def order(self, permutation: Tensor) -> Tensor:
        return permutation.to(self.device)

    def take(self, chosen: Tensor) -> Tensor:
        return self.data[chosen]


class Streamed(Source):
    """Samples in host memory or a memory map: a thread gathers the next rows while the device works, and copies
    them from page-locked memory without making anybody wait."""

    def __init__(self, data: Tensor, device: torch.device) -> None:
        self.data, self.device = data, device
        self._thread = ThreadPoolExecutor(1, "gather")
        self._next: tuple[Tensor, Future[Tensor]] | None = None

    def order(self, permutation: Tensor) -> Tensor:
        return permutation

    def prefetch(self, chosen: Tensor) -> None:
        self._next = (chosen, self._thread.submit(self._gather, chosen))

    def take(self, chosen: Tensor) -> Tensor:
        if self._next is not None and torch.equal(self._next[0], chosen):
            rows, self._next = self._next[1].result(), None
        else:
            rows = self._gather(chosen)
        return rows.to(self.device, non_blocking=True)

    def _gather(self, chosen: Tensor) -> Tensor:
        rows = self.data[chosen]
        return rows.pin_memory() if self.device.type == "cuda" else rows


def source_of(split: DataSplit, device: torch.device) -> Source:
    """The source that suits a split and a device."""
    if device.type == "meta":  # of a planned run, whose samples nobody reads
        return Resident(torch.empty(split.data.shape, device=device), device)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        data = torch.from_numpy(np.ascontiguousarray(split.data))
    if device.type == "cuda" and data.nbytes > DEVICE_SHARE * torch.cuda.mem_get_info(device)[0]:
        return Streamed(data, device)
    return Resident(data, device)
