"""What the averaging of gradients costs a step, in processes of this machine.

``python benchmarks/averaging.py --arch fashion`` prints medians over the steps of process 0, on random pictures. Before
each averaging the processes wait for each other, outside of what is timed: else the slower one's delay would count as a
message. Beside seconds there are those of the processor, which other programs of a busy machine change less.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from ali_plugin.config import shapes
from ali_plugin.datasets.split import DataSplit
from ali_plugin.support.devices import keep_freed_memory
from ali_plugin.training import distributed, step
from ali_plugin.training.assemble import assemble, working
from ali_plugin.training.configure import configure
from ali_registry import Architecture, default_registry

WARM_UP = 3  # steps
SAMPLES, CLASSES = 512, 10


class Clock:
    """Seconds that passed, and seconds of this process on the processor."""

    def __init__(self) -> None:
        self.times: list[tuple[float, float]] = []

    def __enter__(self) -> None:
        self._begun = time.perf_counter(), time.process_time()

    def __exit__(self, *_: object) -> None:
        self.times.append((time.perf_counter() - self._begun[0], time.process_time() - self._begun[1]))

    def medians(self) -> tuple[float, float]:
        passed, worked = zip(*self.times[WARM_UP:], strict=True)
        return statistics.median(passed), statistics.median(worked)


def pictures(architecture: str) -> DataSplit:
    """Noise in the shape that an architecture takes."""
    random, shape = np.random.default_rng(0), shapes.example(default_registry().get(Architecture, architecture))
    data = random.integers(0, 256, (SAMPLES, *shape), dtype=np.uint8)
    return DataSplit(data, random.integers(0, CLASSES, SAMPLES), tuple(map(str, range(CLASSES))))


def train(architecture: str, batch_size: int | None, steps: int) -> None:
    """Take steps in this process of a run, and print what process 0 has seen."""
    whole, waiting, averaging = Clock(), Clock(), Clock()
    average = distributed.average_gradients

    def timed(optimisers: Mapping[str, torch.optim.Optimizer]) -> None:
        with waiting:
            distributed.barrier()
        with averaging:
            average(optimisers)

    step.average_gradients = timed  # type: ignore[attr-defined]
    with distributed.process_group("cpu"):
        options = {"architecture": architecture, "batch_size": batch_size, "steps": WARM_UP + steps, "device": "cpu"}
        noise, registry = pictures(architecture), default_registry()
        run = assemble(configure(options, registry), registry, data=(noise, noise))
        keep_freed_memory()  # as a run does
        with working(run.stream):
            for number in range(WARM_UP + steps):
                run.step.schedule(number, WARM_UP + steps)
                batch = run.batches.next()
                distributed.barrier()
                with whole:
                    run.step(batch)
        if distributed.rank() == 0:
            parameters = [p for player in run.step.players.values() for p in player.parameters]
            size = sum(parameter.nbytes for parameter in parameters)
            sizes = {"batch_size": run.config.batch_size, "message_mb": round(size / 1e6, 1)}
            print(json.dumps({"architecture": architecture, **sizes, **figures(whole, waiting, averaging)}))


def figures(whole: Clock, waiting: Clock, averaging: Clock) -> dict[str, object]:
    (step_passed, step_worked), (waited, spun), (passed, worked) = (c.medians() for c in (whole, waiting, averaging))
    return {
        "processes": distributed.world_size(),
        "step_ms": round(1000 * (step_passed - waited), 2), "averaging_ms": round(1000 * passed, 2),
        "share": round(passed / (step_passed - waited), 4),
        "processor_step_ms": round(1000 * (step_worked - spun), 2), "processor_averaging_ms": round(1000 * worked, 2),
        "processor_share": round(worked / (step_worked - spun), 4),
    }  # fmt: skip


def main() -> None:
    """Start the processes."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--arch", default="fashion")
    options.add_argument("--batch-size", type=int, help="of all processes together; the recipe's unless it is given")
    options.add_argument("--processes", type=int, default=2)
    options.add_argument("--steps", type=int, default=30)
    given = options.parse_args()
    if "RANK" in os.environ:
        train(given.arch, given.batch_size, given.steps)
        return
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(given.processes)]
    env = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    sys.exit(subprocess.run([*launch, str(Path(__file__).resolve()), *sys.argv[1:]], env=env).returncode)


if __name__ == "__main__":
    main()
