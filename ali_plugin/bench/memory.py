"""The peak of a process that does nothing but steps of one kind."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path
from typing import cast

import torch

from ali_plugin.bench.setup import Kind, Setup
from ali_plugin.errors import ProcessesFailed
from ali_plugin.support.devices import keep_freed_memory
from ali_plugin.support.processes import python_module
from ali_registry.text import printable

STEPS = 4  # of which the first allots the optimisers' state


def peak_memory(setup: Setup, kind: Kind) -> int:
    """Bytes of a process (CPU) or allocator (GPU) that does some steps of one kind, above what it has after importing.

    Raises:
        ProcessesFailed: that process fails.
    """
    command = python_module("ali_plugin.bench.memory", setup.to_json(), kind)
    done = subprocess.run(command, capture_output=True, text=True, errors="backslashreplace", check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise ProcessesFailed(f"the process that measures the memory of {kind!r} failed: {printable(last, 400)}")
    return int(done.stdout.split()[-1])


def measured_here(setup: Setup, kind: Kind) -> int:
    """The same of this process, which should be fresh."""
    keep_freed_memory()
    before, batch = _peak_resident(), setup.batch()
    setup.contender(kind)(batch, STEPS)
    if batch.x.device.type == "cuda":
        return torch.cuda.max_memory_allocated(batch.x.device)
    return _peak_resident() - before


def _peak_resident() -> int:
    """The most bytes of memory that this process has held."""
    try:
        # Not getrusage, whose peak is inherited from the process that started this one.
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    print(measured_here(Setup.from_json(sys.argv[1]), cast(Kind, sys.argv[2])))
