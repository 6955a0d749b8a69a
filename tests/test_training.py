"""Runs: what they leave behind, the same weights for a seed, continuing, stopping, diverging."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from ali_plugin import ALI, Objective, TrainingDefaults, hookimpl
from ali_plugin.datasets.fashion_mini import fashion_mini
from ali_plugin.objectives.ali import ALIGame
from ali_plugin.objectives.game import Batch
from ali_plugin.training.batches import Batches
from ali_plugin.training.callbacks import Callback
from ali_plugin.training.run import prepare
from ali_registry import Architecture, build_registry, default_registry
from conftest import TINY, Ali, program, registered


def tensors(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "model.safetensors")


def assert_same(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


def options(**changes: Any) -> dict[str, Any]:
    small = {"architecture": "fashion", "batch_size": 20, "device": "cpu", "log_every": 5, "checkpoint_every": 10}
    return {**small, "sample_every": 1000, **changes}


def test_run_folder(trained: Path) -> None:
    names = {path.name for path in trained.iterdir()}
    assert {"config.json", "model.safetensors", "train_config.json", "metrics.jsonl", "samples.png"} <= names
    assert {"reconstructions.png", "samples", "checkpoints"} <= names
    lines = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [5, 10, 15, 20, 25, 30]
    assert {"loss_discriminator", "loss_generator", "images_per_second", "epoch"} <= lines[0].keys()
    assert [path.name for path in sorted((trained / "samples").iterdir())][:2] == [
        "step-000000010-reconstructions.png",
        "step-000000010-samples.png",
    ]
    assert [path.name for path in sorted((trained / "checkpoints").iterdir())] == ["step-000000020", "step-000000030"]


def test_seed_decides_the_weights(tmp_path: Path) -> None:
    weights = []
    for i, seed in enumerate((3, 3, 4)):
        prepare(options(steps=4, seed=seed), tmp_path / str(i)).run()
        weights.append(tensors(tmp_path / str(i)))
    assert_same(weights[0], weights[1])
    assert not torch.equal(
        weights[0]["decoder.layers.0.operation.weight"], weights[2]["decoder.layers.0.operation.weight"]
    )


def test_training_leaves_the_caller_s_generator_alone(tmp_path: Path) -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    prepare(options(steps=2), tmp_path / "run").run()
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("choices", [{}, {"ema": 0.9}, {"lr_decay": True}])
def test_continued_run_is_the_undisturbed_one_bit_for_bit(tmp_path: Path, choices: dict[str, Any]) -> None:
    prepare(options(steps=24, **choices), tmp_path / "whole").run()
    first = prepare(options(steps=24, **choices), tmp_path / "parts")
    first.callbacks.append(StopAt(13))
    assert first.run().interrupted
    result = prepare({}, tmp_path / "parts", resume=True).run()
    assert result.steps == 24
    assert not result.interrupted
    assert_same(tensors(tmp_path / "whole"), tensors(tmp_path / "parts"))
    steps = [json.loads(line)["step"] for line in (tmp_path / "parts" / "metrics.jsonl").read_text().splitlines()]
    assert steps == sorted(set(steps))


def test_learning_rates_fall_over_the_run(tmp_path: Path) -> None:
    rates = []

    class Watch(Callback):
        def on_log(self, trainer: Any, figures: dict[str, float]) -> None:
            rates.append({name: o.param_groups[0]["lr"] for name, o in trainer.training_step.optimisers.items()})

    choices = options(steps=10, lr=0.01, lr_discriminator=0.04, lr_decay=True, log_every=1)
    prepare(choices, tmp_path / "run", callbacks=[Watch()]).run()
    remaining = [(10 - step) / 10 for step in range(10)]
    assert rates == [pytest.approx({"generator": 0.01 * r, "discriminator": 0.04 * r}) for r in remaining]


class StopAt(Callback):
    """Stops a run at a step, as Ctrl-C does."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_start(self, trainer: Any) -> None:
        inner = trainer.training_step

        def step(batch: Batch) -> dict[str, Tensor]:
            if trainer.step + 1 == self.step:
                trainer.stop()
            figures: dict[str, Tensor] = inner(batch)
            return figures

        trainer.training_step = Passing(inner, step)


class Passing:
    """A training step with a call in front of it; everything else is the step's own."""

    def __init__(self, inner: Any, call: Any) -> None:
        self._inner, self._call = inner, call

    def __call__(self, batch: Batch) -> Any:
        return self._call(batch)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def test_ctrl_c_finishes_the_step_saves_and_says_how_to_go_on(tmp_path: Path, ali: Ali) -> None:
    out = tmp_path / "run"
    command = [*program(), "train", "--steps", "100000", *TINY, "--out", str(out)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    wait_for(lambda: (out / "metrics.jsonl").exists())
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "continue with: ali train --steps 100000" in err
    assert f"--out {out} --resume" in err
    reached = int(re.findall(r"stopped after step (\d+)", err)[0])
    assert sorted((out / "checkpoints").iterdir())[-1].name == f"step-{reached:09d}"
    again = ali("train", "--resume", "--out", out, "--steps", reached + 2, "--json")
    assert again.code == 0, again.err
    assert json.loads(again.out)["steps"] == reached + 2


def wait_for(ready: Any, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_average_is_what_the_folder_holds(tmp_path: Path) -> None:
    trainer = prepare(options(steps=6, ema=0.9), tmp_path / "run")
    trainer.run()
    average = trainer.training_step.average
    assert average is not None
    assert_same(tensors(tmp_path / "run"), average.weights)
    name = "decoder.layers.0.operation.weight"
    assert not torch.equal(average.weights[name], trainer.model.state_dict()[name])


class Breaking(ALIGame):
    """Goes wrong at its thirteenth step."""

    steps = 0

    def gradients(self, batch: Batch) -> dict[str, Tensor]:
        figures = super().gradients(batch)
        self.steps += 1
        if self.steps == 13:
            figures["loss_generator"] = figures["loss_generator"] * float("nan")
        return figures


class BreakingPlugin:
    __name__ = "breaking"

    @hookimpl
    def register_objectives(self, register: Any) -> None:
        register(Objective(name="breaking", build=Breaking))


def test_divergence_says_the_step_and_keeps_the_last_good_checkpoint(tmp_path: Path, ali: Ali) -> None:
    with registered(BreakingPlugin()):
        result = ali("train", "--objective", "breaking", "--steps", 40, *TINY, "--out", tmp_path / "run")
    assert result.code == 1
    assert "loss_generator became nan at step 13" in result.err
    assert "checkpoints/step-000000010" in result.err
    assert result.err.count("error:") == 1
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-000000010"]
    assert ALI.from_pretrained(tmp_path / "run").sample(1).isfinite().all()


def test_epochs_and_their_order() -> None:
    split = fashion_mini("train")
    batches = Batches(split, 300, seed=1, device=torch.device("cpu"))
    assert batches.steps_per_epoch == 6
    first = torch.cat([batches.next().x for _ in range(6)])
    second = torch.cat([batches.next().x for _ in range(6)])
    assert not torch.equal(first, second)
    assert len(first.flatten(1).unique(dim=0)) == len(first)  # without replacement
    again = Batches(split, 300, seed=1, device=torch.device("cpu"))
    again.seek(1, 0)
    assert torch.equal(torch.cat([again.next().x for _ in range(6)]), second)


def test_recipe_of_the_architecture_is_the_default(tmp_path: Path) -> None:
    recipe = build_registry(only=()).get(Architecture, "cifar10").training
    assert recipe == TrainingDefaults(dataset="cifar10", batch_size=100, epochs=6475, lr=1e-4, beta1=0.5, beta2=0.999)


def test_dry_run_writes_nothing(tmp_path: Path, ali: Ali, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plan = json.loads(ali("train", "--dry-run", "--json").out)
    assert plan["samples"] == 2000
    assert plan["steps"] == plan["config"]["epochs"] * (2000 // plan["config"]["batch_size"])
    assert set(plan["parameters"]) == {"encoder", "decoder", "discriminator"}
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--arch", "fashon"], "unknown architecture 'fashon'; did you mean 'fashion' (ali-plugin)"),
        (["--dataset", "fashion-mnst"], "unknown dataset 'fashion-mnst'; did you mean 'fashion-mnist'"),
        (["--encoder", "cifar10"], "encoder 'cifar10' takes data of shape anyx32x32, but decoder 'fashion'"),
        (["--arch", "cifar10", "--dataset", "fashion-mini"], "dataset 'fashion-mini' has samples of shape"),
        (["--batch-size", "2001"], "--batch-size is 2001, but the training split has 2000 samples"),
        (["--batch-size", "0"], "--batch-size is 0, it has to be positive"),
        (["--lr", "-1"], "--lr is -1.0, it has to be positive"),
        (["--lr", "nan"], "--lr is nan, it has to be positive"),
        (["--epochs", "0"], "--epochs is 0, it has to be positive"),
        (["--steps", "-3"], "--steps is -3, it has to be positive"),
        (["--steps", "3", "--epochs", "3"], "either --epochs or --steps"),
        (["--ema", "1"], "--ema is 1.0, it has to be at least 0 and below 1"),
        (["--seed", "-1"], "--seed is -1"),
        (["--device", "cuda:63"], "device 'cuda:63' is not present; this machine has cpu"),
        (["--device", "toaster"], "device 'toaster' is not present"),
        (["--dataset", "image-folder"], "dataset 'image-folder' needs --data-dir"),
        (["--dataset", "image-folder", "--data-dir", "nowhere"], "the data folder 'nowhere' does not exist"),
        (["--resume"], "is no run that could be continued"),
    ],
)
@pytest.mark.parametrize("dry", [[], ["--dry-run"]], ids=["run", "dry"])
def test_bad_options(arguments: list[str], message: str, dry: list[str], tmp_path: Path, ali: Ali) -> None:
    result = ali("train", *arguments, *dry, "--out", tmp_path / "run")
    assert result.code == 1
    assert message in result.err
    assert result.err.startswith("error: ")
    assert result.err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_folder_in_use(tmp_path: Path, ali: Ali) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    result = ali("train", "--out", tmp_path)
    assert result.code == 1
    assert "is in use; continue its run with --resume, or name another --out" in result.err
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


def test_continuing_refuses_another_run_s_options(trained: Path, ali: Ali) -> None:
    result = ali("train", "--resume", "--out", trained, "--lr", "0.5")
    assert result.code == 1
    assert "the run was started with lr" in result.err


def test_damaged_checkpoint(trained: Path, ali: Ali) -> None:
    state = trained / "checkpoints" / "step-000000030" / "state.safetensors"
    content = state.read_bytes()
    state.unlink()  # a link to what other tests use
    state.write_bytes(content[:1000])
    result = ali("train", "--resume", "--out", trained, "--steps", 31)
    assert result.code == 1
    assert "remove it to use an older one" in result.err
    shutil.rmtree(state.parent)
    assert ali("train", "-q", "--resume", "--out", trained, "--steps", 31).code == 0


RECIPES = {
    "cifar10": ("cifar10", 100, 6475),
    "cifar10-released": ("cifar10", 100, 6475),
    "svhn": ("svhn", 100, 100),
    "celeba": ("celeba", 100, 123),
    "celeba-conditional": ("celeba", 128, 123),
    "tiny-imagenet": ("tiny-imagenet", 128, 125),
    "mixture": ("mixture", 100, 200),
}


@pytest.mark.parametrize("name", RECIPES)
def test_published_recipe(name: str) -> None:
    """Adam with beta2 = 0.999: the paper's "1e-3" is the inverted convention of its library."""
    dataset, batch_size, epochs = RECIPES[name]
    recipe = default_registry().get(Architecture, name).training
    assert recipe == TrainingDefaults(
        dataset=dataset, batch_size=batch_size, epochs=epochs, lr=1e-4, beta1=0.5, beta2=0.999
    )


def test_optimisers_follow_the_recipe(tmp_path: Path) -> None:
    trainer = prepare(options(steps=1, lr=3e-4, beta1=0.4, beta2=0.99), tmp_path / "run")
    assert set(trainer.training_step.optimisers) == {"discriminator", "generator"}
    for optimiser in trainer.training_step.optimisers.values():
        assert isinstance(optimiser, torch.optim.Adam)
        assert optimiser.param_groups[0]["betas"] == (0.4, 0.99)
        assert optimiser.param_groups[0]["lr"] == 3e-4


def test_first_weights_know_the_data_s_mean(tmp_path: Path) -> None:
    trainer = prepare(options(steps=1), tmp_path / "run")
    mean = torch.from_numpy(fashion_mini("train").data[:500] / 255.0).mean(0)
    last = list(trainer.model.part("decoder").parameters())[-1]
    torch.testing.assert_close(torch.sigmoid(last.detach().double()).reshape(1, 28, 28), mean, atol=1e-5, rtol=1e-4)


def test_players_move_from_the_same_old_parameters(tmp_path: Path) -> None:
    """One step equals both players' gradients at the old parameters; an alternating update does not."""
    import copy

    trainer = prepare(options(steps=1), tmp_path / "run")
    model, step = trainer.model, trainer.training_step
    before = copy.deepcopy(model)
    batch = trainer.batches.next()
    torch.manual_seed(1)
    step(batch)
    torch.manual_seed(1)
    game = ALIGame(before)
    game.gradients(batch)
    for player in game.players().values():
        torch.optim.Adam(player, lr=5e-4, betas=(0.5, 0.99)).step()
    for (name, moved), expected in zip(model.named_parameters(), before.parameters(), strict=True):
        torch.testing.assert_close(moved, expected, msg=name)
