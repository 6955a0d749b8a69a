"""Checkpoints and configs of runs from elsewhere: whatever they hold, the end is an error of ours, or a run."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor

from ali_plugin.errors import ALIError, ConfigError, WeightsError
from ali_plugin.training.run import prepare
from conftest import Ali

OPTIONS = {"architecture": "tiny", "device": "cpu", "log_every": 1, "checkpoint_every": 2, "ema": 0.9}
CHECKPOINT = Path("checkpoints") / "step-000000004"
STATE, NUMBERS, CONFIG = CHECKPOINT / "state.safetensors", CHECKPOINT / "state.json", Path("train_config.json")
fuzzed = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


pytestmark = pytest.mark.usefixtures("tiny_registered")


@pytest.fixture(scope="module")
def run_once(tiny_registered: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("once") / "run"
    prepare({**OPTIONS, "steps": 4}, out).run()
    return out


@pytest.fixture
def run(run_once: Path, tmp_path: Path) -> Path:
    """The test's own run of four steps, with averaged weights and two checkpoints."""
    return Path(shutil.copytree(run_once, tmp_path / "run"))


def resumed(run: Path, pristine: Path) -> Exception | None:
    """Continue the run by a step and put its files back; any error that is not of ours is raised."""
    found = None
    try:
        prepare({"steps": 5}, run, resume=True).run()
    except ALIError as error:
        found = error
    finally:
        shutil.rmtree(run)
        shutil.copytree(pristine, run)
    assert len(str(found)) < 3000
    return found


def change(path: Path, make: Callable[[dict[str, Any]], object]) -> None:
    value = json.loads(path.read_text())
    make(value)
    path.write_text(json.dumps(value))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([0, -1, 1, 2**31, 2**63 - 1, 2**63, 2**64, 10**9, 10**30, -(10**30)])
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["", "\0", "\ud800", "a" * 5000, "../..", "tiny", "cpu", "meta", "cuda", "nan", "fashion"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
NUMBER_KEYS = ["step", "epoch", "index", "seconds", "learning_rate_factor", "average_updates"]


@fuzzed
@given(key=st.sampled_from([*NUMBER_KEYS, "other"]), value=JSON)
def test_numbers_of_another_kind_or_range(key: str, value: Any, run: Path, run_once: Path) -> None:
    change(run / NUMBERS, lambda numbers: numbers.update({key: value}))
    resumed(run, run_once)


@pytest.mark.parametrize("key", NUMBER_KEYS)
@pytest.mark.parametrize("value", [-1, -0.5, 2**62, 1e300, "4", None, True, [], {}, "\0", 0.5, 10**12])
def test_tampered_numbers_are_refused_by_name(key: str, value: Any, run: Path, run_once: Path) -> None:
    change(run / NUMBERS, lambda numbers: numbers.update({key: value}))
    if (value == 0.5 and key in ("seconds", "learning_rate_factor")) or (value == 10**12 and key == "seconds"):
        assert resumed(run, run_once) is None
    else:
        error = resumed(run, run_once)
        assert isinstance(error, ConfigError)
        assert key in str(error)
        assert "to use an older one" in str(error)


@pytest.mark.parametrize("key", NUMBER_KEYS[:4])
def test_missing_numbers_are_named(key: str, run: Path, run_once: Path) -> None:
    change(run / NUMBERS, lambda numbers: numbers.pop(key))
    assert key in str(resumed(run, run_once))


def test_a_position_outside_of_the_epoch_is_refused(run: Path, run_once: Path) -> None:
    change(run / NUMBERS, lambda numbers: numbers.update({"index": 11}))
    assert "of an epoch of 10" in str(resumed(run, run_once))


def config_keys() -> list[str]:
    from dataclasses import fields

    from ali_plugin.training.config import TrainConfig

    return [field.name for field in fields(TrainConfig) if field.name != "compile"]  # minutes, and allowed


@fuzzed
@given(key=st.sampled_from([*config_keys(), "other"]), value=JSON)
def test_configs_of_another_kind_or_range(key: str, value: Any, run: Path, run_once: Path) -> None:
    change(run / CONFIG, lambda config: config.update({key: value}))
    resumed(run, run_once)


@pytest.mark.parametrize("key", config_keys())
def test_no_choice_of_a_config_takes_a_value_of_another_kind(key: str, run: Path, run_once: Path) -> None:
    wrong: list[Any] = [[], {}, -1, 2**62, 1e300, "\0", "x" * 5000, -0.5]
    for value in wrong:
        change(run / CONFIG, lambda config: config.update({key: value}))  # noqa: B023
        error = resumed(run, run_once)
        # Another seed is another order of the data, and a sound one; no settings are those of an earlier version.
        if (key, value) not in (("seed", 2**62), ("settings", {})):
            assert error is not None, (key, value)


@fuzzed
@given(data=st.binary(max_size=300), target=st.sampled_from([STATE, NUMBERS, CONFIG]))
def test_files_of_any_bytes(data: bytes, target: Path, run: Path, run_once: Path) -> None:
    (run / target).write_bytes(data)
    assert resumed(run, run_once) is not None


@fuzzed
@given(
    target=st.sampled_from([STATE, NUMBERS, CONFIG]),
    places=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=8),
    cut=st.none() | st.integers(0, 10**5),
    head=st.booleans(),
)
def test_flipped_bytes(
    target: Path, places: list[tuple[int, int]], cut: int | None, head: bool, run: Path, run_once: Path
) -> None:
    content = bytearray((run / target).read_bytes())
    for place, value in places:
        content[place % min(len(content), 3000 if head else len(content))] = value
    (run / target).write_bytes(content[:cut])
    resumed(run, run_once)


def other(tensor: Tensor, how: str) -> Tensor:
    """A tensor that does not fit where this one does."""
    if how == "shape":
        return torch.zeros(*tensor.shape, 2, dtype=tensor.dtype)
    if how == "fewer":
        return tensor.flatten()[: max(tensor.numel() // 2, 0)].clone()
    if how == "rows":
        return torch.zeros((tensor.shape[0] + 1, *tensor.shape[1:]) if tensor.ndim else (1,), dtype=tensor.dtype)
    if how == "empty":
        return torch.empty(0, dtype=tensor.dtype)
    kinds = {"half": torch.float16, "double": torch.float64, "int": torch.int64, "bool": torch.bool}
    kind = kinds[how]
    return tensor.to(torch.int32 if tensor.dtype == kind else kind)


def kinds_of_tensors() -> list[str]:
    return ["model.", "average.", "optimiser.generator.", "optimiser.discriminator.", "random.cpu."]


@pytest.mark.parametrize("how", ["shape", "fewer", "rows", "empty", "half", "double", "int", "bool"])
def test_every_tensor_is_compared_before_anything_is_loaded(how: str, run: Path, run_once: Path) -> None:
    tensors = load_file(run / STATE)
    tried = 0
    for name in tensors:
        changed = other(tensors[name], how)
        if changed.shape == tensors[name].shape and changed.dtype == tensors[name].dtype:
            continue
        save_file({**tensors, name: changed}, run / STATE)
        error = resumed(run, run_once)
        assert isinstance(error, WeightsError), name
        assert "remove it to use an older one" in str(error)
        tried += 1
    assert tried >= len(tensors) // 2
    for kind in kinds_of_tensors():
        assert any(name.startswith(kind) for name in tensors)


def test_missing_and_added_tensors_are_refused(run: Path, run_once: Path) -> None:
    tensors = load_file(run / STATE)
    for name in tensors:
        save_file({key: tensor for key, tensor in tensors.items() if key != name}, run / STATE)
        assert isinstance(resumed(run, run_once), WeightsError), name
    for name in ("x", "model.x", "average.x", "optimiser.generator.99.step", "optimiser.generator.x.step",
                 "optimiser.nobody.0.step", "optimiser.generator.0.max_exp_avg_sq", "random.cpu.x", "random.tpu.0",
                 "random.cpu.-1", "game.x.weight", ""):  # fmt: skip
        save_file({**tensors, name: torch.zeros(2)}, run / STATE)
        assert isinstance(resumed(run, run_once), WeightsError), name


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf, 1e30])
def test_steps_of_the_optimiser_are_a_count(value: float, run: Path, run_once: Path) -> None:
    tensors = load_file(run / STATE)
    save_file({**tensors, "optimiser.generator.0.step": torch.tensor(value)}, run / STATE)
    assert "optimiser.generator.0.step" in str(resumed(run, run_once))


def test_states_of_generators_are_checked(run: Path, run_once: Path) -> None:
    tensors = load_file(run / STATE)
    for state in (torch.zeros(5056, dtype=torch.uint8), torch.full((5056,), 255, dtype=torch.uint8),
                  torch.zeros(16, dtype=torch.uint8), torch.zeros(60_000, dtype=torch.uint8)):  # fmt: skip
        save_file({**tensors, "random.cpu.0": state}, run / STATE)
        assert isinstance(resumed(run, run_once), WeightsError)


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "circle", "nowhere"])
@pytest.mark.parametrize("target", [STATE, NUMBERS, CONFIG])
def test_no_regular_file(kind: str, target: Path, run: Path, ali: Ali) -> None:
    (run / target).unlink()
    if kind == "pipe":
        os.mkfifo(run / target)
    elif kind == "folder":
        (run / target).mkdir()
    else:
        (run / target).symlink_to({"device": "/dev/zero", "circle": target.name, "nowhere": "nowhere"}[kind])
    result = ali("train", "--resume", "--steps", 6, "--out", run)
    assert result.code == 1
    assert result.err.startswith("error: ")
    assert result.err.count("\n") == 1
    assert "this is a bug" not in result.err
