"""What is written can be read again, seeds do not depend on the default type, and nothing asks for absurd memory."""

from __future__ import annotations

import json
import math
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ali_plugin import ALI, ALIError, Encoder, hookimpl
from ali_plugin.config import conditions
from ali_plugin.config.compose import compose
from ali_plugin.config.model_config import CONFIG_NAME, ModelConfig
from ali_plugin.errors import ConfigError, OutOfMemory, WeightsError
from ali_plugin.evaluation.context import Context
from ali_plugin.evaluation.evaluate import evaluate
from ali_plugin.experiments.record import Options
from ali_plugin.folder import evaluation_record as record
from ali_plugin.folder.evaluation_record import Figure
from ali_plugin.folder.model_folder import WEIGHTS_NAME
from ali_plugin.nets.distribution import DiagonalGaussian, Implicit, noise_like
from ali_plugin.support import building
from ali_plugin.support.devices import float32_by_default, seeded
from ali_plugin.support.limits import MAX_ARGUMENT, MAX_REGISTRATIONS, MAX_SEED, MAX_SIZE, MAX_STEPS
from ali_plugin.support.memory import needed
from ali_plugin.tasks.generate import sample
from ali_plugin.training import checkpoint
from ali_plugin.training.config import TrainConfig
from ali_plugin.training.run import prepare
from ali_registry import Registry, build_registry
from ali_registry.text import printable
from conftest import Ali

# --- Written and read --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--latent-size", 65600), "--latent-size is 65600, it has to be at most 65536"),
        (("--steps", 10**19), "--steps is 10000000000000000000, it has to be at most 999999999"),
        (("--steps", 10**9), "--steps is 1000000000"),
        (("--epochs", 10**9), "--epochs is 1000000000"),
        (("--epochs", 10**8), "--epochs is 100000000, which makes 4000000000 steps"),
        (("--batch-size", 10**12), "--batch-size is 1000000000000"),
        (("--log-every", 2**70), "--log-every is"),
        (("--checkpoint-every", 2**70), "--checkpoint-every is"),
        (("--seed", 2**70), "--seed is 1180591620717411303424, it has to be from 0 to 2^63 - 1"),
        (("--seed", -1), "--seed is -1"),
        (("--lr", "inf"), "--lr is inf"),
    ],
)
def test_a_run_that_could_not_be_read_again_is_not_begun(
    options: tuple[object, ...], said: str, ali: Ali, tmp_path: Path
) -> None:
    for more in ((), ("--dry-run",)):
        done = ali("train", "--steps" if "--epochs" not in options and "--steps" not in options else "-q",
                   *((1,) if "--epochs" not in options and "--steps" not in options else ()),
                   *options, "--device", "cpu", "--out", tmp_path / "run", *more)  # fmt: skip
        assert done.code == 1
        assert done.err.startswith(f"error: {said}"), done.err
        assert done.err.count("\n") == 1
        assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("size", [0, -1, MAX_SIZE + 1, 1 << 40])
def test_a_model_that_could_not_be_read_again_is_not_composed(size: int) -> None:
    config = compose("fashion")
    with pytest.raises(ALIError, match=f"latent_size is {size}, not an integer from 1 to 65536"):
        replace(config, latent_size=size)
    with pytest.raises(ALIError, match="latent_size is"):
        compose("fashion", latent_size=size or -5)
    with pytest.raises(ALIError, match="condition_size is"):
        compose("fashion", condition_size=-1 if size == 0 else size)
    with pytest.raises(ALIError, match="classes is"):
        compose("fashion", classes=size)


@pytest.mark.parametrize("shape", [(), (0,), (1, 2, 3, 4), (MAX_SIZE + 1,), (1 << 14, 1 << 13, 1), (1, 2.0), (True, 2)])
def test_shapes_out_of_bounds(shape: tuple[Any, ...]) -> None:
    with pytest.raises(ALIError, match="data_shape is"):
        replace(compose("fashion"), data_shape=shape)


@pytest.mark.parametrize(
    "arguments",
    [{"a": MAX_ARGUMENT + 1}, {"a": -(10**7)}, {"a": {"b": [1, [10**7]]}}, {"a": math.nan}, {"a": math.inf},
     {"a": {1, 2}}, {"a": object()}, {"a": b"bytes"}, {"a": [0] * 1_000_000}, {"a": 2**64}],
)  # fmt: skip
def test_arguments_that_could_not_be_read_again(arguments: dict[str, Any]) -> None:
    with pytest.raises(ALIError):
        compose("fashion", arguments={"encoder": arguments})


NAMES = st.lists(st.text(st.characters(), max_size=300), min_size=1, max_size=5)


@settings(max_examples=100, deadline=None)
@given(names=NAMES)
def test_names_of_any_text_are_written_clean_and_read_again(names: list[str]) -> None:
    config = compose("fashion", condition_size=len(names), condition_names=names)
    assert ModelConfig.from_json(config.to_json()) == config
    assert all(printable(name, 200) == name for name in config.condition_names)
    config.to_json().encode()


@pytest.mark.parametrize("names", [["\x1b[31mred"], ["a\nb"], ["\u202eabc"]])
def test_names_in_a_file_are_clean_after_reading(names: list[str]) -> None:
    raw = json.loads(compose("fashion", condition_size=1).to_json())
    read = ModelConfig.from_json(json.dumps({**raw, "condition_names": names}))
    assert all(name.isprintable() for name in read.condition_names)


def test_more_names_than_a_condition_has_elements() -> None:
    with pytest.raises(ALIError, match="2 condition_names for a condition_size of 1"):
        compose("fashion", condition_size=1, condition_names=["a", "b"])


def test_a_config_that_would_be_larger_than_is_read() -> None:
    with pytest.raises(ALIError, match="names of conditions"):
        compose("fashion", condition_size=60_000, condition_names=[f"a rather long name {i}" for i in range(60_000)])


@pytest.mark.parametrize("seed", [-1, MAX_SEED + 1, 2**64, 2**70])
def test_seeds_that_no_record_can_hold(seed: int, trained: Path, ali: Ali, tmp_path: Path) -> None:
    for command in (("evaluate", trained), ("sample", trained, "--out", tmp_path / "x.png"),
                    ("encode", trained, "--out", tmp_path / "x.safetensors"),
                    ("experiment", "mixture", "--out", tmp_path / "x")):  # fmt: skip
        done = ali(*command, "--seed", seed)
        assert done.code == 2, command
        assert "is not in the range 0<=x<=9223372036854775807" in done.err
    assert not (trained / "evaluation.json").exists()
    model = ALI.from_pretrained(trained)
    with pytest.raises(ALIError, match="the seed is"):
        Context(model, "fashion-mini", seed=seed)
    with pytest.raises(ALIError, match="the seed is"):
        sample(model, 1, seed)
    with pytest.raises(ALIError, match="the seed is"):
        Options(out=tmp_path, seed=seed)
    with pytest.raises(ALIError, match="--seed is"):
        TrainConfig(architecture="fashion", dataset="-", steps=1, seed=seed)


def test_the_largest_numbers_are_read_again(tmp_path: Path) -> None:
    figure = Figure("m", "f", 1.0, "d", "test", "p", MAX_SEED)
    record.keep(tmp_path, [figure])
    assert record.read(tmp_path) == [figure]
    config = TrainConfig(architecture="fashion", dataset="-", steps=MAX_STEPS, seed=MAX_SEED, latent_size=MAX_SIZE)
    (tmp_path / "train_config.json").write_text(config.to_json())
    assert TrainConfig.from_file(tmp_path / "train_config.json") == config
    assert seeded(MAX_SEED).initial_seed() == MAX_SEED


def test_checkpoints_are_in_the_order_of_their_steps(tmp_path: Path) -> None:
    steps = [999_999_999, 1_000_000_000, 5, 10_000_000_001, 30]
    for step in steps:
        (tmp_path / checkpoint.FOLDER / f"step-{step:09d}").mkdir(parents=True)
    (tmp_path / checkpoint.FOLDER / "step-notes").mkdir()
    assert [int(path.name[5:]) for path in checkpoint.found(tmp_path)] == sorted(steps)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["decoder.layers.0.operation.weight", "decoder.layers.0.norm.running_var"])
@pytest.mark.parametrize("dtype", [torch.float32, None])
def test_weights_that_are_not_finite_are_refused(
    value: float, name: str, dtype: torch.dtype | None, ali: Ali, tmp_path: Path
) -> None:
    model = ALI.from_architecture("fashion")
    model.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / WEIGHTS_NAME)
    name = name if name in tensors else next(key for key in tensors if key.endswith(name.rpartition(".")[2]))
    tensors[name].view(-1)[-1] = value
    save_file(tensors, tmp_path / WEIGHTS_NAME, metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=f"{name} holds numbers that are not finite"):
        ALI.from_pretrained(tmp_path, dtype=dtype)
    done = ali("sample", tmp_path, "--out", tmp_path / "x.png")
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert not (tmp_path / "x.png").exists()


def test_large_finite_weights_are_not_refused(tmp_path: Path) -> None:
    model = ALI.from_architecture("mixture")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(3e38)
    model.save_pretrained(tmp_path)
    assert ALI.from_pretrained(tmp_path)
    model.half()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(65000)
    model.save_pretrained(tmp_path)
    assert ALI.from_pretrained(tmp_path, dtype=None)


# --- Default type ------------------------------------------------------------------------------------


def under(kind: torch.dtype, function: Callable[[], Any]) -> Any:
    before = torch.get_default_dtype()
    torch.set_default_dtype(kind)
    try:
        return function()
    finally:
        torch.set_default_dtype(before)


def seeded_draws(folder: Path) -> dict[str, Tensor]:
    """Everything that a seed gives on a loaded model."""
    model = ALI.from_pretrained(folder)
    size = model.config.condition_size
    inputs = torch.linspace(0, 1, 3 * math.prod(model.config.data_shape), dtype=torch.float32)
    x = inputs.reshape(3, *model.config.data_shape)
    condition = conditions.parse("0", model.config).expand(3, -1) if size else None

    def seed() -> torch.Generator:
        return torch.Generator().manual_seed(3)

    torch.manual_seed(4)
    return {
        "prior": model.prior(3, seed()),
        "prior without a generator": model.prior(3),
        "sample": model.sample(3, condition, generator=seed()),
        "code": model.encode(x, condition).sample(seed()),
        "mean": model.encode(x, condition).mean,
        "code without a generator": model.encode(x, condition).sample(),
        "reconstruction": model.reconstruct(x, condition, generator=seed()),
        "path": model.interpolate(x[:1], x[1:2], 3, None if condition is None else condition[:1]),
        "command": sample(model, 3, 5)[0],
    }


@pytest.mark.parametrize("architecture", ["fashion", "mixture", "mnist-mlp", "cifar10"])
@pytest.mark.parametrize("condition_size", [0, 3])
def test_a_seed_gives_the_same_under_any_default_type(architecture: str, condition_size: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    try:
        model = ALI.from_architecture(architecture, condition_size=condition_size)
    except ALIError:
        pytest.skip("takes no condition")
    model.save_pretrained(tmp_path)
    expected = seeded_draws(tmp_path)
    for kind in (torch.float64, torch.bfloat16, torch.float16):
        for name, tensor in under(kind, lambda: seeded_draws(tmp_path)).items():
            assert tensor.dtype == torch.float32, name
            torch.testing.assert_close(tensor, expected[name], msg=f"{name} under {kind}", rtol=0, atol=0)


@pytest.mark.parametrize("kind", [torch.float64, torch.bfloat16, torch.float16])
def test_a_seed_gives_the_same_noise_for_models_of_any_type(kind: torch.dtype, tmp_path: Path) -> None:
    ALI.from_architecture("fashion", condition_size=2).save_pretrained(tmp_path)
    model, other = ALI.from_pretrained(tmp_path), ALI.from_pretrained(tmp_path, dtype=kind)
    z = [m.prior(4, torch.Generator().manual_seed(0)) for m in (model, other)]
    assert torch.equal(z[0].to(kind), z[1])
    condition = conditions.parse("1", model.config).expand(4, -1)
    images = other.sample(4, condition, generator=torch.Generator().manual_seed(0))
    assert images.dtype == kind
    assert other.rebuilt().sample(4, condition, generator=torch.Generator().manual_seed(0)).equal(images)
    assert sample(other, 2, 0)[0].dtype == kind


def test_posteriors_draw_in_their_own_type(float64: None) -> None:
    for kind in (torch.float32, torch.float64, torch.bfloat16):
        mean = torch.zeros(3, 2, dtype=kind)
        for posterior in (DiagonalGaussian(mean, mean), Implicit(lambda eps: eps, mean)):
            assert posterior.sample(seeded(0)).dtype == posterior.sample().dtype == posterior.stddev.dtype == kind
        expected = torch.randn(3, 2, generator=seeded(0), dtype=torch.float32).to(kind)
        assert torch.equal(noise_like(mean, seeded(0)), expected)


@pytest.mark.parametrize("objective", ["ali", "gan-posthoc", "vae"])
def test_a_run_is_the_same_under_any_default_type(objective: str, tmp_path: Path) -> None:
    options = {"device": "cpu", "steps": 6, "log_every": 2, "sample_every": 3, "checkpoint_every": 3, "ema": 0.5}
    options |= {"architecture": "mixture" if objective != "vae" else "fashion", "objective": objective, "batch_size": 8}

    def train(name: str) -> None:
        before = torch.get_default_dtype()
        prepare(options, tmp_path / name).run()
        prepare({"steps": 8}, tmp_path / name, resume=True).run()
        assert torch.get_default_dtype() == before

    train("float32")
    under(torch.float64, lambda: train("float64"))
    files = [(tmp_path / name / WEIGHTS_NAME).read_bytes() for name in ("float32", "float64")]
    assert files[0] == files[1]


@pytest.mark.slow
def test_figures_are_the_same_under_any_default_type(tmp_path: Path) -> None:
    torch.manual_seed(0)
    ALI.from_architecture("mixture").save_pretrained(tmp_path)

    def figures() -> Any:
        return evaluate(Context(ALI.from_pretrained(tmp_path), "mixture", samples=200), ["modes", "reconstruction"])

    assert under(torch.float64, figures) == figures()


def test_the_default_type_comes_back_after_an_error() -> None:
    with pytest.raises(ValueError, match="x"), float32_by_default():
        raise ValueError("x")
    assert torch.get_default_dtype() == torch.float32


# --- Memory and time -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_condition_that_would_be_a_square_of_gigabytes(ali: Ali, tmp_path: Path) -> None:
    """One of 65,536 elements: all of them alone would be 17 GB, and are 16 MB of embedding on the disk."""
    ALI.from_architecture("mixture", condition_size=MAX_SIZE).save_pretrained(tmp_path / "m")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    done = ali("sample", tmp_path / "m", "-n", 1, "--out", tmp_path / "x.png")
    assert done.code == 0, done.err
    assert ali("sample", tmp_path / "m", "-n", 100_000, "--out", tmp_path / "x.png").err == (
        "error: 6553600000 outputs of shape (2,) are too many at once; ask for fewer, and of a conditional model name "
        "the conditions\n"
    )
    assert ali("card", tmp_path / "m").code == 0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_500_000  # KiB


class Blocks(nn.Module):
    def __init__(self, kind: str, blocks: int) -> None:
        super().__init__()
        make: Any = {"linear": lambda: nn.Linear(4, 4), "plain": nn.ReLU,
                "spectral": lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(4, 4))}[kind]  # fmt: skip
        self.layers = nn.Sequential(*(make() for _ in range(blocks * blocks)))


class Wide(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(width, width)
        self.other = nn.Linear(width, width)


def many(data_shape: tuple[int, ...], latent_size: int, kind: str, blocks: int) -> nn.Module:
    return Blocks(kind, blocks)


def wide(data_shape: tuple[int, ...], latent_size: int, width: int) -> nn.Module:
    return Wide(width)


def greedy(data_shape: tuple[int, ...], latent_size: int) -> nn.Module:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")


class Absurd:
    __name__ = "absurd"

    @hookimpl
    def register_encoders(self, register: Callable[[Encoder], None]) -> None:
        register(Encoder(name="many", build=many))
        register(Encoder(name="wide", build=wide))
        register(Encoder(name="greedy", build=greedy))


@pytest.fixture(scope="module")
def registry() -> Registry:
    return build_registry((), [Absurd()])


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("many", {"kind": "linear", "blocks": 10_000}, "absurdly large"),
        ("many", {"kind": "spectral", "blocks": 10_000}, "absurdly large"),
        ("many", {"kind": "linear", "blocks": 10_000_000}, "too large a number"),
        ("many", {"kind": "plain", "blocks": 10_000_000}, "too large a number"),
        ("wide", {"width": MAX_ARGUMENT}, "absurdly large: more than"),
    ],
)
def test_absurd_nets_end_soon_and_in_one_line(
    name: str, arguments: dict[str, Any], said: str, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "MAX_BUILD_SECONDS", 1.0)
    ALI.from_architecture("mixture").save_pretrained(tmp_path)
    config = json.loads((tmp_path / CONFIG_NAME).read_text())
    (tmp_path / CONFIG_NAME).write_text(json.dumps({**config, "encoder": {"name": name, "arguments": arguments}}))
    started, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ALIError, match=said):
        ALI.from_pretrained(tmp_path, registry=registry)
    assert time.monotonic() - started < 20
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1_000_000


def test_large_but_sound_nets_are_built() -> None:
    with torch.device("meta"), building.bounded("this"):
        nn.Sequential(*(nn.Sequential(nn.Conv2d(64, 64, 3), nn.BatchNorm2d(64), nn.ReLU()) for _ in range(1000)))


def test_the_time_that_a_net_may_take_is_work_and_not_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "MAX_BUILD_SECONDS", 0.05)
    with torch.device("meta"):
        nn.Linear(2, 2)  # torch imports for the first
        with building.bounded("this"):
            nn.Linear(2, 2)
            time.sleep(0.2)  # as where others have the processor
            nn.Linear(2, 2)
        with building.bounded("this"), pytest.raises(ConfigError, match=r"not built after 0\.05 s of work"):
            nn.ModuleList(nn.Linear(2, 2) for _ in range(MAX_REGISTRATIONS // 4))


ERRORS: dict[str, Callable[[], object]] = {
    "python": lambda: bytearray(1 << 62),
    "numpy": lambda: __import__("numpy").empty(1 << 57),
    "torch": lambda: torch.empty(1 << 60),
    "torch, sizes": lambda: torch.empty(1 << 40, 1 << 40),
    "cuda": lambda: greedy((2,), 2),
}


@pytest.mark.parametrize("kind", ERRORS)
def test_memory_that_cannot_be_had_is_one_line_of_ours(kind: str) -> None:
    with pytest.raises(OutOfMemory, match="there is not enough memory for a test") as caught, needed("a test"):
        ERRORS[kind]()
    assert str(caught.value).isprintable()


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="mat1"), needed("a test"):
        torch.ones(2, 3) @ torch.ones(2, 3)


def test_a_part_that_cannot_be_had(registry: Registry) -> None:
    with pytest.raises(OutOfMemory, match="not enough memory for encoder 'greedy'"):
        ALI.from_architecture("mixture", parts={"encoder": "greedy"}, registry=registry)


@pytest.mark.skipif(sys.platform != "linux", reason="needs limits on memory")
def test_commands_under_a_limit_of_memory(tmp_path: Path) -> None:
    ALI.from_architecture("fashion").save_pretrained(tmp_path / "m")
    code = (
        "import resource, sys, torch\nimport ali_plugin.tasks.generate, ali_plugin.tasks.output\n"
        "from ali_cli.main import main\n"
        "used = 1024 * int(next(l for l in open('/proc/self/status') if l.startswith('VmSize')).split()[1])\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + (600 << 20),) * 2)\n"
        "sys.argv = ['ali', 'sample', sys.argv[1], '-n', '500000', '--out', 'x.safetensors']\nmain()"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "m")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: there is not enough memory for 500000 samples")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "x.safetensors").exists()
