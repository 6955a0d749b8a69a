"""Several processes make the run of one, and survive the death of one of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from conftest import TINY, Ali, program

WORKER = Path(__file__).with_name("distributed_worker.py")


ARCHITECTURES = ("plain", "batch-norm", "penalties")


def run_workers(processes: int, out: Path, *architectures: str) -> None:
    """Train the worker's tiny models in so many processes with a joined batch, each into a folder in ``out``."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    subprocess.run([*launch, str(WORKER), str(out), *architectures], check=True, capture_output=True, timeout=600)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders ``1`` and ``2`` with the models that so many processes made."""
    out = tmp_path_factory.mktemp("runs")
    for processes in (1, 2):
        run_workers(processes, out / str(processes), *ARCHITECTURES)
    return out


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_two_processes_make_the_run_of_one(architecture: str, runs: Path) -> None:
    """Same noise for the same rows, so that only the order of additions differs."""
    one, two = (load_file(runs / n / architecture / "model.safetensors") for n in "12")
    assert one.keys() == two.keys()
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=2e-4, atol=2e-6, msg=name)
    start = load_file(runs / "1" / architecture / "start.safetensors")
    name = "discriminator.joint.0.operation.weight"
    moved = (one[name] - start[name]).abs().max()
    assert moved > 100 * (one[name] - two[name]).abs().max()


def test_processes_share_batches_equally(tmp_path: Path, ali: Ali) -> None:
    command = [*program(), "train", "--devices", "2", "--batch-size", "5", "--steps", "2", "--out", str(tmp_path / "r")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 1
    assert "--batch-size is 5, which 2 processes cannot share equally" in done.stderr


def workers_of(parent: int) -> list[int]:
    """Processes below a process."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if int(fields[1]) == parent:
                found.append(int(entry.name))
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the workers through /proc")
def test_killed_worker_is_replaced_and_the_weights_are_those_of_an_undisturbed_run(tmp_path: Path) -> None:
    common = ["train", "--arch", "fashion", "--devices", "2", "--steps", "120", *TINY]
    subprocess.run([*program(), *common, "--out", str(tmp_path / "whole")], check=True, capture_output=True)
    out = tmp_path / "disturbed"
    process = subprocess.Popen(
        [*program(), *common, "--out", str(out)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    end = time.monotonic() + 90
    while not (out / "checkpoints" / "step-000000040").exists():
        assert time.monotonic() < end
        assert process.poll() is None
        time.sleep(0.01)
    os.kill(workers_of(process.pid)[-1], signal.SIGKILL)
    assert process.wait(120) == 0
    whole, disturbed = (load_file(folder / "model.safetensors") for folder in (tmp_path / "whole", out))
    for name in whole:
        assert torch.equal(whole[name], disturbed[name]), name
