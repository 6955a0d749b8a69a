"""ali bench"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from ali_cli.paths import WriteFile
from ali_cli.settings import device_option, json_option, size_options
from ali_cli.terminal import note, print_json, print_table


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
    out: Path | None,
    device: str,
    as_json: bool,
) -> None:
    """Measure the training step against the textbook alternating step, with the work counted."""
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
    )
    figures = asdict(result)
    if out is not None:
        atomic.write(out, json.dumps(figures, indent=2) + "\n")
    if as_json:
        print_json(figures)
        return

    def with_range(rate: float, spread: tuple[float, float]) -> str:
        return f"{bench.rounded(rate)} ({bench.rounded(spread[0])} to {bench.rounded(spread[1])})"

    mebi = 1 << 20
    rows = [
        ("images/s", with_range(result.images_per_second, result.spread["images_per_second"]),
         with_range(result.textbook_images_per_second, result.spread["textbook_images_per_second"])),
        ("GFLOP per step", f"{result.gflop_per_step:.1f}", f"{result.textbook_gflop_per_step:.1f}"),
        ("peak memory, MiB", f"{result.peak_memory_bytes / mebi:.0f}",
         f"{result.textbook_peak_memory_bytes / mebi:.0f}"),
        ("ratio of speeds", f"{result.ratio:.2f}", "1"),
        ("share of the matrix-product rate",
         f"{result.fraction_of_matmul:.0%} of {result.matmul_gflops:.0f} GFLOP/s", ""),
    ]  # fmt: skip
    what = f"{architecture}, {shapes.text(result.data_shape)}, batch {result.batch_size}"
    print_table(f"{what}, {result.device}, {result.precision}", ["", "this step", "textbook step"], rows)
    note("medians of interleaved rounds; least and greatest in brackets")
