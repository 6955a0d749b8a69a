"""Every hook, with what it registers put to use; a hook without a test here fails the last one."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

import tiny
from ali_cli.main import cli
from ali_plugin import ALI
from ali_plugin.datasets import load_split
from ali_plugin.evaluation.context import Context
from ali_plugin.evaluation.evaluate import evaluate
from ali_plugin.training.run import plan, prepare
from ali_registry import Registry, build_registry, hookspecs
from ali_registry.errors import UnknownName

HOOKS = [name for name in vars(hookspecs) if name.startswith("register_")]


@pytest.fixture
def registry() -> Registry:
    return build_registry(only=(), plugins=[tiny])


def ali(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [*map(str, arguments)], catch_exceptions=False)


def fashion_with(part: str) -> ALI:
    """A built-in architecture with one part of a plugin that has the hook for it and no other."""
    registry = build_registry((), [tiny.only(f"register_{part}s")])
    return ALI.from_architecture("fashion", parts={part: "tiny"}, latent_size=32, registry=registry).eval()


def test_register_encoders() -> None:
    model = fashion_with("encoder")
    assert isinstance(model.encoder, tiny.TinyEncoder)
    assert model.encode(torch.rand(2, 1, 28, 28)).mean.shape == (2, 32)


def test_register_decoders() -> None:
    model = fashion_with("decoder")
    assert isinstance(model.decoder, tiny.TinyDecoder)
    assert model.sample(2).shape == (2, 1, 28, 28)


def test_register_discriminators() -> None:
    model = fashion_with("discriminator")
    assert model.config.parts["discriminator"].arguments == {"width": 6}
    assert model.discriminate(torch.rand(2, 1, 28, 28), torch.randn(2, 32)).shape == (2,)


def test_register_architectures(registry: Registry) -> None:
    model = ALI.from_architecture("tiny", registry=registry)
    assert (model.config.data_shape, model.config.latent_size) == (tiny.SHAPE, tiny.LATENT)
    assert model.reconstruct(torch.rand(2, *tiny.SHAPE)).shape == (2, *tiny.SHAPE)


def test_register_datasets(registry: Registry) -> None:
    split = load_split("stripes", "train", data_dir=None, data_shape=tiny.SHAPE, registry=registry)
    assert split.shape == tiny.SHAPE
    assert split.classes == ("0", "1", "2", "3")


def test_register_objectives(registry: Registry, tmp_path: Path) -> None:
    prepare({"architecture": "tiny", "steps": 3, "objective": "halved"}, tmp_path / "run", registry=registry).run()
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["halved"] == 1


def test_register_optimisers(registry: Registry, tmp_path: Path) -> None:
    options = {"architecture": "tiny", "optimiser": "plain", "lr": 0.1, "settings": {"optimiser": {"factor": 0.5}}}
    trainer = prepare(options, tmp_path / "run", registry=registry)
    for optimiser in trainer.training_step.optimisers.values():
        assert type(optimiser).__name__ == "SGD"
        assert optimiser.param_groups[0]["lr"] == 0.05


def test_register_metrics(tiny_registered: None, registry: Registry, tmp_path: Path) -> None:
    ALI.from_architecture("tiny", registry=registry).save_pretrained(tmp_path)
    loaded = ALI.from_pretrained(tmp_path, registry=registry)
    figures = evaluate(Context(loaded, "stripes", registry=registry), ["brightness"], registry)
    shown = json.loads(ali("evaluate", tmp_path, "--metric", "brightness", "--json").stdout)
    assert shown["metrics"] == figures
    assert 0.2 < figures["brightness"]["mean"] < 0.4


def test_register_scorers(tiny_registered: None, registry: Registry, tmp_path: Path) -> None:
    model = ALI.from_architecture("tiny", registry=registry).eval()
    x = torch.rand(3, *tiny.SHAPE)
    assert torch.equal(model.score(x, "glare", times=2.0), 2 * x.flatten(1).amax(1))
    model.save_pretrained(tmp_path / "model")
    asked = ("score", tmp_path / "model", "--scorer", "glare", "--set", "scorer.times=3", "--out", tmp_path / "s.csv")
    assert json.loads(ali(*asked, "--json").stdout)["samples"] == 12


def test_register_callbacks(tiny_registered: None, tmp_path: Path) -> None:
    run = tmp_path / "run"
    options = ["--steps", 4, "--log-every", 2, "--out", run, "-q"]
    assert ali("train", "--arch", "tiny", "--callback", "diary", *options).exit_code == 0
    assert [line.split()[0] for line in (run / "diary.txt").read_text().splitlines()] == ["2", "4"]
    # It watches; it is no part of what the run is, so that the run continues without it, or with it again.
    assert "diary" not in (run / "train_config.json").read_text()
    assert ali("train", "--resume", "--out", run, "--steps", 6, "-q").exit_code == 0
    assert len((run / "diary.txt").read_text().splitlines()) == 2


def test_a_callback_that_nobody_registers_is_refused_before_anything_is_done(
    registry: Registry, tmp_path: Path
) -> None:
    with pytest.raises(UnknownName, match="'diray'; did you mean 'diary'"):
        plan({"architecture": "tiny"}, tmp_path / "run", False, ["diray"], registry=registry)
    with pytest.raises(UnknownName, match="'diary'"):
        prepare({"architecture": "tiny"}, tmp_path / "run", callbacks=["diray"], registry=registry)
    assert not (tmp_path / "run").exists()


def test_register_commands(tiny_registered: None) -> None:
    assert "greet        Greet somebody." in ali("--help").stdout
    assert ali("greet", "--name", "plugin", "--debug").stdout == "hello plugin\n"
    assert "Example: ali greet" in ali("greet", "--help").stdout


def test_removed_again() -> None:
    registry = build_registry(only=(), plugins=[tiny])
    registry.remove(tiny)
    assert [entry for entry in registry.entries() if entry.record.name == "tiny"] == []
    assert registry.add(tiny).error is None


def test_every_hook_has_a_test() -> None:
    tests = {name for name, value in globals().items() if inspect.isfunction(value)}
    assert [hook for hook in HOOKS if f"test_{hook}" not in tests] == []
    assert len(HOOKS) == 11
