"""Speed and memory of the residual nets: ``python benchmarks/picture_nets.py [--device cuda] [--out FILE.json]``.

Each net and size in a process of its own, with the family's game at a batch of 32 colour pictures, prints a row of a
table. On a CPU seconds are those of the processor, so that other programs do not count; they are the time on a clock
where there is one thread (OMP_NUM_THREADS=1) and nothing else runs. Memory is the most that the process held beyond
what its imports took, on a GPU the most that was allocated.
"""

from __future__ import annotations

import argparse
import json
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

from ali_plugin.architectures.residual import GAME, PRESETS
from ali_plugin.bench.bench import facts
from ali_plugin.support import atomic
from ali_plugin.training.run import prepare

SIDES, BATCH = (32, 64, 128), 32
PERIOD = int(GAME["penalty_every"])  # steps, of which the first is penalised
PLAIN = 3  # steps without a penalty that are measured
COLUMNS = ("net", "pixels", "million parameters", "seconds a step", "images/s", "memory, GiB")


def measure(architecture: str, side: int, device: str, **choices: Any) -> dict[str, float]:
    """Seconds of a step and bytes of memory, of this process, which on a CPU has to be fresh.

    Args:
        choices: more fields of ``TrainConfig``.
    """
    on_gpu = torch.device(device).type == "cuda"
    clock = time.perf_counter if on_gpu else time.process_time
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "pictures"
        data.mkdir()
        random = np.random.default_rng(0)
        for number in range(2 * BATCH):
            picture = random.integers(0, 256, (side, side, 3), dtype=np.uint8)
            Image.fromarray(picture).save(data / f"{number}.png")
        options = {
            "architecture": architecture, "dataset": "image-folder", "data_dir": str(data), "image_size": side,
            "batch_size": BATCH, "steps": 1000, "device": device, "flip": False,
            "settings": {"objective.augment": ""}, **choices,
        }  # fmt: skip
        before = resident()
        if on_gpu:
            torch.cuda.reset_peak_memory_stats()
        trainer = prepare(options, Path(folder) / "run")

        def seconds(number: int) -> float:
            trainer.training_step.schedule(number, trainer.total_steps)
            begun = clock()
            trainer.training_step(trainer.batches.next())
            if on_gpu:
                torch.cuda.synchronize()
            return clock() - begun

        for number in range(2 if not on_gpu else 2 * PERIOD):  # of both kinds, which set up what is used
            seconds(number)
        plain = statistics.median(seconds(1 + number) for number in range(PLAIN))
        step = (seconds(0) + (PERIOD - 1) * plain) / PERIOD
    parameters = sum(one.numel() for one in trainer.model.parameters())
    memory = torch.cuda.max_memory_allocated() if on_gpu else resident() - before
    return {"seconds": step, "memory": memory, "parameters": parameters}


def resident() -> int:
    """The most bytes of memory that this process has held."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def row(name: str, side: int, found: dict[str, float]) -> str:
    """A line of the table, in Markdown."""
    figures = (f"{found['parameters'] / 1e6:.1f}", f"{found['seconds']:.3g}", f"{BATCH / found['seconds']:.3g}",
               f"{found['memory'] / 2**30:.2f}")  # fmt: skip
    return f"| {' | '.join((name, str(side), *figures))} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", nargs=2, metavar=("NET", "PIXELS"), help="print the figures of this one as JSON")
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(given.one[0], int(given.one[1]), given.device)))
        return
    print(f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}", sep="\n", flush=True)
    rows: list[dict[str, Any]] = []
    for preset in PRESETS:
        for side in SIDES:
            command = [sys.executable, __file__, "--device", given.device, "--one", preset.name, str(side)]
            found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            rows.append({"net": preset.name, "pixels": side, **found})
            print(row(preset.name, side, found), flush=True)
    if given.out:
        made = {"machine": facts(torch.device(given.device)), "device": given.device, "batch_size": BATCH}
        made |= {"threads": torch.get_num_threads(), "rows": rows}
        atomic.write(given.out, json.dumps(made, indent=2) + "\n")


if __name__ == "__main__":
    main()
