"""Throughput of the training step beside the textbook alternating step and others, in one process, interleaved."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from functools import partial, reduce
from pathlib import Path

import torch

from ali_plugin.bench.limits import Limits, limits
from ali_plugin.bench.memory import peak_memory
from ali_plugin.bench.setup import Contender, Kind, Setup
from ali_plugin.bench.work import Work, counted
from ali_plugin.config import shapes
from ali_plugin.config.shapes import Shape
from ali_plugin.errors import OptionError
from ali_plugin.objectives.game import Batch
from ali_plugin.support import machine
from ali_plugin.support.devices import keep_freed_memory
from ali_plugin.support.paths import absolute
from ali_plugin.training.config import Precision
from ali_registry import Architecture, default_registry

WARM_UP = {"cpu": 3, "cuda": 5, "mps": 2}  # steps, after which a CPU's allocator and a GPU's clock have settled
GIGA = 1e9

Range = tuple[float, float]


@dataclass(frozen=True)
class Against:
    """Figures of the step of a file, as those of ``BenchResult``; ``ratio`` is of the project's speed to its own."""

    file: str
    images_per_second: float
    spread: Range
    ratio: float
    gflop_per_step: float
    gbyte_per_step: float
    peak_memory_bytes: int


@dataclass(frozen=True)
class BenchResult:
    """Figures of one run.

    Attributes:
        data_shape: of a sample.
        images_per_second, textbook_images_per_second: medians over the repeats; ``spread`` holds the least and
            the greatest of each.
        ratio: median of the repeats' own ratios.
        gflop_per_step, textbook_gflop_per_step: counted, forward and backward.
        gbyte_per_step, textbook_gbyte_per_step: that their operations read and write, each by itself.
        intensity: FLOP per byte of the project's step.
        matmul_gflops, convolution_gflops: rates of the machine in the precision of the project's step, the best over
            the repeats, between whose steps they are measured; ``limit_gflops`` is the higher of the two.
        bandwidth_gbytes: per second, of copies of the size that is typical of the step's operations, likewise.
        roof_gflops: what the roofline allows a step of this intensity: the limit, or intensity times bandwidth.
        fraction_of_limit, fraction_of_roof: the step's rate of counted work over these.
        peak_memory_bytes, textbook_peak_memory_bytes: of a process (CPU) or allocator (GPU) that runs one kind.
        against: of the step of a file, None where none was given.
    """

    architecture: str
    data_shape: Shape
    batch_size: int
    device: str
    precision: str
    images_per_second: float
    textbook_images_per_second: float
    ratio: float
    spread: dict[str, Range]
    gflop_per_step: float
    textbook_gflop_per_step: float
    gbyte_per_step: float
    textbook_gbyte_per_step: float
    intensity: float
    matmul_gflops: float
    convolution_gflops: float
    limit_gflops: float
    bandwidth_gbytes: float
    roof_gflops: float
    fraction_of_limit: float
    fraction_of_roof: float
    peak_memory_bytes: int
    textbook_peak_memory_bytes: int
    against: Against | None
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
    against: Path | None = None,
) -> BenchResult:
    """Measure an architecture.

    Args:
        data_shape: of a sample, where the architecture leaves some of it open; an example if None.
        batch_size: the recipe's if None.
        repeats: rounds, each of ``steps`` steps of either kind in turn.
        precision, compiled, cuda_graphs: of the project's step; the textbook step is eager float32.
        against: a file with another step, see ``ali_plugin.bench.against``. Its code is run.

    Raises:
        OptionError: numbers that are not positive, or a file whose step cannot be measured.
    """
    if repeats < 1 or steps < 1:
        raise OptionError(f"repeats and steps have to be positive, not {repeats} and {steps}")
    record = default_registry().get(Architecture, architecture)
    setup = Setup(
        architecture=architecture,
        data_shape=shapes.given(record, data_shape or shapes.example(record)),
        batch_size=batch_size or record.training.batch_size,
        device=str(device),
        precision=precision,
        compiled=compiled,
        cuda_graphs=cuda_graphs,
        against=None if against is None else str(absolute(str(against), "--against")),
    )
    keep_freed_memory()
    contenders = {kind: setup.contender(kind) for kind in setup.kinds}
    batches = {kind: setup.batch() for kind in setup.kinds}  # one each, since a step may change its own
    for kind, contender in contenders.items():
        contender(batches[kind], WARM_UP[device.type])
    work = _work(setup, contenders, batches)
    seconds: dict[Kind, list[float]] = {kind: [] for kind in setup.kinds}
    ceilings: list[Limits] = []
    for _ in range(repeats):
        for kind, contender in contenders.items():
            seconds[kind].append(contender.seconds(batches[kind], steps))
        ceilings.append(limits(device, precision, work["ours"].typical))
    del contenders, batches  # before others need the memory
    return _result(setup, seconds, work, reduce(Limits.best, ceilings))


def facts(device: torch.device) -> dict[str, str]:
    """What a figure of a device depends on: versions and hardware."""
    return {**machine.versions(), **machine.hardware(device)}


def rounded(rate: float) -> str:
    """A rate to three digits, and never with an exponent."""
    return f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"


def _work(setup: Setup, contenders: dict[Kind, Contender], batches: dict[Kind, Batch]) -> dict[Kind, Work]:
    """What a step of each kind does; of the project's own, as an eager one, after its first."""
    found = dict(contenders)
    if setup.eager != setup:
        found["ours"] = setup.eager.contender("ours")
        found["ours"](batches["ours"])
    return {kind: counted(partial(step, batches[kind])) for kind, step in found.items()}


def _result(setup: Setup, seconds: dict[Kind, list[float]], work: dict[Kind, Work], ceiling: Limits) -> BenchResult:
    rates = {kind: [setup.batch_size / taken for taken in of_rounds] for kind, of_rounds in seconds.items()}
    median = {kind: statistics.median(found) for kind, found in rates.items()}
    ours, textbook, device = work["ours"], work["textbook"], torch.device(setup.device)
    reached, roof = ours.flop * median["ours"] / setup.batch_size, ceiling.roof(ours.intensity)
    graph = ", CUDA graph" if setup.cuda_graphs else ""
    return BenchResult(
        architecture=setup.architecture,
        data_shape=setup.data_shape,
        batch_size=setup.batch_size,
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        precision=setup.precision + (", compiled" if setup.compiled else "") + graph,
        images_per_second=median["ours"],
        textbook_images_per_second=median["textbook"],
        ratio=_ratio(seconds, "textbook"),
        spread={
            "images_per_second": _range(rates["ours"]),
            "textbook_images_per_second": _range(rates["textbook"]),
        },
        gflop_per_step=ours.flop / GIGA,
        textbook_gflop_per_step=textbook.flop / GIGA,
        gbyte_per_step=ours.moved / GIGA,
        textbook_gbyte_per_step=textbook.moved / GIGA,
        intensity=ours.intensity,
        matmul_gflops=ceiling.matmul / GIGA,
        convolution_gflops=ceiling.convolution / GIGA,
        limit_gflops=ceiling.compute / GIGA,
        bandwidth_gbytes=ceiling.bandwidth / GIGA,
        roof_gflops=roof / GIGA,
        fraction_of_limit=reached / ceiling.compute,
        fraction_of_roof=reached / roof,
        peak_memory_bytes=peak_memory(setup, "ours"),
        textbook_peak_memory_bytes=peak_memory(setup, "textbook"),
        against=None if setup.against is None else Against(
            file=Path(setup.against).name,
            images_per_second=median["against"],
            spread=_range(rates["against"]),
            ratio=_ratio(seconds, "against"),
            gflop_per_step=work["against"].flop / GIGA,
            gbyte_per_step=work["against"].moved / GIGA,
            peak_memory_bytes=peak_memory(setup, "against"),
        ),
        repeats=len(seconds["ours"]),
        machine=facts(device),
    )  # fmt: skip


def _ratio(seconds: dict[Kind, list[float]], other: Kind) -> float:
    """Of the project's speed to another's: the median of the rounds' own."""
    return statistics.median(slow / fast for fast, slow in zip(seconds["ours"], seconds[other], strict=True))


def _range(rates: list[float]) -> Range:
    return min(rates), max(rates)
