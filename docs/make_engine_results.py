"""Write docs/engine-results.md from the files in benchmarks/results: ``python docs/make_engine_results.py``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "engine-results.md"
RESULTS = ROOT / "benchmarks" / "results"
HEAD = """# Results of the engine

Made by `docs/make_engine_results.py` from `benchmarks/results/step-*.json`, which `ali bench --out` wrote. Medians of
interleaved rounds; the textbook step is the alternating update with two passes of every net.

| architecture | batch | images/s | textbook | ratio | GFLOP per step (textbook) | share of matrix products | peak MiB (textbook) | on |
|---|---|---|---|---|---|---|---|---|
"""  # noqa: E501


def line(found: dict[str, Any]) -> str:
    """A row of the table."""
    low, high = found["spread"]["images_per_second"]
    cells = [
        found["architecture"],
        found["batch_size"],
        f"{found['images_per_second']:.0f} ({low:.0f} to {high:.0f})",
        f"{found['textbook_images_per_second']:.0f}",
        f"{found['ratio']:.2f}",
        f"{found['gflop_per_step']:.1f} ({found['textbook_gflop_per_step']:.1f})",
        f"{found['fraction_of_matmul']:.0%}",
        f"{found['peak_memory_bytes'] >> 20} ({found['textbook_peak_memory_bytes'] >> 20})",
        f"{found['machine'].get('gpu', found['machine']['processor'])}, {found['machine']['threads']} threads, "
        f"torch {found['machine']['torch']}",
    ]
    return "| " + " | ".join(map(str, cells)) + " |\n"


def page() -> str:
    """The page's text."""
    found = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("step-*.json"))]
    return HEAD + "".join(line(result) for result in found)


if __name__ == "__main__":
    PAGE.write_text(page())
