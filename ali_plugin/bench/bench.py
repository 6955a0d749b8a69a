"""Throughput of the training step against the textbook alternating step, in one run, interleaved."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from ali_plugin.bench.textbook import TextbookStep
from ali_plugin.config import shapes
from ali_plugin.config.shapes import Shape
from ali_plugin.errors import OptionError
from ali_plugin.model import ALI
from ali_plugin.objectives.ali import ALIGame
from ali_plugin.objectives.game import Batch
from ali_plugin.support import machine
from ali_plugin.support.devices import keep_freed_memory
from ali_plugin.support.processes import python_module
from ali_plugin.training.config import Precision, TrainConfig
from ali_plugin.training.step import TrainingStep
from ali_registry import Architecture, default_registry

Step = Callable[[Batch], Any]
MATMUL_SIZE = {"cpu": 2048, "cuda": 8192}
WARM_UP = {"cpu": 3, "cuda": 5, "mps": 2}  # steps, after which a CPU's allocator and a GPU's clock have settled


@dataclass(frozen=True)
class BenchResult:
    """Figures of one run.

    Attributes:
        data_shape: of a sample.
        images_per_second, textbook_images_per_second: medians over the repeats; ``spread`` holds the least and
            the greatest of each.
        ratio: median of the repeats' own ratios.
        gflop_per_step, textbook_gflop_per_step: counted, forward and backward.
        matmul_gflops: the machine's rate of matrix products, per second, measured between the repeats.
        fraction_of_matmul: the step's rate of counted work over that.
        peak_memory_bytes, textbook_peak_memory_bytes: of a process (CPU) or allocator (GPU) that runs one kind.
    """

    architecture: str
    data_shape: Shape
    batch_size: int
    device: str
    precision: str
    images_per_second: float
    textbook_images_per_second: float
    ratio: float
    spread: dict[str, tuple[float, float]]
    gflop_per_step: float
    textbook_gflop_per_step: float
    matmul_gflops: float
    fraction_of_matmul: float
    peak_memory_bytes: int
    textbook_peak_memory_bytes: int
    repeats: int
    machine: dict[str, str]


def bench(
    architecture: str,
    device: torch.device,
    *,
    data_shape: Shape | None = None,
    batch_size: int | None = None,
    repeats: int = 5,
    steps: int = 1,
    precision: Precision = "float32",
    compiled: bool = False,
    cuda_graphs: bool = False,
) -> BenchResult:
    """Measure an architecture.

    Args:
        data_shape: of a sample, where the architecture leaves some of it open; an example if None.
        batch_size: the recipe's if None.
        repeats: rounds, each of ``steps`` steps of either kind in turn.
        precision, compiled, cuda_graphs: of the project's step; the textbook step is eager float32.
    """
    if repeats < 1 or steps < 1:
        raise OptionError(f"repeats and steps have to be positive, not {repeats} and {steps}")
    record = default_registry().get(Architecture, architecture)
    size, shape = batch_size or record.training.batch_size, shapes.given(record, data_shape or shapes.example(record))
    config = TrainConfig(
        architecture=architecture,
        dataset="-",
        steps=1,
        precision=precision,
        compile=compiled,
        cuda_graphs=cuda_graphs,
    )
    keep_freed_memory()
    ours, textbook = _steps(config, shape, device)
    batch = _batch(record, shape, size, device)
    work, textbook_work = _gflop(_steps(config, shape, device, plain=True)[0], batch), _gflop(textbook, batch)
    for step in (ours, textbook):
        for _ in range(WARM_UP[device.type]):
            step(batch)
    rounds = [
        (
            _seconds(ours, batch, steps, device),
            _seconds(textbook, batch, steps, device),
            _matmul_gflops(device),
        )
        for _ in range(repeats)
    ]
    rates = [size / ours_s for ours_s, _, _ in rounds]
    textbook_rates = [size / textbook_s for _, textbook_s, _ in rounds]
    matmul = statistics.median(rate for _, _, rate in rounds)
    return BenchResult(
        architecture=architecture,
        data_shape=shape,
        batch_size=size,
        device=_name(device),
        precision=precision + (", compiled" if compiled else "") + (", CUDA graph" if cuda_graphs else ""),
        images_per_second=statistics.median(rates),
        textbook_images_per_second=statistics.median(textbook_rates),
        ratio=statistics.median(slow / fast for fast, slow, _ in rounds),
        spread={
            "images_per_second": (min(rates), max(rates)),
            "textbook_images_per_second": (min(textbook_rates), max(textbook_rates)),
        },
        gflop_per_step=work,
        textbook_gflop_per_step=textbook_work,
        matmul_gflops=matmul,
        fraction_of_matmul=statistics.median(work / fast / rate for fast, _, rate in rounds),
        peak_memory_bytes=_peak_memory(architecture, shape, size, device, "ours"),
        textbook_peak_memory_bytes=_peak_memory(architecture, shape, size, device, "textbook"),
        repeats=repeats,
        machine=facts(device),
    )


def facts(device: torch.device) -> dict[str, str]:
    """What a figure of a device depends on: versions and hardware."""
    return {**machine.versions(), **machine.hardware(device)}


def _steps(config: TrainConfig, shape: Shape, device: torch.device, plain: bool = False) -> tuple[Step, Step]:
    """The project's step and the textbook's, each on a model of its own."""
    torch.manual_seed(0)
    with device:
        models = [ALI.from_architecture(config.architecture, data_shape=shape).train() for _ in range(2)]
    chosen = replace(config, precision="float32", compile=False, cuda_graphs=False) if plain else config
    return TrainingStep(ALIGame(models[0]), chosen), TextbookStep(models[1])


def _batch(record: Architecture, shape: Shape, size: int, device: torch.device) -> Batch:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(size, *shape, generator=generator, dtype=torch.float32).to(device)
    condition = torch.randint(2, (size, record.condition_size), generator=generator).float().to(device)
    return Batch(x, condition if record.condition_size else None)


def _gflop(step: Step, batch: Batch) -> float:
    with FlopCounterMode(display=False) as counter:
        step(batch)
    return float(counter.get_total_flops()) / 1e9


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _seconds(step: Step, batch: Batch, steps: int, device: torch.device) -> float:
    """Mean seconds of a step."""
    _wait(device)
    start = time.perf_counter()
    for _ in range(steps):
        step(batch)
    _wait(device)
    return (time.perf_counter() - start) / steps


def _matmul_gflops(device: torch.device) -> float:
    """Rate of float32 matrix products, in GFLOP per second: the best of three."""
    n = MATMUL_SIZE.get(device.type, 2048)
    a, b = torch.randn(2, n, n, device=device, dtype=torch.float32).unbind()
    torch.mm(a, b)

    def once() -> float:
        _wait(device)
        start = time.perf_counter()
        torch.mm(a, b)
        _wait(device)
        return time.perf_counter() - start

    return 2 * n**3 / min(once() for _ in range(3)) / 1e9


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)


def _peak_memory(architecture: str, shape: Shape, size: int, device: torch.device, kind: str) -> int:
    """Peak of a fresh process that runs some steps of one kind, above what it has after importing."""
    command = python_module("ali_plugin.bench.bench", architecture, str(size), str(device), kind, *map(str, shape))
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout)


def measure_memory(architecture: str, shape: Shape, size: int, device: torch.device, kind: str) -> int:
    """Bytes that steps of one kind take in this process, which should be fresh."""
    keep_freed_memory()
    config = TrainConfig(architecture=architecture, dataset="-", steps=1)
    before = _peak_resident()
    step = _steps(config, shape, device)[0 if kind == "ours" else 1]
    record = default_registry().get(Architecture, architecture)
    for _ in range(1 + WARM_UP[device.type]):
        step(_batch(record, shape, size, device))
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return _peak_resident() - before


def _peak_resident() -> int:
    """The most bytes of memory that this process has held."""
    try:
        # Not getrusage, whose peak is inherited from the process that started this one.
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def rounded(rate: float) -> str:
    """A rate to three digits, and never with an exponent."""
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"


if __name__ == "__main__":
    name, size, where, kind, *shape = sys.argv[1:]
    print(measure_memory(name, tuple(map(int, shape)), int(size), torch.device(where), kind))
