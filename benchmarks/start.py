"""How soon a run is at its first step: ``python benchmarks/start.py --out FILE.json``.

A folder of 200,000 pictures in ten classes (hard links to a few files, so that it takes little room) is decoded into a
cache once. Then ``ali train --steps 1`` is started on it in processes of their own, with the light check of the cache
and with ``--verify``, and so is the default run on the embedded garments, which has hardly any data to look at. Seconds
and processor seconds from the command to the end of its first step, medians of the rounds.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ali_plugin.bench.bench import facts
from ali_plugin.support import atomic

PICTURES, CLASSES, FILES, ROUNDS = 200_000, 10, 20, 3
FOLDER = ("--dataset", "image-folder", "--arch", "fashion", "--batch-size", "10")
KINDS = {"cached": FOLDER, "cached_and_verified": (*FOLDER, "--verify"), "embedded": ("--batch-size", "10")}


def pictures(folder: Path) -> None:
    """Fill a folder; a file system allows some ten thousand links to a file."""
    random = np.random.default_rng(0)
    for number in range(FILES):
        source = folder / f"{number}.png"
        Image.fromarray(random.integers(0, 256, (28, 28), dtype=np.uint8)).save(source)
    for number in range(CLASSES):
        (folder / "pictures" / str(number)).mkdir(parents=True)
    for i in range(PICTURES):
        os.link(folder / f"{i % FILES}.png", folder / "pictures" / str(i % CLASSES) / f"{i:06}.png")


def first_step(folder: Path, options: tuple[str, ...]) -> tuple[float, float]:
    """Seconds, and processor seconds, until the log has a line of the first step."""
    out = Path(tempfile.mkdtemp(dir=folder)) / "run"
    where = ("--data-dir", str(folder / "pictures")) if "image-folder" in options else ()
    command = [sys.executable, "-P", "-m", "ali_cli", "train", *options, *where, "--steps", "1", "--log-every", "1"]
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    process = subprocess.Popen(
        [*command, "-q", "--out", str(out)], env={**os.environ, "ALI_CACHE": str(folder / "cache")}
    )
    log = out / "metrics.jsonl"
    while process.poll() is None and not (log.is_file() and log.stat().st_size):
        time.sleep(0.005)
    taken = time.perf_counter() - begun
    if process.wait():
        raise SystemExit(f"ali train failed: {process.returncode}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return taken, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        pictures(folder)
        first_step(folder, KINDS["cached"])  # decodes
        rounds = [{kind: first_step(folder, options) for kind, options in KINDS.items()} for _ in range(ROUNDS)]
    found: dict[str, Any] = {"machine": facts(torch.device("cpu")), "pictures": PICTURES, "rounds": ROUNDS}
    for i, name in enumerate(("seconds_to_first_step", "processor_seconds_of_the_run")):
        found[name] = {kind: statistics.median(one[kind][i] for one in rounds) for kind in KINDS}
        print(name, json.dumps(found[name]))
    atomic.write(out, json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
