"""What a machine could do at best: the two ceilings of a roofline (Williams et al., 2009), measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch.nn.functional import conv2d

from ali_plugin.support import devices

MATRICES = {"cpu": (1024, 2048), "cuda": (4096, 8192)}
CONVOLUTIONS = {"cpu": ((8, 256, 16),), "cuda": ((256, 512, 32), (512, 256, 32))}
"""Pictures, maps in and out, and side: of kernels 3x3, which the libraries are at their best with."""
TRIES = 2
LASTING = 5e-4  # seconds of a try at least: a GPU copies megabytes in less time than it takes to begin and to be asked


@dataclass(frozen=True)
class Limits:
    """Rates of a device in one precision.

    Attributes:
        matmul: of matrix products, FLOP per second.
        convolution: of convolutions, counted by their definition, FLOP per second.
        bandwidth: of copies as large as an operation of the step, bytes read and written per second.
    """

    matmul: float
    convolution: float
    bandwidth: float

    @property
    def compute(self) -> float:
        """The best that any operation reached: the library behind one of them may be the faster one."""
        return max(self.matmul, self.convolution)

    def roof(self, intensity: float) -> float:
        """FLOP per second that work of an arithmetic intensity (FLOP per byte) could reach."""
        return min(self.compute, intensity * self.bandwidth)

    def best(self, other: Limits) -> Limits:
        """The higher of each rate."""
        return Limits(
            max(self.matmul, other.matmul),
            max(self.convolution, other.convolution),
            max(self.bandwidth, other.bandwidth),
        )


def wait(device: torch.device) -> None:
    """Until a GPU has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def limits(device: torch.device, precision: str, moved: int) -> Limits:
    """Measure the rates.

    Args:
        precision: of the products and convolutions, as a step has it: float32, tf32 or bf16.
        moved: bytes that a copy reads and writes.
    """
    kind = device.type if device.type in MATRICES else "cpu"
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    with torch.no_grad(), devices.precision(precision):
        matmul = max(_rate(*work, device) for work in _products(MATRICES[kind], device, dtype))
        convolution = max(_rate(*work, device) for work in _convolutions(CONVOLUTIONS[kind], device, dtype))
    source, target = torch.ones(2, max(moved // 2, 1), dtype=torch.uint8, device=device).unbind()
    bandwidth = _rate(2 * len(source), lambda: target.copy_(source), device)
    return Limits(matmul, convolution, bandwidth)


Work = tuple[float, Callable[[], Any]]


def _products(sizes: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> Iterator[Work]:
    for n in sizes:
        yield 2 * n**3, partial(torch.mm, *torch.ones(2, n, n, device=device, dtype=dtype).unbind())


def _convolutions(sizes: tuple[tuple[int, int, int], ...], device: torch.device, dtype: torch.dtype) -> Iterator[Work]:
    """In either order of the memory, as libraries differ in which they are faster with."""
    for count, maps, side in sizes:
        for order in (torch.contiguous_format, torch.channels_last):
            x = torch.ones(count, maps, side, side, device=device, dtype=dtype).to(memory_format=order)
            weight = torch.ones(maps, maps, 3, 3, device=device, dtype=dtype).to(memory_format=order)
            yield 2 * 9 * count * (maps * side) ** 2, partial(conv2d, x, weight, padding=1)


def _rate(amount: float, work: Callable[[], Any], device: torch.device) -> float:
    """Of the best of some tries, per second; what is short is done several times in a try."""

    def seconds(times: int) -> float:
        wait(device)
        start = time.perf_counter()
        for _ in range(times):
            work()
        wait(device)
        return (time.perf_counter() - start) / times

    seconds(1)
    times = max(1, round(LASTING / seconds(1)))
    return amount / min(seconds(times) for _ in range(TRIES))
