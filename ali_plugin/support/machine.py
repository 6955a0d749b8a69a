"""What a figure depends on: versions of the libraries, and the hardware. One form for every file that keeps them."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from ali_plugin.version import __version__
from ali_registry.text import printable

LONGEST = 500  # characters of what a system says of itself


def versions(*packages: str) -> dict[str, str]:
    """Versions by distribution: of this library, Python, torch, and of those packages that are installed."""
    found = {"ali-plugin": __version__, "python": platform.python_version(), "torch": torch.__version__}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def hardware(device: torch.device) -> dict[str, str]:
    """What a run on a device runs on: its kind, the processor, cores, threads, the system, the accelerator."""
    found = {
        "device": device.type,
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "threads": str(torch.get_num_threads()),
        "system": f"{platform.system()} {platform.machine()}",
    }
    if device.type == "cuda":
        found["accelerator"] = torch.cuda.get_device_name(device)
    return {name: printable(text, LONGEST) for name, text in found.items()}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()
