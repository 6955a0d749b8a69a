"""What the data cost a step: ``python benchmarks/loader.py --device cpu --out FILE.json``.

The step of ``cifar10-released`` at the paper's batch of 100, in interleaved rounds: on one batch that stays, on data
that live on the device (on a CPU, in the memory map), and on data that are streamed to it. Medians of the rounds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ali_plugin.bench.bench import facts
from ali_plugin.datasets.split import DataSplit
from ali_plugin.model import ALI
from ali_plugin.objectives.ali import ALIGame
from ali_plugin.objectives.game import Batch
from ali_plugin.support import atomic
from ali_plugin.support.devices import keep_freed_memory
from ali_plugin.training.batches import Batches
from ali_plugin.training.config import TrainConfig
from ali_plugin.training.source import Resident, Streamed
from ali_plugin.training.step import TrainingStep

PICTURES, ROUNDS = (20_000, 3, 32, 32), 7
STEPS = {"cpu": 3, "cuda": 200}  # of a round, and to warm up


def loader(device: torch.device) -> dict[str, float]:
    """Milliseconds of a step by where its data come from."""
    keep_freed_memory()
    with device:
        model = ALI.from_architecture("cifar10-released").train()
    config = TrainConfig(architecture="cifar10-released", dataset="-", steps=1)
    step, count = TrainingStep(ALIGame(model), config), STEPS[device.type]
    with tempfile.NamedTemporaryFile() as file:
        pictures = np.memmap(file, np.uint8, "w+", shape=PICTURES)
        pictures[:] = np.random.default_rng(0).integers(0, 256, PICTURES, dtype=np.uint8)
        data = torch.from_numpy(pictures)
        resident, streamed = (Batches(DataSplit(pictures), 100, 0, device) for _ in range(2))
        resident.source, streamed.source = Resident(data, device), Streamed(data, device)
        fixed = resident.next()
        kinds: dict[str, Callable[[], Batch]] = {
            "step": lambda: fixed,
            "step_and_resident_data": resident.next,
            "step_and_streamed_data": streamed.next,
        }

        def milliseconds(batch: Callable[[], Batch]) -> float:
            start = time.perf_counter()
            for _ in range(count):
                step(batch())
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            return 1000 * (time.perf_counter() - start) / count

        milliseconds(kinds["step"])
        rounds = [{name: milliseconds(batch) for name, batch in kinds.items()} for _ in range(ROUNDS)]
    return {name: statistics.median(found[name] for found in rounds) for name in kinds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="cpu", choices=sorted(STEPS))
    out, device = (parsed := parser.parse_args()).out, parsed.device
    found: dict[str, Any] = {
        "machine": facts(torch.device(device)),
        "device": device,
        "milliseconds": loader(torch.device(device)),
    }
    print(json.dumps(found["milliseconds"]))
    atomic.write(out, json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
