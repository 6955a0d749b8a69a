"""The example distribution, built, installed into a fresh environment and used by the real command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from environment import FreshEnvironment
from hub.fixtures import LocalHub

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


@pytest.fixture(scope="module")
def run(environment: FreshEnvironment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "resnet28"
    done = environment.ali("train", "--arch", "resnet28", *SHORT, "--json", "--out", out)
    assert json.loads(done.stdout)["steps"] == 2
    return out


def test_it_is_listed_with_its_distribution_and_version(environment: FreshEnvironment) -> None:
    rows = json.loads(environment.ali("list", "--json").stdout)
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


def test_it_is_shown_with_every_layer_once(environment: FreshEnvironment) -> None:
    shown = json.loads(environment.ali("show", "resnet28", "--json").stdout)
    layers = [line for line in shown["layers"] if line["part"] == "discriminator"]
    assert sum(line["parameters"] for line in layers) == shown["parameters"]["discriminator"]
    normed = [line for line in layers if line["operation"].startswith(("Conv2d", "Linear"))]
    assert len(normed) == 11  # layers under spectral norm are shown as what they are


def test_it_evaluates_and_samples(environment: FreshEnvironment, run: Path, tmp_path: Path) -> None:
    done = environment.ali("evaluate", run, "--metric", "reconstruction", "--json")
    assert 0 < json.loads(done.stdout)["metrics"]["reconstruction"]["mse"] < 1
    environment.ali("sample", run, "-n", 4, "--out", tmp_path / "new.png", "-q")
    assert (tmp_path / "new.png").stat().st_size > 0


@pytest.mark.slow
def test_it_continues_exactly_with_spectral_norm(environment: FreshEnvironment, run: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    environment.ali("train", "--arch", "resnet28", *SHORT[2:], "--steps", 4, "--out", whole)
    shutil.copytree(run, tmp_path / "halves")
    environment.ali("train", "--resume", "--steps", 4, "-q", "--out", tmp_path / "halves")
    files = [(folder / "model.safetensors").read_bytes() for folder in (whole, tmp_path / "halves")]
    assert files[0] == files[1]


def test_its_model_survives_save_and_load(environment: FreshEnvironment, run: Path, tmp_path: Path) -> None:
    environment.ali("export", run, "--out", tmp_path / "model", "-q")
    assert (tmp_path / "model" / "model.safetensors").read_bytes() == (run / "model.safetensors").read_bytes()
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    assert config["plugins"] == [{"distribution": "ali-plugin-resnets", "version": "0.3.0"}]


def test_its_model_is_published_and_loaded(
    environment: FreshEnvironment, run: Path, tmp_path: Path, hub: LocalHub
) -> None:
    mine = hub.env(tmp_path / "writer", hub.writer.token)
    environment.ali("push", run, "alice/resnet28", "-q", env=mine)
    theirs = hub.env(tmp_path / "reader")
    environment.ali("sample", "alice/resnet28", "-n", 4, "-q", "--out", tmp_path / "theirs.png", env=theirs)
    environment.ali("sample", run, "-n", 4, "-q", "--out", tmp_path / "mine.png")
    assert (tmp_path / "theirs.png").read_bytes() == (tmp_path / "mine.png").read_bytes()


@pytest.mark.slow
def test_its_own_tests_pass(environment: FreshEnvironment) -> None:
    source = environment.folder.parent / "source"
    assert "passed" in environment.run("pytest", "-q", "-p", "no:cacheprovider", cwd=source).stdout


def test_without_it_the_error_names_it_and_its_version(environment: FreshEnvironment, run: Path) -> None:
    left_out = environment.ali("sample", run, "--out", "x.png", "--no-plugins", check=False)
    assert left_out.returncode == 1
    assert "plugin 'resnets' of ali-plugin-resnets 0.3.0 is left out by --no-plugins" in left_out.stderr
    environment.run("pip", "uninstall", "--yes", "--quiet", "ali-plugin-resnets")
    removed = environment.ali("sample", run, "--out", "x.png", check=False)
    assert removed.returncode == 1
    expected = "the model needs encoder 'resnet' of ali-plugin-resnets 0.3.0, which is not installed"
    assert expected in removed.stderr
    assert len(removed.stderr.splitlines()) == 1
