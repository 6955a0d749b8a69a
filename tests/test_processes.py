"""Several processes and devices: what a launcher says is checked, a run goes on with other ones, graphs have phases."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import tiny
from ali_plugin import ALI
from ali_plugin.errors import DataError, DeviceError, OptionError, ProcessesFailed
from ali_plugin.objectives.game import Batch, Game
from ali_plugin.objectives.gan import PostHocGame
from ali_plugin.training import checkpoint, distributed, random_streams
from ali_plugin.training.config import TrainConfig
from ali_plugin.training.graph import WARM_UP, GraphedUpdate, phase_of
from ali_plugin.training.launched import Launched
from ali_plugin.training.step import TrainingStep
from ali_registry import build_registry
from conftest import TINY, Ali, program

NAMES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
WHOLE = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": "29400"}

STRAY: dict[str, tuple[dict[str, str], str]] = {
    "rank below 0": ({"RANK": "-1"}, "RANK is '-1'"),
    "world size alone": ({"WORLD_SIZE": "2"}, "WORLD_SIZE is 2, without RANK and MASTER_ADDR and MASTER_PORT"),
    "rank alone": ({"RANK": "1"}, "RANK is '1'"),
    "rank beyond": ({**WHOLE, "RANK": "5"}, "RANK is '5' in the environment, it has to be from 0 to 1 of WORLD_SIZE 2"),
    "rank as many": ({**WHOLE, "RANK": "2"}, "RANK is '2'"),
    "rank no number": ({"RANK": "x"}, "RANK is 'x' in the environment, it has to be a number"),
    "rank a fraction": ({**WHOLE, "RANK": "0.5"}, "RANK is '0.5'"),
    "rank in other digits": ({**WHOLE, "RANK": "१"}, "RANK is"),
    "rank endless": ({**WHOLE, "RANK": "9" * 5000}, "RANK is"),
    "world of none": ({"WORLD_SIZE": "0"}, "WORLD_SIZE is '0'"),
    "world below 0": ({"WORLD_SIZE": "-2", "RANK": "0"}, "WORLD_SIZE is '-2'"),
    "world no number": ({"WORLD_SIZE": "two"}, "WORLD_SIZE is 'two'"),
    "world beyond": ({**WHOLE, "WORLD_SIZE": "99999999"}, "WORLD_SIZE is '99999999'"),
    "local rank no number": ({"LOCAL_RANK": "x"}, "LOCAL_RANK is 'x'"),
    "local rank alone": ({"LOCAL_RANK": "3"}, "LOCAL_RANK is '3'"),
    "local rank beyond": ({**WHOLE, "LOCAL_RANK": "2"}, "LOCAL_RANK is '2'"),
    "no address": ({k: v for k, v in WHOLE.items() if k != "MASTER_ADDR"}, "without MASTER_ADDR;"),
    "no port": ({k: v for k, v in WHOLE.items() if k != "MASTER_PORT"}, "without MASTER_PORT;"),
    "no rank": ({k: v for k, v in WHOLE.items() if k != "RANK"}, "without RANK;"),
    "empty address": ({**WHOLE, "MASTER_ADDR": ""}, "without MASTER_ADDR;"),
    "port no number": ({**WHOLE, "MASTER_PORT": "http"}, "MASTER_PORT is 'http'"),
    "port beyond": ({**WHOLE, "MASTER_PORT": "65536"}, "MASTER_PORT is '65536'"),
    "escapes": ({"RANK": "\x1b[2J\nerror: x"}, "RANK is"),
}


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("stray", STRAY)
def test_stray_variables_are_one_line(stray: str, tmp_path: Path, ali: Ali, monkeypatch: pytest.MonkeyPatch) -> None:
    variables, message = STRAY[stray]
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    for devices in ((), ("--devices", 2)):
        result = ali("train", "--steps", 2, *TINY, *devices, "--out", tmp_path / "run")
        assert result.code == 1
        assert message in result.err
        assert "unset" in result.err
        assert result.err.count("\n") == 1
        assert "\x1b" not in result.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "variables",
    [
        {"RANK": "0"}, {"WORLD_SIZE": "1"}, {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}, {"RANK": ""},
        {"MASTER_ADDR": "elsewhere.invalid"}, {"MASTER_PORT": "x"}, {"TORCHELASTIC_RUN_ID": "x"},
    ],
    ids=str,
)  # fmt: skip
def test_what_says_nothing_wrong_is_a_run_of_one(
    variables: dict[str, str], tmp_path: Path, ali: Ali, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    result = ali("train", "-q", "--steps", 2, *TINY, "--out", tmp_path / "run")
    assert result.code == 0, result.err
    assert (tmp_path / "run" / "model.safetensors").exists()


@pytest.mark.slow
def test_other_commands_do_not_care(trained: Path, tmp_path: Path, ali: Ali, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = (
        ["sample", trained, "-n", 2, "--out", tmp_path / "s.png"],
        ["encode", trained, "--out", tmp_path / "c.safetensors"],
        ["evaluate", trained, "--metric", "reconstruction"],
        ["list"],
        ["bench", "--batch-size", 4, "--repeats", 1],
    )
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "x", "TORCHELASTIC_RESTART_COUNT": "1"}.items():
        monkeypatch.setenv(name, value)
    for command in commands:
        result = ali(*command)
        assert result.code == 0, (command, result.err)


@pytest.mark.slow
def test_an_experiment_does_not_care(tmp_path: Path, ali: Ali, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")  # of a process that writes nothing
    monkeypatch.setenv("WORLD_SIZE", "2")
    out = tmp_path / "experiment"
    result = ali(
        "experiment", "conditional", "--dataset", "fashion-mini", "--steps", 2, "--device", "cpu", "--out", out
    )
    assert result.code == 0, result.err
    assert (out / "results.json").exists()


def test_others_that_do_not_come_are_one_line(tmp_path: Path, ali: Ali, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "JOIN", timedelta(seconds=2))
    for name, value in {**WHOLE, "MASTER_PORT": "29417"}.items():
        monkeypatch.setenv(name, value)
    for rank in "01":
        monkeypatch.setenv("RANK", rank)
        result = ali("train", "--steps", 2, *TINY, "--out", tmp_path / "run")
        assert result.code == 1
        error = [line for line in result.err.splitlines() if line.startswith("error:")]
        assert len(error) == 1
        assert f"process {rank} of 2 cannot join the others at localhost:29417" in error[0]
    assert not (tmp_path / "run").exists()


class Group:
    """Stands for NCCL: keeps what it is told."""

    def __init__(self, patch: pytest.MonkeyPatch, gpus: int) -> None:
        self.told: list[Any] = []
        patch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
        patch.setattr(torch.cuda, "device_count", lambda: gpus)
        patch.setattr(torch.cuda, "set_device", lambda device: self.told.append(device))
        patch.setattr(distributed, "resolve_device", lambda name: torch.device("cuda" if name == "auto" else name))
        patch.setattr(distributed, "rendezvous", lambda *_, **__: iter([(self, 0, 2)]))
        patch.setattr(distributed, "PrefixStore", lambda name, store: store)
        patch.setattr(torch.distributed, "init_process_group", self.init)
        patch.setattr(torch.distributed, "destroy_process_group", lambda: None)
        for name, value in WHOLE.items():
            patch.setenv(name, value)

    def set_timeout(self, _: timedelta) -> None:
        pass

    def init(self, backend: str, *, rank: int, world_size: int, device_id: torch.device | None, **_: Any) -> None:
        self.told.append((backend, rank, world_size, device_id))


@pytest.mark.parametrize("device", [None, "auto", "cuda"])
def test_nccl_is_told_the_gpu_of_the_process(device: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    group = Group(monkeypatch, gpus=2)
    with distributed.process_group(device):
        pass
    assert group.told == [torch.device("cuda:1"), ("nccl", 1, 2, torch.device("cuda:1"))]


def test_gloo_is_told_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    group = Group(monkeypatch, gpus=2)
    with distributed.process_group("cpu"):
        pass
    assert group.told == [("gloo", 1, 2, None)]


def test_fewer_gpus_than_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    Group(monkeypatch, gpus=1)
    with pytest.raises(DeviceError, match="this machine has 1"), distributed.process_group("cuda"):
        pass
    with pytest.raises(OptionError, match="one GPU for 2 processes"):
        distributed.refuse_shared_gpu(torch.device("cuda:0"), 2)
    distributed.refuse_shared_gpu(torch.device("cpu"), 64)
    distributed.refuse_shared_gpu(torch.device("cuda:0"), 1)


def test_a_group_that_fails_is_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    group = Group(monkeypatch, gpus=2)

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("NCCL error\nwith a second line")

    monkeypatch.setattr(group, "init", fail)
    monkeypatch.setattr(torch.distributed, "init_process_group", fail)
    with pytest.raises(ProcessesFailed, match="NCCL error"), distributed.process_group("cuda"):
        pass


def test_a_launcher_hears_of_an_error_before_the_others_lose_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They end for it with an error that another try may not meet; the first to end would speak for all."""
    Group(monkeypatch, gpus=0)
    told, left = tmp_path / "error.json", []
    monkeypatch.setenv("TORCHELASTIC_ERROR_FILE", str(told))
    monkeypatch.setattr(torch.distributed, "destroy_process_group", lambda: left.append(told.read_text()))
    with pytest.raises(DataError), distributed.process_group("cpu"):
        raise DataError("a shard is cut off")
    assert "a shard is cut off" in left[0]


def test_a_run_goes_on_with_another_number_of_processes(trained: Path, ali: Ali) -> None:
    """From one, which is this process, to two, of which one writes, and back."""

    def words(processes: int, steps: int) -> list[str]:
        return ["train", "--resume", "--devices", str(processes), "--steps", str(steps), "--out", str(trained)]

    (trained / "samples.png").unlink()
    two = subprocess.run([*program(), *words(2, 35), "--json"], capture_output=True, text=True, timeout=600)
    assert two.returncode == 0, two.stderr
    assert two.stdout.count('"steps": 35') == 1
    assert (trained / "samples.png").exists()
    one = ali(*words(1, 40))
    assert one.code == 0, one.err
    for before, now, said in ((1, 2, two.stderr), (2, 1, one.err)):
        assert f"another number of processes ({before}, now {now})" in said
        assert "not bit for bit" in said
    steps = [json.loads(line)["step"] for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(5, 41, 5))


def tampered(run: Path, change: Any) -> None:
    path = checkpoint.found(run)[-1] / checkpoint.TENSORS
    tensors = load_file(path)
    change(tensors)
    path.unlink()  # a link to what other tests use
    save_file(tensors, path)


def test_a_run_of_a_gpu_goes_on_on_a_cpu(trained: Path, ali: Ali) -> None:
    tampered(trained, lambda tensors: tensors.update({"random.gpu.0": torch.zeros(16, dtype=torch.uint8)}))
    result = ali("train", "--resume", "--out", trained, "--steps", 32)
    assert result.code == 0, result.err
    assert "another device (a GPU, now cpu)" in result.err
    assert "remove" not in result.err


def test_a_run_of_a_cpu_goes_on_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The generators of a GPU that is not here: two states, of which the checkpoint has one."""
    present, restored = [torch.zeros(5000, dtype=torch.uint8), torch.zeros(16, dtype=torch.uint8)], []
    monkeypatch.setattr(random_streams, "random_states", lambda device: present)
    monkeypatch.setattr(random_streams, "restore_random_states", lambda states, device: restored.extend(states))
    kept = torch.ones(5000, dtype=torch.uint8)
    notes = random_streams.restore({"random.cpu.0": kept}, torch.device("cuda"))
    assert "another device (no GPU, now cuda)" in notes[0]
    assert restored[0] is kept
    assert restored[1] is present[1]


def test_the_same_device_and_processes_say_nothing(trained: Path, ali: Ali) -> None:
    assert "bit for bit" not in ali("train", "--resume", "--out", trained, "--steps", 31).err


@pytest.mark.parametrize(
    "state", [torch.zeros(7, dtype=torch.uint8), torch.zeros(5056), torch.zeros(0), torch.ones(())]
)
def test_a_random_state_of_something_else_is_refused(state: Tensor, trained: Path, ali: Ali) -> None:
    tampered(trained, lambda tensors: tensors.update({"random.cpu.0": state}))
    result = ali("train", "--resume", "--out", trained, "--steps", 31)
    assert (result.code, result.err.count("\n"), "bug" in result.err) == (1, 1, False), result.err


class Recorder:
    """Stands for CUDA's graphs on a machine without a GPU: a replay gives the figures of the capture, as there."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.captures = self.replays = 0
        self.forbids: set[object] = set()
        recorder = self

        class Graph:
            def replay(self) -> None:
                recorder.replays += 1

        @contextmanager
        def nothing(*_: Any, **__: Any) -> Any:
            yield

        @contextmanager
        def capture(*_: Any, capture_error_mode: str = "global", **__: Any) -> Any:
            recorder.captures += 1
            recorder.forbids.add(capture_error_mode)
            yield

        stream = SimpleNamespace(wait_stream=lambda other: None)
        patch.setattr(torch.cuda, "Stream", lambda device: stream)
        patch.setattr(torch.cuda, "current_stream", lambda device: stream)
        patch.setattr(torch.cuda, "stream", nothing)
        patch.setattr(torch.cuda, "graph", capture)
        patch.setattr(torch.cuda, "CUDAGraph", Graph)


class Phased(Game):
    """Three phases of ten steps, said in a way that is given."""

    def __init__(self, model: ALI, how: str) -> None:
        super().__init__(model)
        self.how = how
        self.phase: Any = 0
        self.weights = [0.0]
        self.settings = {"phase": (0, 0)}
        self.scale = torch.zeros(())
        self.calls = 0
        self.inner = Phased(model, "number") if how == "inner" else None

    def players(self) -> dict[str, Any]:
        return {"all": list(self.model.parameters())}

    def schedule(self, step: int, total_steps: int) -> None:
        number = step // 10
        if self.how == "number":
            self.phase = number
        elif self.how == "text":
            self.phase = f"phase {number}"
        elif self.how == "list":
            self.weights[0] = number / 2
        elif self.how == "dict":
            self.settings["phase"] = (number, number)
        elif self.how == "tensor" and self.scale.item() != number:
            self.scale = torch.full((), float(number))
        elif self.how == "mode":
            self.model.part("decoder").train(number != 1)
        elif self.how == "frozen":
            for parameter in self.model.part("encoder").parameters():
                parameter.requires_grad_(number != 1)
        elif self.inner is not None:
            self.inner.schedule(step, total_steps)

    def gradients(self, batch: Batch) -> dict[str, Tensor]:
        self.calls += 1
        return {"step": torch.tensor(float(self.calls))}


@pytest.mark.parametrize("how", ["number", "text", "list", "dict", "tensor", "mode", "frozen", "inner"])
def test_a_graph_is_captured_anew_in_each_phase(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(monkeypatch)
    game = Phased(ALI.from_architecture("tiny", registry=build_registry(only=(), plugins=[tiny])), how)
    update = GraphedUpdate(game.gradients, torch.device("cpu"), lambda: phase_of(game))
    batch = Batch(torch.zeros(2, *tiny.SHAPE))
    for step in range(30):
        game.schedule(step, 30)
        update(batch)
    assert recorder.captures == 3
    assert recorder.replays == 3 * (10 - WARM_UP)
    assert recorder.forbids == {"thread_local"}  # the thread that pins the next batch may go on
    assert game.calls == 3 * (WARM_UP + 1)  # a count that updates keep is no phase


def test_the_figures_after_a_change_are_those_of_the_new_phase(monkeypatch: pytest.MonkeyPatch) -> None:
    """gan-posthoc: a GAN first, then the ALI game, which has other players."""
    Recorder(monkeypatch)
    registry = build_registry(only=(), plugins=[tiny])
    game = PostHocGame(ALI.from_architecture("tiny", registry=registry))
    update = GraphedUpdate(game.gradients, torch.device("cpu"), lambda: phase_of(game))
    batch = Batch(torch.rand(4, *tiny.SHAPE))
    moved = []
    for step in range(20):
        for parameter in itertools.chain(game.model.parameters(), game.first.parameters()):
            parameter.grad = None
        game.schedule(step, 20)
        update(batch)
        if step in (WARM_UP - 1, 10):  # eager steps of either phase
            moved.append({name for name, own in game.players().items() if any(p.grad is not None for p in own)})
    assert moved == [{"gan_discriminator", "decoder"}, {"discriminator", "encoder"}]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device: captures and replays real graphs")
@pytest.mark.gpu
def test_graphed_phases_follow_the_eager_run() -> None:
    registry = build_registry(only=(), plugins=[tiny])
    ends = []
    for graphs in (False, True):
        torch.manual_seed(0)
        with torch.device("cuda"):
            model = ALI.from_architecture("tiny", registry=registry)
        step = TrainingStep(
            PostHocGame(model), TrainConfig(architecture="-", dataset="-", steps=20, cuda_graphs=graphs)
        )
        before = [parameter.clone() for parameter in model.part("encoder").parameters()]
        for number in range(20):
            step.game.schedule(number, 20)
            step(Batch(torch.rand(4, *tiny.SHAPE, device="cuda")))
        ends.append(
            sum((a - b).abs().sum().item() for a, b in zip(before, model.part("encoder").parameters(), strict=True))
        )
    assert ends[0] > 0
    assert ends[1] == pytest.approx(ends[0], rel=0.5)  # the encoder moves in the second phase alone


def test_launched_reads_what_torchrun_says() -> None:
    assert Launched.from_environment({**WHOLE, "TORCHELASTIC_RUN_ID": "job-7"}) == Launched(1, 2, 1, "job-7")
    assert Launched.from_environment({}) == Launched()
    assert Launched.from_environment(dict(os.environ) | WHOLE).launch == ""
