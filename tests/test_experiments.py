"""Experiments: the ensemble against runs alone, and the commands."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from ali_plugin import ALI
from ali_plugin.config.model_config import PARTS
from ali_plugin.datasets import load_split
from ali_plugin.experiments.ensemble import EnsembleTraining, Member
from ali_plugin.experiments.record import Options
from ali_plugin.experiments.study import study
from ali_plugin.objectives.ali import ALIGame
from ali_plugin.objectives.game import Game
from ali_plugin.objectives.gan import GANGame
from ali_plugin.training.batches import Batches
from ali_plugin.training.config import TrainConfig
from ali_plugin.training.step import TrainingStep, remaining_rate
from conftest import Ali

MEMBERS = (
    Member(seed=1),
    Member(seed=2, lr=1e-3, beta1=0.8, init_std=0.05),
    Member(seed=3, lr=5e-4, lr_discriminator=2e-3, beta1=0.1, lr_decay=True),
    Member(seed=4, lr=1e-3, ema=0.5),
)


@pytest.mark.parametrize("game", [ALIGame, GANGame])
def test_an_ensemble_is_its_runs(game: type[Game]) -> None:
    split = load_split("mixture", "train", data_dir=None, data_shape=(2,))
    training = EnsembleTraining("mixture", game, MEMBERS, split, total_steps=5, batch_size=32)
    for _ in range(4):
        training.step()
    for i, member in enumerate(MEMBERS):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(member.seed)
            model = ALI.from_architecture("mixture", arguments={kind: {"init_std": member.init_std} for kind in PARTS})
            batches = Batches(split, 32, member.seed, torch.device("cpu"))
            config = TrainConfig(
                architecture="mixture", dataset="mixture", steps=4, lr=member.lr,
                lr_discriminator=member.lr_discriminator, beta1=member.beta1, ema=member.ema, seed=member.seed,
            )  # fmt: skip
            start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
            step = TrainingStep(game(model.train()), config)
            for t in range(4):
                if member.lr_decay:
                    step.set_learning_rate(remaining_rate(t, 5))
                step(batches.next())
        together = training.run(i).state_dict()
        alone = step.average.weights if step.average else model.state_dict()
        for name, tensor in alone.items():
            # Rounding moves a weight whose gradient is all but zero by as much as others, so weights are not
            # compared one by one.
            moved = (tensor - start[name]).float().norm()
            assert (together[name] - tensor).float().norm() <= 0.01 * moved + 1e-6, name
        assert not torch.equal(
            start["decoder.layers.1.operation.weight"], together["decoder.layers.1.operation.weight"]
        )


@pytest.mark.parametrize("cores", [2, 5])
def test_a_study_is_the_same_on_any_cores(cores: int, tmp_path: Path) -> None:
    """On a CPU the members are shared out among the cores; each must come back as itself, in its place.

    After two steps: later, what rounding does to Adam where a gradient is all but zero shows in the counts.
    """
    members = [Member(seed=seed, lr=1e-3, init_std=0.1) for seed in (1, 2, 3)]  # samples differ from the first step
    found, before = [], torch.get_num_threads()
    try:
        for threads in (1, cores):
            torch.set_num_threads(threads)
            options = Options(out=tmp_path / str(threads), device="cpu")
            found.append(study("ali", ALIGame, members, 2, options))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    for one, other, member in zip(*found, members, strict=True):
        assert one["seed"] == other["seed"] == member.seed
        assert other["reverse_kl"] == pytest.approx(one["reverse_kl"], rel=0.05)
    assert len({run["reverse_kl"] for run in found[0]}) == len(members)


SHORT = ("--steps", "4", "--runs", "2", "--label-sets", "2")
FIGURES = {
    "mixture": {"modes", "high_quality", "reverse_kl", "modes_by_responsibility", "latent_coverage", "mse"},
    "representation": {"l2_svm_error_100", "nearest_neighbour_accuracy", "probe_accuracy", "mse", "path_length"},
    "semi-supervised": {"test_error"},
    "conditional": {"obeyed", "classifier_accuracy", "mse"},
}


def shown_commands() -> list[str]:
    """The commands that the pages show, each once; they are run for a few steps."""
    pages = sorted((Path(__file__).parent.parent / "docs").glob("*.md"))
    return sorted({line for page in pages for line in re.findall(r"^\$ (ali experiment .*)$", page.read_text(), re.M)})


def test_the_pages_show_every_experiment() -> None:
    assert {command.split()[2] for command in shown_commands()} == set(FIGURES)


@pytest.mark.parametrize("command", shown_commands())
def test_a_command_of_the_pages(command: str, tmp_path: Path, ali: Ali, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = shlex.split(re.sub(r" --minutes \d+", "", command))[1:]
    done = ali(*words, *SHORT, "--json")
    assert done.code == 0, done.err
    name, printed = words[1], json.loads(done.out)
    out = tmp_path / "runs" / (Path(words[words.index("--out") + 1]).name if "--out" in words else f"experiment-{name}")
    assert printed == json.loads((out / "results.json").read_text())
    assert printed["command"].startswith(f"ali experiment {name}")
    assert printed["versions"].keys() >= {"ali-plugin", "torch", "python"}
    assert printed["hardware"]["threads"] >= 1
    assert printed["seconds"] > 0
    row = printed["rows"][0]["figures"]
    assert row.keys() >= FIGURES[name]
    assert row["steps"] == 4
    assert (out / "figure.png").stat().st_size > 5000
    models = [path for path in (out / "runs").iterdir() if path.is_dir()]
    assert models
    assert len(ALI.from_pretrained(models[0]).config.data_shape) in (1, 3)
    if name == "mixture":
        check_study(printed)


def check_study(printed: dict[str, Any]) -> None:
    assert [row["name"] for row in printed["rows"][:4]] == [
        "ALI", "GAN, inverse mapping", "GAN, post-hoc inference", "VAE",
    ]  # fmt: skip
    for row in printed["rows"]:
        assert 0 <= row["figures"]["modes"] <= row["figures"]["modes_by_responsibility"] <= 25
    runs = printed["settings"]["runs"]["ALI, 2 random settings"]
    assert len({run["lr"] for run in runs}) == 2
    means = printed["rows"][4]["figures"]
    assert means["modes_by_responsibility"] == sum(run["modes_by_responsibility"] for run in runs) / 2
    assert "Trained for 4 of the published 200,000 steps" in printed["notes"][1]


def test_the_same_seed_gives_the_same_results(tmp_path: Path, ali: Ali) -> None:
    found = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        command = ("experiment", "conditional", "--steps", 3, "--seed", seed, "--out", tmp_path / name, "--json")
        rows = json.loads(ali(*command).out)["rows"]
        found.append([{**row["figures"], "training_seconds": 0} for row in rows])
    assert found[0] == found[1]
    assert found[0] != found[2]


def test_a_stopped_experiment_goes_on(tmp_path: Path, ali: Ali) -> None:
    """What is trained is not trained again, the rest is: the results are those of one go."""
    out = tmp_path / "out"
    command = ("experiment", "mixture", "--steps", 3, "--runs", 2, "--out", out, "--json")
    whole = json.loads(ali(*command).out)["rows"]
    (out / "results.json").unlink()
    shutil.rmtree(out / "runs" / "vae" / "checkpoints")  # stopped before its first
    (out / "runs" / "study-ali-tuned.json").unlink()
    kept = [*out.rglob("*study-*.json"), *out.rglob("checkpoints/*/*")]
    assert len(kept) >= 5
    times = [path.stat().st_mtime_ns for path in kept]
    refused = ali(*command)
    assert (refused.code, "go on with it by --resume" in refused.err) == (1, True)
    again = json.loads(ali(*command, "--resume").out)["rows"]
    for before, after in zip(whole, again, strict=True):
        assert {**after["figures"], "training_seconds": 0} == {**before["figures"], "training_seconds": 0}
    assert [path.stat().st_mtime_ns for path in kept] == times


def test_resume_leaves_other_folders_alone(tmp_path: Path, ali: Ali) -> None:
    mine = tmp_path / "runs" / "vae" / "notes.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")
    done = ali("experiment", "mixture", "--steps", 3, "--runs", 2, "--out", tmp_path, "--resume")
    assert (done.code, "is no folder of the experiment 'mixture'" in done.err) == (1, True)
    assert mine.read_text() == "mine"


def test_a_training_has_a_length_in_time(tmp_path: Path, ali: Ali) -> None:
    out = tmp_path / "timed"
    done = ali("experiment", "conditional", "--minutes", 0.02, "--out", out, "--json")
    figures = json.loads(done.out)["rows"][0]["figures"]
    assert figures["steps"] >= 1
    assert 1.2 <= figures["training_seconds"] < 60
    done = ali("experiment", "conditional", "--minutes", 0.02, "--out", out, "--json", "--resume")
    assert json.loads(done.out)["rows"][0]["figures"]["steps"] == figures["steps"], "its time is over"


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


@pytest.mark.parametrize("script", ["make_results.py", "make_engine_results.py"])
def test_the_results_pages_are_fresh(script: str) -> None:
    subprocess.run([sys.executable, Path(__file__).parent.parent / "docs" / script, "--check"], check=True)
