"""Write docs/engine-results.md from benchmarks/results: ``python docs/make_engine_results.py``, or ``--check``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ali_plugin.bench.bench import rounded

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "engine-results.md"
RESULTS = ROOT / "benchmarks" / "results"
HEAD = """# Results of the engine

Made by `docs/make_engine_results.py` from `benchmarks/results/step-*.json`, which `ali bench --out` wrote. Medians of
interleaved rounds; the textbook step is the alternating update with two passes of every net. The limit is the best of
matrix products and convolutions in the step's precision (-: not measured).

| architecture | batch | images/s | textbook | ratio | GFLOP per step (textbook) | share of the limit | peak MiB (textbook) | on |
|---|---|---|---|---|---|---|---|---|
"""  # noqa: E501
LOADER_HEAD = """
What the data cost: the step of `cifar10-released` at the paper's batch of 100 on one batch that stays, on data that
live on the device (on a CPU, in the memory map), and on data that are streamed to it
(`python benchmarks/loader.py --device cpu --out FILE.json`).

| device | one batch | data on the device | streamed | on |
|---|---|---|---|---|
"""


def line(found: dict[str, Any]) -> str:
    """A row of the table."""
    low, high = found["spread"]["images_per_second"]
    cells = [
        found["architecture"],
        found["batch_size"],
        f"{rounded(found['images_per_second'])} ({rounded(low)} to {rounded(high)})",
        rounded(found["textbook_images_per_second"]),
        f"{found['ratio']:.2f}",
        f"{found['gflop_per_step']:.1f} ({found['textbook_gflop_per_step']:.1f})",
        f"{found['fraction_of_limit']:.0%}" if "fraction_of_limit" in found else "-",
        f"{found['peak_memory_bytes'] >> 20} ({found['textbook_peak_memory_bytes'] >> 20})",
        where(found["machine"]),
    ]
    return row(cells)


def loader_line(found: dict[str, Any]) -> str:
    """A row of the second table."""
    milliseconds = found["milliseconds"].values()
    return row([found["device"], *(f"{value:.0f} ms" for value in milliseconds), where(found["machine"])])


def row(cells: Iterable[object]) -> str:
    return "| " + " | ".join(map(str, cells)) + " |\n"


def where(machine: dict[str, str]) -> str:
    return f"{machine.get('accelerator', machine['processor'])}, {machine['threads']} threads, torch {machine['torch']}"


def results(pattern: str) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(RESULTS.glob(pattern))]


def page() -> str:
    """The page's text."""
    steps, loaders = results("step-*.json"), results("loader-*.json")
    return HEAD + "".join(map(line, steps)) + LOADER_HEAD + "".join(map(loader_line, loaders))


if __name__ == "__main__":
    if "--check" in sys.argv[1:]:
        sys.exit(None if PAGE.read_text() == page() else f"{PAGE} is stale; run this without --check")
    PAGE.write_text(page())
