"""ali bench"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from ali_cli.paths import ReadPath, WriteFile
from ali_cli.settings import device_option, json_option, size_options
from ali_cli.terminal import note, print_json, print_table

if TYPE_CHECKING:
    from ali_plugin.bench.bench import BenchResult


@click.command(epilog="\b\nExamples:\n  ali bench\n  ali bench --arch cifar10-released --repeats 3 --json")
@click.option("--arch", "architecture", default="fashion", show_default=True, help="Architecture.")
@size_options
@click.option("--batch-size", type=click.IntRange(1), help="[default: the architecture's]")
@click.option("--repeats", type=click.IntRange(1), default=5, show_default=True, help="Rounds, interleaved.")
@click.option("--steps", type=click.IntRange(1), default=1, show_default=True, help="Steps of either kind in a round.")
@click.option("--precision", type=click.Choice(["float32", "tf32", "bf16"]), default="float32", show_default=True,
              help="Of the project's step.")  # fmt: skip
@click.option("--compile", "compiled", is_flag=True, help="Compile the project's nets.")
@click.option("--cuda-graphs", is_flag=True, help="Replay the project's step as one CUDA graph.")
@click.option("--against", type=ReadPath(), metavar="FILE.py", help="Also run and measure the step that this file's "
              "build(data_shape, batch_size, device) returns: step(x).")  # fmt: skip
@click.option("--out", type=WriteFile(), help="Also write the figures to FILE.json.")
@device_option
@json_option
def command(
    architecture: str,
    image_size: str | None,
    channels: int | None,
    batch_size: int | None,
    repeats: int,
    steps: int,
    precision: Literal["float32", "tf32", "bf16"],
    compiled: bool,
    cuda_graphs: bool,
    against: Path | None,
    out: Path | None,
    device: str,
    as_json: bool,
) -> None:
    """Measure the training step against the textbook alternating step, with the work counted.

    The roofline says what this machine could reach at best: of computing, as the faster of matrix products and
    convolutions in the step's precision, and of moving bytes, in copies of the size that is typical of the step.
    """
    import json
    from dataclasses import asdict

    from ali_plugin.bench import bench
    from ali_plugin.config import shapes
    from ali_plugin.support import atomic
    from ali_plugin.support.devices import resolve_device
    from ali_registry import Architecture, default_registry

    record = default_registry().get(Architecture, architecture)
    result = bench.bench(
        architecture,
        resolve_device(device),
        data_shape=shapes.shown(record, image_size, channels),
        batch_size=batch_size,
        repeats=repeats,
        steps=steps,
        precision=precision,
        compiled=compiled,
        cuda_graphs=cuda_graphs,
        against=against,
    )
    figures = asdict(result)
    if out is not None:
        atomic.write(out, json.dumps(figures, indent=2) + "\n")
    if as_json:
        print_json(figures)
        return

    _print(result)
    note("medians of interleaved rounds; least and greatest in brackets")


def _print(result: BenchResult) -> None:
    from ali_plugin.bench.bench import rounded
    from ali_plugin.config import shapes

    def speed(rate: float, spread: tuple[float, float]) -> str:
        return f"{rounded(rate)} ({rounded(spread[0])} to {rounded(spread[1])})"

    def work(gflop: float, gbyte: float, memory: int) -> list[str]:
        return [f"{gflop:.1f}", f"{gbyte:.2f}", f"{gflop / gbyte:.1f}" if gbyte else "", f"{memory / (1 << 20):.0f}"]

    columns = {
        "": ["images/s", "speed of this step over it", "GFLOP per step", "GB moved per step", "FLOP per byte",
             "peak memory, MiB"],
        "this step": [
            speed(result.images_per_second, result.spread["images_per_second"]), "1",
            *work(result.gflop_per_step, result.gbyte_per_step, result.peak_memory_bytes),
        ],
        "textbook step": [
            speed(result.textbook_images_per_second, result.spread["textbook_images_per_second"]),
            f"{result.ratio:.2f}",
            *work(result.textbook_gflop_per_step, result.textbook_gbyte_per_step, result.textbook_peak_memory_bytes),
        ],
    }  # fmt: skip
    if other := result.against:
        columns[other.file] = [
            speed(other.images_per_second, other.spread), f"{other.ratio:.2f}",
            *work(other.gflop_per_step, other.gbyte_per_step, other.peak_memory_bytes),
        ]  # fmt: skip
    what = f"{result.architecture}, {shapes.text(result.data_shape)}, batch {result.batch_size}"
    print_table(
        f"{what}, {result.device}, {result.precision}", list(columns), list(zip(*columns.values(), strict=True))
    )
    reached = result.fraction_of_limit * result.limit_gflops
    rows = [
        ("matrix products, GFLOP/s", rounded(result.matmul_gflops)),
        ("convolutions, GFLOP/s", rounded(result.convolution_gflops)),
        ("memory, GB/s", rounded(result.bandwidth_gbytes)),
        (f"roof at {result.intensity:.1f} FLOP per byte, GFLOP/s", rounded(result.roof_gflops)),
        ("this step, GFLOP/s", f"{rounded(reached)}, {result.fraction_of_roof:.0%} of the roof, "
                               f"{result.fraction_of_limit:.0%} of the best product or convolution"),
    ]  # fmt: skip
    print_table("Roofline of this machine", ["", "in " + result.precision.partition(",")[0]], rows)
