"""Experiments: studies against runs alone, and the commands."""

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
from ali_plugin.evaluation.modes import PAPER_SAMPLES, mode_counts
from ali_plugin.experiments.games import VARIANTS
from ali_plugin.experiments.record import Options
from ali_plugin.experiments.study import Member, study
from ali_plugin.objectives.ali import ALIGame
from conftest import Ali

pytestmark = pytest.mark.usefixtures("hasty_classifier")


def test_a_study_is_the_same_on_any_cores(tmp_path: Path) -> None:
    """The members are shared out among processes; each must come back as itself, in its place."""
    members = [
        Member(seed=1, lr=1e-3, init_std=0.1),  # samples differ from the first step
        Member(seed=2, lr=1e-3, init_std=0.1, lr_discriminator=2e-3, lr_decay=True),
        Member(seed=3, lr=1e-3, init_std=0.1, ema=0.5),
    ]
    found, before = [], torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(study("ali", ALIGame, members, 2, Options(out=tmp_path / str(threads), device="cpu")))
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1]
    assert [run["seed"] for run in found[0]] == [1, 2, 3]
    assert len({run["reverse_kl"] for run in found[0]}) == len(members)


def test_a_member_of_a_study_is_the_run_that_train_makes(tmp_path: Path, ali: Ali) -> None:
    arguments = ("--arch", "mixture", "--steps", "3", "--lr", "1e-3", "--seed", "1", "--device", "cpu")
    assert ali("-q", "train", *arguments, "--out", tmp_path / "run").code == 0
    samples = ALI.from_pretrained(tmp_path / "run").sample(PAPER_SAMPLES, generator=torch.Generator().manual_seed(0))
    (found,) = study("ali", ALIGame, [Member(seed=1, lr=1e-3)], 3, Options(out=tmp_path, device="cpu"))
    counts = mode_counts(samples)
    assert {name: found[name] for name in counts} == pytest.approx(counts, rel=1e-6)


SHORT = ("--steps", "4", "--runs", "2", "--label-sets", "2")
ONE_SEED = ("--runs", "1")
MANY_MODELS = ("games", "representation")  # each from one seed
FIGURES = {
    "mixture": {"modes", "high_quality", "reverse_kl", "modes_by_responsibility", "latent_coverage", "mse"},
    "representation": {"l2_svm_error_100", "nearest_neighbour_accuracy", "probe_accuracy", "mse", "path_length"},
    "semi-supervised": {"test_error"},
    "conditional": {"obeyed", "classifier_accuracy", "mse"},
    "modes": {"modes", "high_quality", "reverse_kl", "latent_coverage"},
    "games": {"nearest_neighbour_accuracy", "probe_accuracy"},
    "anomaly": {"auroc", "auroc_deviation", "average_precision", "fit_seconds"},
}


SLOW = ("games",)  # thirteen trainings; test_study_of_games.py makes the same of a few


def shown_commands() -> list[str]:
    """The commands that the pages show, each once, whatever its length is; they are run for a few steps."""
    pages = sorted((Path(__file__).parent.parent / "docs").glob("*.md"))
    shown = [line for page in pages for line in re.findall(r"^\$ (ali experiment .*)$", page.read_text(), re.M)]
    return sorted({re.sub(r" --(?:minutes|seconds) \d+", "", line) for line in shown})


def test_the_pages_show_every_experiment() -> None:
    assert {command.split()[2] for command in shown_commands()} == set(FIGURES)


@pytest.mark.parametrize(
    "command",
    [pytest.param(one, marks=pytest.mark.slow) if one.split()[2] in SLOW else one for one in shown_commands()],
)
def test_a_command_of_the_pages(command: str, tmp_path: Path, ali: Ali, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = shlex.split(command)[1:]
    name = words[1]
    done = ali(*words, *SHORT, *(ONE_SEED if name in MANY_MODELS else ()), "--json")
    assert done.code == 0, done.err
    printed = json.loads(done.out)
    out = tmp_path / "runs" / (Path(words[words.index("--out") + 1]).name if "--out" in words else f"experiment-{name}")
    assert printed == json.loads((out / "results.json").read_text())
    assert printed["command"].startswith(f"ali experiment {name}")
    assert printed["versions"].keys() >= {"ali-plugin", "torch", "python"}
    assert int(printed["hardware"]["threads"]) >= 1
    assert printed["seconds"] > 0
    assert printed["rows"][0]["figures"].keys() >= FIGURES[name]
    assert 4 in [row["figures"].get("steps") for row in printed["rows"][:3]]
    assert (out / "figure.png").stat().st_size > 5000
    models = [path for path in (out / "runs").iterdir() if path.is_dir()]
    assert models
    assert len(ALI.from_pretrained(models[0]).config.data_shape) in (1, 3)
    if name in CHECKS:
        CHECKS[name](printed)


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


def check_baselines(printed: dict[str, Any]) -> None:
    """A code stands beside what needs no model, which is none of a model's own figures."""
    *models, raw, pca = printed["rows"]
    trained = ("ALI", "BiGAN", "GAN, inverse mapping", "VAE")
    assert [row["name"] for row in models[:-1]] == [f"{name}, seed 0" for name in trained]
    assert {name.split()[0] for name in models[0]["figures"]} >= {"distance", "recall", "kid_distance", "kid_floor"}
    assert (models[-1]["name"], raw["name"], pca["name"]) == ("no training", "raw pixels", "PCA, 16 numbers")
    assert raw["figures"].keys() == {"nearest_neighbour_accuracy", "probe_accuracy"}
    assert pca["figures"].keys() == {"nearest_neighbour_accuracy", "probe_accuracy", "mse"}
    assert raw["figures"]["nearest_neighbour_accuracy"] > 0.75
    assert not [name for row in models for name in row["figures"] if name.endswith(("_raw", "_pca"))]


def check_games(printed: dict[str, Any]) -> None:
    """Each game is played as it is called, and differs from every other one; a row has all figures or says why not."""
    raw, pca, *rows = printed["rows"]
    assert [row["name"] for row in (raw, pca)] == ["raw pixels", "PCA, 16 numbers"]
    assert [row["name"] for row in rows] == [f"{variant.name}, seed 0" for variant in VARIANTS]
    keys = {"mse", "latent_mse", "nearest_neighbour_accuracy", "probe_accuracy", "steps", "training_seconds"}
    for row in rows:
        assert {name for name in row["figures"] if "classifier" not in name} == keys
        assert {name.split()[0] for name in row["figures"]} >= {"distance", "floor", "recall", "coverage"}
    assert len({row["figures"]["latent_mse"] for row in rows}) == len(VARIANTS), "they are different games"


def check_seeds(printed: dict[str, Any]) -> None:
    """Each number of labels, with and without the rest, from each seed, which are other models."""
    assert [row["name"] for row in printed["rows"]] == [
        f"{name}, {count} labels, seed {seed}"
        for count in ("100", "1,000")
        for name in ("semi-supervised ALI", "labels alone")
        for seed in (0, 1)
    ]
    assert printed["settings"]["seeds"] == [0, 1]
    assert len({row["figures"]["test_error"] for row in printed["rows"]}) > 4


def check_both_games(printed: dict[str, Any]) -> None:
    """The recipe's game and the paper's, each from each seed."""
    rows = printed["rows"]
    played = ("relativistic", "ALI")
    assert [row["name"] for row in rows] == [f"{name}, seed {seed}" for name in played for seed in (0, 1)]
    assert rows[0]["figures"]["reverse_kl"] != rows[2]["figures"]["reverse_kl"]
    assert printed["published"][0]["figure"] == "13.4 ± 5.8 (8 to 25)"


def check_conditional(printed: dict[str, Any]) -> None:
    assert [row["name"] for row in printed["rows"]] == ["conditional ALI, seed 0", "conditional ALI, seed 1"]


CHECKS = {
    "conditional": check_conditional,
    "modes": check_both_games,
    "mixture": check_study,
    "representation": check_baselines,
    "games": check_games,
    "semi-supervised": check_seeds,
}


OF_RESIDUAL_NETS = {
    "representation": ["relativistic", "ALI", "GAN, inverse mapping", "VAE"],
    "semi-supervised": ["relativistic with labels, 20 labels", "semi-supervised ALI, 20 labels"],
    "conditional": ["conditional relativistic", "conditional ALI"],
}


@pytest.mark.parametrize("name", OF_RESIDUAL_NETS)
def test_nets_with_a_game_of_their_own_play_it_first(name: str, tmp_path: Path, ali: Ali) -> None:
    """By their recipe; the paper's games, which have no penalties, go by the paper's rates."""
    done = ali("experiment", name, "--arch", "residual-tiny", "--dataset", "fashion-mini", "--steps", 1, "--runs", 1,
               "--labels", 20, "--label-sets", 1, "--out", tmp_path, "--json")  # fmt: skip
    assert done.code == 0, done.err
    expected = OF_RESIDUAL_NETS[name]
    rows = json.loads(done.out)["rows"]
    assert [row["name"] for row in rows[: len(expected)]] == [f"{model}, seed 0" for model in expected]
    assert "mse" in rows[0]["figures"] or "test_error" in rows[0]["figures"]
    configs = [json.loads(path.read_text()) for path in tmp_path.glob("runs/*/train_config.json")]
    own = [config for config in configs if config["objective"] == "relativistic"]
    assert len(own) == 1
    assert own[0]["settings"]["objective"]["cycle_x"] == 20.0, "the recipe's"
    papers = [config for config in configs if config["objective"] in ("ali", "gan-inverse")]
    assert all((config["lr"], config["beta1"]) == (1e-4, 0.5) for config in papers)


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
    for path in (out / "runs" / "vae").iterdir():  # stopped before its first checkpoint
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in ("train_config.json", "metrics.jsonl"):
            path.unlink()
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
        (["modes", "--arch", "fashion"], "counts those of 'mixture' and 'stacked-mnist', not of 'fashion-mini'"),
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
