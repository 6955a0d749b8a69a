"""Everything that needs a GPU, in one call of under ten minutes: ``python benchmarks/gpu.py --out FILE.json``.

Measures the step of ``cifar10-released`` at the paper's batch of 100 (and of ``svhn`` and ``celeba``) in float32,
TF32, bf16, compiled, and as a CUDA graph, each against the eager textbook step; the step with and without the
loader, with the data on the device and streamed; the residual nets in their own game; and runs the tests that are
skipped without a GPU.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from loader import loader
from picture_nets import BATCH, measure

from ali_plugin.bench.bench import bench, facts
from ali_plugin.errors import ALIError
from ali_plugin.support import atomic

BUDGET, OF_STEPS = 540, 360  # seconds for all of it, and until no more of the paper's steps are measured
MODES: dict[str, dict[str, Any]] = {
    "float32": {},
    "tf32": {"precision": "tf32"},
    "bf16": {"precision": "bf16"},
    "tf32, CUDA graph": {"precision": "tf32", "cuda_graphs": True},
    "bf16, CUDA graph": {"precision": "bf16", "cuda_graphs": True},
    "bf16, compiled, CUDA graph": {"precision": "bf16", "compiled": True, "cuda_graphs": True},
}
GAMES = (("residual-small", 64), ("residual-base", 128), ("residual-large", 128))  # nets and pixels
IN_GAMES: dict[str, dict[str, Any]] = {
    "tf32": {"precision": "tf32"},
    "bf16": {"precision": "bf16"},
    "bf16, CUDA graph": {"precision": "bf16", "cuda_graphs": True},
    "bf16, compiled": {"precision": "bf16", "compile": True},
}


def steps(device: torch.device) -> list[dict[str, Any]]:
    """The step's figures, the most wanted first."""
    made = []
    for architecture in ("cifar10-released", "svhn", "celeba"):
        for mode, options in MODES.items():
            if time.monotonic() - START > OF_STEPS:
                return made
            try:
                result = asdict(bench(architecture, device, repeats=5, steps=50, **options))
            except (RuntimeError, ALIError) as error:  # a mode that this version cannot do must not hide the others
                result = {"architecture": architecture, "error": str(error).splitlines()[0]}
            made.append({"mode": mode, **result})
            print(json.dumps(made[-1]), flush=True)
    return made


def games(device: torch.device) -> list[dict[str, Any]]:
    """Seconds of a step of the relativistic game with penalties, cycles and contrast, and memory."""
    made: list[dict[str, Any]] = []
    for net, side in GAMES:
        for mode, options in IN_GAMES.items():
            if time.monotonic() - START > BUDGET - 60:
                return made
            try:
                result: dict[str, Any] = measure(net, side, str(device), **options)
                result["images_per_second"] = BATCH / result["seconds"]
            except (RuntimeError, ALIError) as error:
                result = {"error": str(error).splitlines()[0]}
            made.append({"net": net, "pixels": side, "mode": mode, **result})
            print(json.dumps(made[-1]), flush=True)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="cuda")
    out, device = (parsed := parser.parse_args()).out, torch.device(parsed.device)
    tests = subprocess.run([sys.executable, "-m", "pytest", "-q", "-m", "gpu", "tests"], capture_output=True, text=True)
    closing = tests.stdout.strip().splitlines()[-1:]
    print(*closing, flush=True)
    found = {
        "machine": facts(device),
        "gpu_tests": closing,
        "loader_ms": loader(device),
        "steps": steps(device),
        "games": games(device),
    }
    atomic.write(out, json.dumps(found, indent=2) + "\n")


START = time.monotonic()

if __name__ == "__main__":
    main()
