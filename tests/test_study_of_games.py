"""The study of the games: what it trains, what it survives, and the lengths of its trainings."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ali_plugin import TrainingDefaults, hookimpl
from ali_plugin.experiments import games, training
from ali_plugin.experiments.games import Variant
from ali_plugin.experiments.record import Options
from ali_plugin.experiments.training import ENDLESS, Clock, Length
from ali_plugin.training.callbacks import Callback, Run
from ali_plugin.training.run import prepare
from ali_plugin.training.trainer import Trainer
from ali_registry import Architecture, build_registry, default_registry
from conftest import Ali

pytestmark = pytest.mark.usefixtures("hasty_classifier")
FEW = (
    Variant("paper", "ali"),
    Variant("relativistic", "relativistic", {"gamma": 0.0, "packing": 2}),
)


def test_games_are_played_from_every_seed_and_go_on(tmp_path: Path, ali: Ali, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(games, "VARIANTS", FEW)
    out = tmp_path / "out"
    command = ("experiment", "games", "--arch", "fashion", "--steps", 3, "--seed", 5, "--out", out, "--json")
    whole = json.loads(ali(*command).out)
    names = ["paper, seed 5", "paper, seed 6", "relativistic, seed 5", "relativistic, seed 6"]
    assert [row["name"] for row in whole["rows"]][2:] == names
    assert whole["settings"]["seeds"] == [5, 6]
    figures = {"mse", "latent_mse", "nearest_neighbour_accuracy", "probe_accuracy", "steps", "training_seconds",
               "distance", "floor", "precision", "recall", "density", "coverage"}  # fmt: skip
    assert all({name.split()[0] for name in row["figures"]} == figures for row in whole["rows"][2:])
    assert (out / "figure.png").stat().st_size > 5000
    errors = [row["figures"]["latent_mse"] for row in whole["rows"][2:]]
    assert len(set(errors)) == len(names), "another seed is another model"
    config = json.loads((out / "runs" / "relativistic-seed-6" / "train_config.json").read_text())
    assert (config["seed"], config["settings"]["objective"]["packing"]) == (6, 2)

    (out / "results.json").unlink()
    shutil.rmtree(out / "runs" / "relativistic-seed-6")
    kept = [*out.rglob("checkpoints/*/*")]
    times = [path.stat().st_mtime_ns for path in kept]
    assert "go on with it by --resume" in ali(*command).err
    again = json.loads(ali(*command, "--resume").out)
    for before, after in zip(whole["rows"][2:], again["rows"][2:], strict=True):
        assert {**after["figures"], "training_seconds": 0} == {**before["figures"], "training_seconds": 0}
    assert [path.stat().st_mtime_ns for path in kept] == times


def test_a_game_that_diverges_costs_its_own_row_alone(
    tmp_path: Path, ali: Ali, monkeypatch: pytest.MonkeyPatch
) -> None:
    wild = Variant("wild", "alice", {"noise": 3e38})
    monkeypatch.setattr(games, "VARIANTS", (wild, FEW[0]))
    done = ali("experiment", "games", "--steps", 40, "--runs", 1, "--out", tmp_path / "out")
    assert done.code == 0, done.err
    assert "wild, seed 0: diverged at step" in done.err
    rows = json.loads((tmp_path / "out" / "results.json").read_text())["rows"]
    assert [bool(row["figures"]) for row in rows] == [True, True, False, True]


def test_games_that_the_nets_cannot_play_are_refused_before_the_first(
    tmp_path: Path, ali: Ali, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(games, "VARIANTS", (FEW[0], Variant("packed", "relativistic", {"packing": 3})))
    done = ali("experiment", "games", "--steps", 3, "--out", tmp_path / "out")
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert "objective.packing is 3, which does not divide the 50 samples of a step" in done.err
    assert not list((tmp_path / "out").rglob("*.safetensors"))


@pytest.mark.parametrize("nets", ["fashion", "fashion-residual"])
def test_the_nets_can_play_every_game(nets: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All are looked at before the first is trained, which is where this ends."""
    looked: list[str] = []

    def check(options: Options, name: str, length: Length, **choices: Any) -> None:
        training.check(options, name, length, **choices)
        looked.append(choices["objective"])

    def train(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(games, "check", check)
    monkeypatch.setattr(games, "train", train)
    options = Options(out=tmp_path, architecture=nets, dataset="fashion-mini", steps=1, runs=1, device="cpu")
    with pytest.raises(KeyboardInterrupt):
        games.games(options)
    assert looked == [variant.objective for variant in games.VARIANTS]
    assert {"vae", "ali", "alice", "hinge", "relativistic"} == set(looked)


def test_the_recipe_of_the_nets_changes_no_game(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Options that a variant does not name are the objective's, also where the nets come with settings of their own."""
    recipe = TrainingDefaults(
        dataset="fashion-mini", batch_size=50, objective="relativistic", settings={"objective": {"cycle_x": 7.0}}
    )
    record = replace(default_registry().get(Architecture, "fashion"), name="with-settings", training=recipe)

    class Plugin:
        @hookimpl
        def register_architectures(self, register: Callable[[Architecture], None]) -> None:
            register(record)

    monkeypatch.setattr(games, "VARIANTS", FEW[1:])
    registry = build_registry(plugins=[Plugin()])
    options = Options(out=tmp_path, architecture="with-settings", steps=1, runs=1, device="cpu", registry=registry)
    games.games(options)
    config = json.loads((tmp_path / "runs" / "relativistic-seed-0" / "train_config.json").read_text())
    assert config["settings"]["objective"]["cycle_x"] == 0.0


def test_schedules_end_with_the_time_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of some minutes has no number of steps, but its rates fall all the same, and again where it goes on."""
    looks = count()
    clock = SimpleNamespace(perf_counter=lambda: next(looks) * 1.0)  # a second passes between two looks at it
    monkeypatch.setattr("ali_plugin.training.trainer.time", clock)
    rates: list[float] = []

    class Rates(Callback):
        def on_log(self, trainer: Run, figures: dict[str, float]) -> None:
            assert isinstance(trainer, Trainer)
            rates.append(trainer.training_step.optimisers["generator"].param_groups[0]["lr"])

    config = {"architecture": "mixture", "steps": ENDLESS, "lr": "linear:1e-3->1e-6", "batch_size": 10, "log_every": 2,
              "sample_every": ENDLESS, "checkpoint_every": ENDLESS, "device": "cpu"}  # fmt: skip
    for minutes, resume in ((0.5, False), (1.0, True)):
        rates.clear()
        result = prepare(config, tmp_path, resume=resume, callbacks=[Clock(minutes), Rates()]).run()
        assert result.seconds == pytest.approx(60 * minutes, abs=2)
        assert not result.interrupted
        assert rates == sorted(rates, reverse=True)
        assert rates[0] > (0.4e-3 if resume else 0.9e-3)
        assert rates[-1] < 0.1e-3
    assert json.loads((tmp_path / "training.json").read_text())["planned"] == result.steps


def test_an_experiment_goes_on_with_changed_data_where_that_is_allowed(tmp_path: Path, ali: Ali) -> None:
    for i in range(60):
        path = tmp_path / "pictures" / ("cat", "dog")[i % 2] / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(i).integers(0, 256, (28, 28), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    command = ("experiment", "semi-supervised", "--dataset", "image-folder", "--data-dir", tmp_path / "pictures",
               "--labels", 4, "--steps", 2, "--out", tmp_path / "out")  # fmt: skip
    assert ali(*command).code == 0
    (tmp_path / "pictures" / "cat" / "00.png").unlink()
    refused = ali(*command, "--resume")
    assert (refused.code, "--allow-changed-data" in refused.err) == (1, True)
    assert ali(*command, "--resume", "--allow-changed-data").code == 0
