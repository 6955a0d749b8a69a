"""Experiments: the ensemble against runs alone, and the commands."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ali_plugin import ALI
from ali_plugin.config import PARTS
from ali_plugin.datasets import load_split
from ali_plugin.experiments.ensemble import EnsembleTraining, Member
from ali_plugin.objectives.ali import ALIGame
from ali_plugin.objectives.game import Game
from ali_plugin.objectives.gan import GANGame
from ali_plugin.training.batches import Batches
from ali_plugin.training.config import TrainConfig
from ali_plugin.training.step import TrainingStep
from conftest import Ali

MEMBERS = (Member(seed=1), Member(seed=2, lr=1e-3, beta1=0.8, init_std=0.05), Member(seed=3, lr=5e-5, beta1=0.1))


@pytest.mark.parametrize("game", [ALIGame, GANGame])
def test_an_ensemble_is_its_runs(game: type[Game]) -> None:
    split = load_split("mixture", "train", data_dir=None, data_shape=(2,))
    training = EnsembleTraining("mixture", game, MEMBERS, split, batch_size=32)
    for _ in range(4):
        training.step()
    for i, member in enumerate(MEMBERS):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(member.seed)
            model = ALI.from_architecture("mixture", arguments={kind: {"init_std": member.init_std} for kind in PARTS})
            batches = Batches(split, 32, member.seed, torch.device("cpu"))
            config = TrainConfig(
                architecture="mixture", dataset="mixture", steps=4, lr=member.lr, beta1=member.beta1, seed=member.seed
            )
            start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
            step = TrainingStep(game(model.train()), config)
            for _ in range(4):
                step(batches.next())
        together = training.run(i).state_dict()
        for name, tensor in model.state_dict().items():
            # Rounding moves a weight whose gradient is all but zero by as much as others, so weights are not
            # compared one by one.
            moved = (tensor - start[name]).float().norm()
            assert (together[name] - tensor).float().norm() <= 0.01 * moved + 1e-6, name
        assert not torch.equal(
            start["decoder.layers.1.operation.weight"], together["decoder.layers.1.operation.weight"]
        )


def test_results_are_deterministic_and_complete(tmp_path: Path, ali: Ali) -> None:
    shown = []
    for name in "ab":
        command = ("experiment", "mixture", "--steps", 3, "--runs", 2, "--out", tmp_path / name)
        assert ali(*command).code == 0
        shown.append(json.loads((tmp_path / name / "results.json").read_text()))
    first, second = shown
    assert first["command"].startswith("ali experiment mixture --steps 3")
    assert first["versions"].keys() >= {"ali-plugin", "torch", "python"}
    assert first["hardware"]["threads"] >= 1
    assert first["seconds"] > 0
    assert [row["name"] for row in first["rows"]][:4] == [
        "ALI", "GAN, inverse mapping", "GAN, post-hoc inference", "VAE",
    ]  # fmt: skip
    for one, two in zip(first["rows"], second["rows"], strict=True):
        assert without_times(one["figures"]) == without_times(two["figures"])
        assert 0 <= one["figures"]["modes"] <= 25
    assert first["settings"]["runs"] == second["settings"]["runs"]
    lrs = {run["lr"] for run in first["settings"]["runs"]["ALI, 2 random settings"]}
    assert len(lrs) == 2
    assert "Trained for 3 of the published 200,000 steps" in first["notes"][1]
    assert (tmp_path / "a" / "figure.png").stat().st_size > 10_000


def without_times(figures: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in figures.items() if name != "training_seconds"}


def test_experiments_on_pictures(tmp_path: Path, ali: Ali) -> None:
    wanted = {
        "representation": {"l2_svm_error_50", "nearest_neighbour_accuracy", "mse", "path_length"},
        "semi-supervised": {"test_error"},
        "conditional": {"obeyed", "classifier_accuracy", "mse"},
    }
    for name, figures in wanted.items():
        out = tmp_path / name
        done = ali("experiment", name, "--quick", "--steps", 4, "--labels", 50, "--out", out, "--json")
        assert done.code == 0, done.err
        rows = json.loads(done.out)["rows"]
        assert figures <= rows[0]["figures"].keys()
        assert rows[0]["figures"]["steps"] == 4
        assert (out / "figure.png").stat().st_size > 5000
    folder = tmp_path / "representation" / "runs" / "ali"
    assert ALI.from_pretrained(folder).sample(1).shape == (1, 1, 28, 28)


def test_a_training_has_a_length_in_time(tmp_path: Path, ali: Ali) -> None:
    out = tmp_path / "timed"
    done = ali("experiment", "conditional", "--minutes", 0.02, "--out", out, "--json")
    figures = json.loads(done.out)["rows"][0]["figures"]
    assert figures["steps"] >= 1
    assert 1.2 <= figures["training_seconds"] < 60


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mixture", "--arch", "cifar10"], "has its own nets and data"),
        (["mixture", "--minutes", "1"], "not --minutes"),
        (["mixture", "--steps", "0"], "--steps is 0, it has to be positive"),
        (["conditional", "--steps", "1", "--minutes", "1"], "either --steps or --minutes"),
        (["representation", "--dataset", "mixture"], "dataset 'mixture' has samples of shape (2,)"),
        (["semi-supervised", "--steps", "1", "--labels", "3"], "--labels is 3, but there are 10 classes"),
    ],
)
def test_bad_input(
    arguments: list[str], message: str, tmp_path: Path, ali: Ali, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = ali("experiment", *arguments)
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert message in result.err


def test_the_results_page_is_fresh() -> None:
    script = Path(__file__).parent.parent / "benchmarks" / "make_results.py"
    subprocess.run([sys.executable, script, "--check"], check=True)
