"""Processes that torchrun starts share a stream: each sample once, in the order of one process, whoever is killed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ali_plugin.datasets import load
from ali_plugin.datasets.streams.split import StreamSplit
from ali_plugin.training import checkpoint
from ali_plugin.training.stream_batches import StreamBatches
from shards import numbers, write_shards

STEPS, EPOCH, BATCH = 10, 4, 12
WORKER = Path(__file__).with_name("streams_worker.py")
COUNTS = (12, 8, 15, 9, 10)  # six of the 54 are held out, so that four batches are an epoch to the last sample


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shards(tmp_path_factory.mktemp("shards"), COUNTS)


@pytest.fixture(scope="module")
def order(shards: Path) -> list[list[int]]:
    """The samples of each step of a run of one process."""
    split = load("webdataset", "train", data_dir=shards, data_shape=(1, 28, 28))
    assert isinstance(split, StreamSplit)
    batches = StreamBatches(split, BATCH, 0, torch.device("cpu"))
    return [numbers(batches.next().x) for _ in range(STEPS)]


def launch(processes: int, *arguments: object) -> int:
    """How torchrun ended that started so many workers."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", processes, WORKER]
    return subprocess.run(list(map(str, [*command, *arguments])), capture_output=True, timeout=600).returncode


def drawn(out: Path, processes: int) -> list[list[list[int]]]:
    """The samples that each process drew for each step."""
    files = [out.with_name(f"{out.name}.{processes}.{rank}") for rank in range(processes)]
    return [[json.loads(line) for line in file.read_text().splitlines()] for file in files]


def joined(of: list[list[list[int]]]) -> list[list[int]]:
    """The batches of all processes together."""
    return [[number for rows in step for number in rows] for step in zip(*of, strict=True)]


def test_two_processes_share_a_stream_and_make_the_run_of_one(
    shards: Path, order: list[list[int]], tmp_path: Path
) -> None:
    for processes in (1, 2):
        assert launch(processes, tmp_path / str(processes), shards) == 0
    assert joined(drawn(tmp_path / "1", 1)) == order
    first, second = drawn(tmp_path / "2", 2)
    assert joined([first, second]) == order
    for epoch in (slice(0, EPOCH), slice(EPOCH, 2 * EPOCH)):
        seen = [{number for rows in of[epoch] for number in rows} for of in (first, second)]
        assert [len(of) for of in seen] == [EPOCH * BATCH // 2] * 2
        assert not seen[0] & seen[1]
        assert len(seen[0] | seen[1]) == EPOCH * BATCH == sum(COUNTS) - 6
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in "12")
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=2e-4, atol=2e-6, msg=name)


@pytest.mark.parametrize(("before", "after"), [(2, 1), pytest.param(1, 3, marks=pytest.mark.slow)])
def test_a_killed_run_goes_on_in_the_same_order_with_other_processes(
    before: int, after: int, shards: Path, order: list[list[int]], tmp_path: Path
) -> None:
    out, died = tmp_path / "run", 8
    assert launch(before, out, shards, died) != 0  # by SIGKILL, where the eighth batch is wanted
    assert joined(drawn(out, before)) == order[: died - 1]
    kept = checkpoint.last_step(out)
    assert 0 < kept < died
    assert launch(after, out, shards) == 0
    assert joined(drawn(out, after)) == order[kept:]
    assert checkpoint.last_step(out) == STEPS
