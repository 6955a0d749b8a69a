"""The example distribution, built, installed into a fresh environment and used by the real command line."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from environment import FreshEnvironment
from hub.fixtures import LocalHub
from several import Ended

EXAMPLE = Path(__file__).parent.parent / "examples" / "ali-plugin-resnets"
SHORT = ("--steps", 2, "--batch-size", 4, "--device", "cpu", "-q")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> FreshEnvironment:
    """With the example's wheel in it, built from a copy so that nothing is left in the checkout."""
    folder = tmp_path_factory.mktemp("example")
    shutil.copytree(EXAMPLE, folder / "source")
    environment = FreshEnvironment.create(folder / "environment")
    environment.install(folder / "source")
    return environment


@dataclass(frozen=True)
class Used:
    """A run, and how other commands ended that were given it."""

    run: Path
    ended: dict[str, Ended]

    def printed(self, command: str) -> Any:
        """The JSON of a command."""
        return json.loads(self.ended[command].out)


@pytest.fixture(scope="module")
def used(environment: FreshEnvironment, tmp_path_factory: pytest.TempPathFactory) -> Used:
    """What the program does where the example is installed, command after command."""
    folder = tmp_path_factory.mktemp("runs")
    run = folder / "resnet28"
    commands: dict[str, list[object]] = {
        "list": ["list", "--json"],
        "show": ["show", "resnet28", "--json"],
        "train": ["train", "--arch", "resnet28", *SHORT, "--json", "--out", run],
        "evaluate": ["evaluate", run, "--metric", "reconstruction", "--json"],
        "sample": ["sample", run, "-n", 4, "--out", folder / "new.png", "-q"],
        "export": ["export", run, "--out", folder / "model", "-q"],
        "left out": ["sample", run, "--out", folder / "x.png", "--no-plugins"],
    }
    ended = dict(zip(commands, environment.each(*commands.values()), strict=True))
    assert {name: (end.code, end.err) for name, end in ended.items() if end.code and name != "left out"} == {}
    return Used(run, ended)


@pytest.fixture(scope="module")
def run(used: Used) -> Path:
    assert used.printed("train")["steps"] == 2
    return used.run


def test_it_is_listed_with_its_distribution_and_version(used: Used) -> None:
    rows = used.printed("list")
    mine = {(row["kind"], row["name"]) for row in rows if row["distribution"] == "ali-plugin-resnets"}
    assert mine == {
        ("encoder", "resnet"),
        ("decoder", "resnet"),
        ("discriminator", "resnet"),
        ("architecture", "resnet28"),
        ("architecture", "resnet32"),
        ("dataset", "shapes"),
    }
    assert {row["version"] for row in rows if row["distribution"] == "ali-plugin-resnets"} == {"0.3.0"}


def test_it_is_shown_with_every_layer_once(used: Used) -> None:
    shown = used.printed("show")
    layers = [line for line in shown["layers"] if line["part"] == "discriminator"]
    assert sum(line["parameters"] for line in layers) == shown["parameters"]["discriminator"]
    normed = [line for line in layers if line["operation"].startswith(("conv ", "linear"))]
    assert len(normed) == 11  # layers under spectral norm are shown as what they are


def test_it_evaluates_and_samples(used: Used) -> None:
    assert 0 < used.printed("evaluate")["metrics"]["reconstruction"]["mse"] < 1
    assert (used.run.parent / "new.png").stat().st_size > 0


@pytest.mark.slow
def test_it_continues_exactly_with_spectral_norm(environment: FreshEnvironment, run: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    environment.ali("train", "--arch", "resnet28", *SHORT[2:], "--steps", 4, "--out", whole)
    shutil.copytree(run, tmp_path / "halves")
    environment.ali("train", "--resume", "--steps", 4, "-q", "--out", tmp_path / "halves")
    files = [(folder / "model.safetensors").read_bytes() for folder in (whole, tmp_path / "halves")]
    assert files[0] == files[1]


def test_its_model_survives_save_and_load(run: Path) -> None:
    exported = run.parent / "model"
    assert (exported / "model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()
    config = json.loads((exported / "config.json").read_text())
    assert config["plugins"] == [{"distribution": "ali-plugin-resnets", "version": "0.3.0"}]


def test_its_model_is_published_and_loaded(
    environment: FreshEnvironment, run: Path, tmp_path: Path, hub: LocalHub
) -> None:
    mine = hub.env(tmp_path / "writer", hub.writer.token)
    environment.ali("push", run, "alice/resnet28", "-q", env=mine)
    theirs = hub.env(tmp_path / "reader")
    environment.ali("sample", "alice/resnet28", "-n", 4, "-q", "--out", tmp_path / "theirs.png", env=theirs)
    assert (tmp_path / "theirs.png").read_bytes() == (run.parent / "new.png").read_bytes()


@pytest.mark.slow
def test_its_own_tests_pass(environment: FreshEnvironment) -> None:
    source = environment.folder.parent / "source"
    assert "passed" in environment.run("pytest", "-q", "-p", "no:cacheprovider", cwd=source).stdout


def test_without_it_the_error_names_it_and_its_version(environment: FreshEnvironment, used: Used, run: Path) -> None:
    left_out = used.ended["left out"]
    assert left_out.code == 1
    assert b"plugin 'resnets' of ali-plugin-resnets 0.3.0 is left out by --no-plugins" in left_out.err
    environment.run("pip", "uninstall", "--yes", "--quiet", "ali-plugin-resnets")
    removed = environment.ali("sample", run, "--out", "x.png", check=False)
    assert removed.returncode == 1
    expected = "the model needs encoder 'resnet' of ali-plugin-resnets 0.3.0, which is not installed"
    assert expected in removed.stderr
    assert len(removed.stderr.splitlines()) == 1
