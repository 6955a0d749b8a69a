"""The engine: runs that are killed, guards, precision, the bench; what needs a GPU is skipped without one."""

from __future__ import annotations

import copy
import json
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ali_plugin import ALI, Callback, Objective, hookimpl
from ali_plugin.bench import bench as bench_module
from ali_plugin.bench.bench import bench
from ali_plugin.datasets.fashion_mini import fashion_mini
from ali_plugin.datasets.split import to_unit
from ali_plugin.nets.layers import Dropout, Maxout
from ali_plugin.objectives.ali import ALIGame
from ali_plugin.objectives.game import Batch
from ali_plugin.training import source
from ali_plugin.training.batches import Batches
from ali_plugin.training.callbacks import Callback as Watching
from ali_plugin.training.config import TrainConfig
from ali_plugin.training.run import prepare
from ali_plugin.training.source import Streamed
from ali_plugin.training.step import TrainingStep
from conftest import TINY, Ali, program, registered

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")


def weights(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "model.safetensors")


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def kill_and_resume(times: int, tmp_path: Path, ali: Ali) -> None:
    """Kill a run at random moments so often, while it trains or saves; it ends with the undisturbed weights."""
    common = ["-q", "train", "--arch", "fashion", "--steps", str(30 * times), "--batch-size", "20",
              "--checkpoint-every", "3",
              "--sample-every", "20", "--log-every", "3", "--device", "cpu"]  # fmt: skip
    assert ali(*common, "--out", tmp_path / "whole").code == 0
    out, chance = tmp_path / "killed", random.Random(0)

    def saved() -> set[str]:
        return {folder.name for folder in (out / "checkpoints").glob("step-*")}

    for _ in range(times):
        before, resume = saved(), ["--resume"] if saved() else []
        process = subprocess.Popen([*program(), *common, *resume, "--out", str(out)], stderr=subprocess.DEVNULL)
        end = time.monotonic() + 120
        while saved() == before and process.poll() is None and time.monotonic() < end:  # until it has got on
            time.sleep(0.005)
        time.sleep(chance.uniform(0, 0.15))
        assert process.poll() is None, "the run was over before it could be killed"
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert ali(*common, "--resume", "--out", out).code == 0
    assert same(weights(tmp_path / "whole"), weights(out))


def test_killed_runs_end_as_undisturbed_ones(tmp_path: Path, ali: Ali) -> None:
    kill_and_resume(2, tmp_path, ali)


@pytest.mark.slow
def test_twenty_kills(tmp_path: Path, ali: Ali) -> None:
    kill_and_resume(20, tmp_path, ali)


def test_full_disk_stops_the_run_and_keeps_the_last_checkpoint(trained: Path, ali: Ali) -> None:
    """A limit on file sizes, which the next checkpoint breaks, stands in for the full disk."""
    out = trained
    before = {path.relative_to(out): path.read_bytes() for path in (out / "checkpoints").rglob("*") if path.is_file()}

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))

    command = [*program(), "-q", "train", "--resume", "--steps", "40", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=limit)
    assert done.returncode == 1
    assert done.stderr.startswith("error: cannot write the checkpoint")
    assert done.stderr.count("\n") == 1
    after = {path.relative_to(out): path.read_bytes() for path in (out / "checkpoints").rglob("*") if path.is_file()}
    assert after == before
    assert ali("-q", "train", "--resume", "--steps", 40, "--out", out).code == 0


class Failing(ALIGame):
    """A loss is not finite while the learning rate is that of the recipe."""

    steps = 0

    def gradients(self, batch: Batch) -> dict[str, Tensor]:
        figures = super().gradients(batch)
        Failing.steps += 1
        if Failing.steps in (13, 17):
            figures["loss_generator"] = figures["loss_generator"] / 0
        return figures


class Winning(ALIGame):
    """A discriminator that has won, and a decoder that draws noise for a while and then one picture."""

    steps = 0

    def gradients(self, batch: Batch) -> dict[str, Tensor]:
        figures = super().gradients(batch)
        Winning.steps += 1
        for parameter in self.decoder.parameters():
            parameter.data.normal_() if Winning.steps < 20 else parameter.data.zero_()
            parameter.grad = None
        return {**figures, "accuracy_discriminator": torch.ones(())}


class Listening(Watching):
    """Keeps the warnings."""

    heard: list[str]

    def on_start(self, trainer: Any) -> None:
        Listening.heard = []

    def on_warning(self, trainer: Any, text: str) -> None:
        Listening.heard.append(text)


class Plugin:
    __name__ = "engine-tests"

    @hookimpl
    def register_objectives(self, register: Any) -> None:
        register(Objective(name="failing", build=Failing))
        register(Objective(name="winning", build=Winning))

    @hookimpl
    def register_callbacks(self, register: Any) -> None:
        register(Callback(name="listening", build=Listening))


@pytest.fixture
def plugin() -> Iterator[None]:
    with registered(Plugin()):
        yield


def test_rewind_continues_with_a_smaller_rate(tmp_path: Path, ali: Ali, plugin: None) -> None:
    Failing.steps = 0
    arguments = ("--objective", "failing", "--on-nan", "rewind", "--steps", 30, *TINY, "--callback", "listening")
    result = ali("train", *arguments, "--out", tmp_path / "run")
    assert result.code == 0, result.err
    assert Listening.heard[0].startswith("loss_generator became inf at step 13; back to step 10 with a learning rate")
    assert len(Listening.heard) == 2
    state = json.loads((tmp_path / "run" / "checkpoints" / "step-000000030" / "state.json").read_text())
    assert state["learning_rate_factor"] == 0.25
    steps = [json.loads(line)["step"] for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert steps == [5, 10, 15, 20, 25, 30]


def test_collapse_is_told_once(tmp_path: Path, ali: Ali, plugin: None) -> None:
    arguments = ("--objective", "winning", "--steps", 40, *TINY, "--log-every", 2, "--callback", "listening")
    assert ali("train", *arguments, "--out", tmp_path / "run").code == 0
    assert len(Listening.heard) == 2
    assert any("tells all pairs apart" in text for text in Listening.heard)
    assert any("samples no longer vary" in text for text in Listening.heard)


def test_best_model_is_kept(trained: Path) -> None:
    record = json.loads((trained / "best" / "best.json").read_text())
    model = ALI.from_pretrained(trained / "best")
    x = to_unit(torch.from_numpy(fashion_mini("validation").data))
    error = (model.reconstruct(x) - x).square().mean().item()
    assert error == pytest.approx(record["reconstruction_mse"], rel=1e-4)


@pytest.mark.parametrize("pieces", [2, 5])
def test_maxout_gradient(pieces: int) -> None:
    x = torch.randn(3, 2 * pieces, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(Maxout(pieces), (x,))


def test_dropout_gradient_uses_the_mask_of_the_output() -> None:
    torch.manual_seed(0)
    x = torch.ones(1000, requires_grad=True)
    out = Dropout(0.3).train()(x)
    (gradient,) = torch.autograd.grad(out.sum(), x)
    assert torch.equal(gradient, out)
    assert (out == 0).float().mean().item() == pytest.approx(0.3, abs=0.05)
    assert torch.equal(Dropout(0.3).eval()(x), x)


def step(model: ALI, **options: Any) -> TrainingStep:
    return TrainingStep(ALIGame(model), TrainConfig(architecture="-", dataset="-", steps=1, **options))


def test_bf16_follows_float32_with_losses_in_float32() -> None:
    torch.manual_seed(0)
    models = [ALI.from_architecture("fashion")]
    models.append(copy.deepcopy(models[0]))
    batch = Batch(torch.rand(20, 1, 28, 28))
    losses = []
    for model, precision in zip(models, ("float32", "bf16"), strict=True):
        torch.manual_seed(1)
        figures = step(model, precision=precision)(batch)
        assert figures["loss_discriminator"].dtype == torch.float32
        losses.append(figures["loss_discriminator"].item())
    assert losses[0] == pytest.approx(losses[1], rel=2e-2)
    assert losses[0] != losses[1]


@pytest.mark.parametrize("native", [True, False])
def test_auto_precision_is_decided_once_and_kept(
    native: bool, tmp_path: Path, ali: Ali, monkeypatch: pytest.MonkeyPatch
) -> None:
    def taken() -> Any:
        return json.loads((tmp_path / "run" / "train_config.json").read_text())["precision"]

    common = ["train", *TINY, "--device", "cpu", "--out", tmp_path / "run"]
    monkeypatch.setattr("ali_plugin.training.decide.computes_bf16", lambda device: native)
    assert ali(*common, "--precision", "auto", "--steps", 2).code == 0
    assert taken() == ("bf16" if native else "float32")
    monkeypatch.setattr("ali_plugin.training.decide.computes_bf16", lambda device: not native)
    assert ali(*common, "--resume", "--steps", 4).code == 0
    assert taken() == ("bf16" if native else "float32")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--precision", "fp8"], "--precision is 'fp8', it has to be auto or float32 or tf32 or bf16"),
        (["--on-nan", "pray"], "--on-nan is 'pray', it has to be stop or rewind"),
        (["--cuda-graphs", "--device", "cpu"], "--cuda-graphs needs a GPU, the run is on cpu"),
    ],
)
def test_bad_engine_options(arguments: list[str], message: str, tmp_path: Path, ali: Ali) -> None:
    result = ali("train", *arguments, "--steps", 1, "--out", tmp_path / "run")
    assert (result.code, message in result.err) == (1, True), result.err


@pytest.fixture
def no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bench starts no process for the memory of each kind of step."""
    monkeypatch.setattr(bench_module, "peak_memory", lambda setup, kind: 1)


def test_bench_counts_and_compares() -> None:
    result = bench("fashion", torch.device("cpu"), batch_size=20, repeats=1)  # of one round, whose figures agree
    assert result.gflop_per_step < result.textbook_gflop_per_step
    assert result.ratio == pytest.approx(result.images_per_second / result.textbook_images_per_second)
    assert result.peak_memory_bytes > 1_000_000
    assert result.limit_gflops == max(result.matmul_gflops, result.convolution_gflops)
    reached = result.gflop_per_step * result.images_per_second / 20
    assert result.fraction_of_limit == pytest.approx(reached / result.limit_gflops)
    assert result.intensity == pytest.approx(result.gflop_per_step / result.gbyte_per_step)
    roof = min(result.limit_gflops, result.intensity * result.bandwidth_gbytes)
    assert (result.roof_gflops, result.fraction_of_roof) == pytest.approx((roof, reached / roof))
    assert 0 < result.gbyte_per_step < result.textbook_gbyte_per_step
    assert result.against is None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator is Linux's")
def test_memory_of_a_step_serves_the_next() -> None:
    """The system clears every page that it hands out: a page fault for each 4 KiB."""
    code = """
import resource, torch
from ali_plugin.support.devices import keep_freed_memory
keep_freed_memory()
for _ in range(30):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(10_000_000)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    faults = [int(line) for line in done.stdout.split()]
    assert faults[0] > 5_000
    assert max(faults[-10:]) < 100


@pytest.mark.usefixtures("no_memory")
@pytest.mark.parametrize(
    ("architecture", "work", "textbook"), [("cifar10-released", 68.3, 104.7), ("svhn", 99.2, 143.3)]
)
def test_work_is_the_least(architecture: str, work: float, textbook: float) -> None:
    """GFLOP for 100 images. Section 1 of paper.md has 68.7 and 100.7, with D's gradient of the data taken too."""
    result = bench(architecture, torch.device("cpu"), batch_size=2, repeats=1)
    assert 50 * result.gflop_per_step == pytest.approx(work, abs=0.05)
    assert 50 * result.textbook_gflop_per_step == pytest.approx(textbook, abs=0.05)


@pytest.mark.usefixtures("no_memory")
def test_bench_command(tmp_path: Path, ali: Ali) -> None:
    out = tmp_path / "figures.json"
    shown = json.loads(ali("bench", "--batch-size", 10, "--repeats", 1, "--out", out, "--json").out)
    assert shown == json.loads(out.read_text())
    assert {"images_per_second", "textbook_images_per_second", "ratio", "gflop_per_step", "matmul_gflops"} <= set(shown)
    assert {"fraction_of_limit", "fraction_of_roof", "peak_memory_bytes"} <= set(shown)


def test_streamed_rows_are_the_resident_ones() -> None:
    device = torch.device("cpu")
    split = fashion_mini("train")
    batches = [Batches(split, 300, 0, device, condition_size=10, labelled=20) for _ in range(2)]
    batches[1].source = Streamed(torch.from_numpy(split.data), device)
    batches[1].seek(0, 0)
    for _ in range(8):
        resident, streamed = (made.next() for made in batches)
        assert torch.equal(resident.x, streamed.x)
        assert resident.condition is not None
        assert streamed.condition is not None
        assert torch.equal(resident.condition, streamed.condition)
        assert resident.labelled is not None
        assert streamed.labelled is not None
        assert torch.equal(resident.labelled.x, streamed.labelled.x)
    batches[0].seek(1, 3)
    batches[1].seek(1, 3)
    assert torch.equal(batches[0].next().x, batches[1].next().x)


@needs_gpu
@pytest.mark.gpu
@pytest.mark.parametrize("options", [{"precision": "tf32"}, {"precision": "bf16"}, {"compile": True},
                                     {"cuda_graphs": True}], ids=str)  # fmt: skip
def test_fast_steps_follow_the_eager_float32_step(options: dict[str, Any]) -> None:
    """The same noise, so that a few steps stay close; dropout off, whose masks differ between kernels."""
    torch.manual_seed(0)
    with torch.device("cuda"):
        models = [ALI.from_architecture("cifar10-released")]
    for module in models[0].modules():
        if isinstance(module, Dropout):
            module.p = 0.0
    models.append(copy.deepcopy(models[0]))
    batch = Batch(torch.rand(20, 3, 32, 32, device="cuda"))
    for model, chosen in zip(models, ({}, options), strict=True):
        made = step(model, **chosen)
        torch.manual_seed(1)
        for _ in range(6):
            made(batch)
    for (name, a), b in zip(models[0].named_parameters(), models[1].parameters(), strict=True):
        assert nn.functional.cosine_similarity(a.flatten(), b.flatten(), 0) > 0.99, name


@needs_gpu
@pytest.mark.gpu
def test_a_run_on_the_gpu_continues(tmp_path: Path) -> None:
    common = {"architecture": "fashion", "batch_size": 20, "device": "cuda", "log_every": 5, "checkpoint_every": 10}
    prepare({**common, "steps": 20}, tmp_path / "run").run()
    assert prepare({"steps": 30}, tmp_path / "run", resume=True).run().steps == 30


@needs_gpu
@pytest.mark.gpu
def test_the_next_batch_may_be_pinned_while_a_graph_is_captured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "DEVICE_SHARE", 0.0)  # no data fit, so that a thread gathers and pins them
    options = {"architecture": "fashion", "batch_size": 20, "device": "cuda", "cuda_graphs": True, "steps": 30}
    assert prepare(options, tmp_path / "run").run().steps == 30
