"""Averaged, copied and saved state: what nets hold beside plain weights comes through every path unharmed."""

from __future__ import annotations

import copy
import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils import parametrizations

import tiny
from ali_plugin import ALI, ALIError, Decoder, Discriminator, Encoder, hookimpl
from ali_plugin.config.compose import compose
from ali_plugin.folder import weights
from ali_plugin.folder.model_folder import WEIGHTS_NAME
from ali_plugin.nets import state
from ali_plugin.objectives.ali import ALIGame
from ali_plugin.objectives.game import Batch
from ali_plugin.objectives.gan import PostHocGame
from ali_plugin.training.callbacks import Run
from ali_plugin.training.ema import AveragedWeights
from ali_registry import default_registry
from conftest import TINY, Ali, registered

EXAMPLE = Path(__file__).parent.parent / "examples" / "ali-plugin-resnets"
SIZE = 16  # elements of tiny's data


class Odd(nn.Module):
    """A hidden layer of one of the kinds below, and whatever a plugin may keep in buffers."""

    def __init__(self, kind: str, inputs: int, outputs: int) -> None:
        super().__init__()
        self.kind = kind
        self.first = nn.Linear(inputs, 8)
        self.norm = nn.BatchNorm1d(8)
        self.hidden = LAYERS[kind](nn.Linear(8, 8))
        self.last = nn.Linear(8, outputs)
        if kind == "used twice":
            self.again = self.hidden
        if kind == "weight used twice":
            self.again = nn.Linear(8, 8)
            self.again.weight = self.hidden.weight
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))
        self.register_buffer("latest", torch.zeros(8))
        self.register_buffer("scratch", torch.zeros(8), persistent=False)

    def forward(self, *inputs: Tensor) -> Tensor:
        x = self.norm(self.first(torch.cat([tensor.flatten(1) for tensor in inputs], 1)))
        for name in ("hidden", "again"):
            if hasattr(self, name):
                x = getattr(self, name)(x.relu())
        if self.training:
            with torch.no_grad():
                self.get_buffer("seen").add_(1)
                self.get_buffer("latest").copy_(x.mean(0))
        out: Tensor = self.last(x)
        return out


LAYERS: dict[str, Callable[[nn.Linear], Any]] = {
    "plain": lambda layer: layer,
    "spectral norm": parametrizations.spectral_norm,
    "older spectral norm": nn.utils.spectral_norm,
    "weight norm": parametrizations.weight_norm,
    "older weight norm": nn.utils.weight_norm,
    "compiled": lambda layer: torch.compile(layer, backend="eager"),
    "used twice": lambda layer: layer,
    "weight used twice": lambda layer: layer,
}


def encoder(data_shape: tuple[int, ...], latent_size: int, kind: str = "plain") -> nn.Module:
    return Odd(kind, SIZE, latent_size)


class OddDecoder(Odd):
    def __init__(self, data_shape: tuple[int, ...], latent_size: int, kind: str = "plain") -> None:
        super().__init__(kind, latent_size, SIZE)

    def forward(self, *inputs: Tensor) -> Tensor:
        return super().forward(*inputs).sigmoid().reshape(-1, *tiny.SHAPE)


class OddDiscriminator(Odd):
    couples_batch = True

    def __init__(self, data_shape: tuple[int, ...], latent_size: int, kind: str = "plain") -> None:
        super().__init__(kind, SIZE + latent_size, 1)


class Plugin:
    """Tiny's nets with odd layers."""

    __name__ = "odd"

    @hookimpl
    def register_encoders(self, register: Callable[[Encoder], None]) -> None:
        register(Encoder(name="odd", build=encoder, options={"kind": "plain"}))

    @hookimpl
    def register_decoders(self, register: Callable[[Decoder], None]) -> None:
        register(Decoder(name="odd", build=OddDecoder, options={"kind": "plain"}))

    @hookimpl
    def register_discriminators(self, register: Callable[[Discriminator], None]) -> None:
        register(Discriminator(name="odd", build=OddDiscriminator, options={"kind": "plain"}))


@pytest.fixture(autouse=True)
def plugins() -> Iterator[None]:
    with registered(tiny), registered(Plugin()):
        yield


def odd(kind: str) -> ALI:
    """A model of three odd nets, a few steps into its training."""
    torch.manual_seed(0)
    config = compose(
        "tiny", parts=dict.fromkeys(tiny_kinds(), "odd"), arguments={k: {"kind": kind} for k in tiny_kinds()}
    )
    return train(ALI.from_config(config), 3)


def tiny_kinds() -> tuple[str, ...]:
    return ("encoder", "decoder", "discriminator")


def train(model: ALI, steps: int, average: AveragedWeights | None = None) -> ALI:
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(steps):
        optimiser.zero_grad()
        ALIGame(model).gradients(Batch(torch.rand(4, *tiny.SHAPE)))
        optimiser.step()
        if average is not None:
            average.update()
    return model


def outputs(model: ALI) -> list[Tensor]:
    """What the three nets make of fixed inputs in eval mode."""
    generator = torch.Generator().manual_seed(5)
    x, z = torch.rand(4, *tiny.SHAPE, generator=generator), torch.randn(4, tiny.LATENT, generator=generator)
    training = model.training
    with torch.no_grad():
        model.eval()
        found = [model.encode(x).mean, model.decode(z), model.discriminate(x, z)]
    model.train(training)
    return found


def assert_same(left: list[Tensor], right: list[Tensor]) -> None:
    for a, b in zip(left, right, strict=True):
        assert torch.equal(a, b)


# --- Saving, copying ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", LAYERS)
def test_every_kind_of_layer_is_saved_and_loaded(kind: str, tmp_path: Path) -> None:
    model = odd(kind)
    model.save_pretrained(tmp_path)
    loaded = ALI.from_pretrained(tmp_path)
    assert_same(outputs(model), outputs(loaded))
    assert not [name for name in load_file(tmp_path / WEIGHTS_NAME) if "_orig_mod" in name]
    assert_same(outputs(model), outputs(ALI.from_pretrained(tmp_path, dtype=None)))
    part = ALI.from_pretrained(tmp_path, parts=("decoder",))
    assert torch.equal(part.decode(torch.ones(2, 3)), loaded.decode(torch.ones(2, 3)))


@pytest.mark.parametrize("kind", LAYERS)
def test_every_kind_of_layer_is_built_anew(kind: str) -> None:
    model = odd(kind)
    before = torch.get_rng_state()
    again = model.rebuilt()
    assert torch.equal(before, torch.get_rng_state())
    assert not again.training
    assert_same(outputs(model), outputs(again))
    train(again.train(), 1)  # the copy has tensors of its own
    assert not torch.equal(outputs(model)[0], outputs(again)[0])


@pytest.mark.parametrize("kind", ["used twice", "weight used twice"])
@pytest.mark.parametrize("dtype", [torch.float32, None, torch.bfloat16])
def test_shared_layers_are_written_once_and_stay_shared(kind: str, dtype: torch.dtype | None, tmp_path: Path) -> None:
    odd(kind).save_pretrained(tmp_path)
    names = set(load_file(tmp_path / WEIGHTS_NAME))
    assert "encoder.hidden.weight" in names
    assert "encoder.again.weight" not in names
    loaded = ALI.from_pretrained(tmp_path, dtype=dtype)
    for net in (loaded.encoder, loaded.decoder, loaded.discriminator):
        assert isinstance(net, Odd)
        assert net.again.weight is net.hidden.weight
    loaded.save_pretrained(tmp_path / "again")
    assert set(load_file(tmp_path / "again" / WEIGHTS_NAME)) == names


def test_layers_that_a_person_ties_across_parts_are_saved(tmp_path: Path) -> None:
    model = odd("plain")
    assert isinstance(model.encoder, Odd)
    assert isinstance(model.decoder, Odd)
    model.decoder.hidden = model.encoder.hidden
    model.save_pretrained(tmp_path)
    assert_same(outputs(model), outputs(ALI.from_pretrained(tmp_path)))
    part = ALI.from_pretrained(tmp_path, parts=("decoder",))
    assert torch.equal(part.decode(torch.ones(2, 3)), model.eval().decode(torch.ones(2, 3)))


def compiled(net: nn.Module) -> Any:
    return torch.compile(net, backend="eager")


def wrap_parts(model: Any) -> None:
    for kind in tiny_kinds():
        setattr(model, kind, compiled(getattr(model, kind)))


def wrap_twice(model: Any) -> None:
    model.decoder.hidden = nn.DataParallel(model.decoder.hidden)
    model.decoder = compiled(model.decoder)


WRAPPED: dict[str, Callable[[Any], Any]] = {
    "compiled": lambda m: m.__setattr__("decoder", compiled(m.decoder)),
    "data parallel": lambda m: setattr(m, "decoder", nn.DataParallel(m.decoder)),
    "compiled data parallel": lambda m: setattr(m, "decoder", compiled(nn.DataParallel(m.decoder))),
    "data parallel compiled": lambda m: setattr(m, "decoder", nn.DataParallel(compiled(m.decoder))),
    "every part": wrap_parts,
    "a layer": lambda m: setattr(m.decoder, "hidden", compiled(m.decoder.hidden)),
    "a layer in a wrapped net": wrap_twice,
    "averaged": lambda m: setattr(m, "decoder", torch.optim.swa_utils.AveragedModel(m.decoder)),
}  # fmt: skip


@pytest.mark.parametrize("wrap", WRAPPED)
@pytest.mark.parametrize("kind", ["plain", "spectral norm", "used twice"])
def test_wrappers_are_not_saved(wrap: str, kind: str, tmp_path: Path) -> None:
    model = odd(kind)
    model.save_pretrained(tmp_path / "bare")
    WRAPPED[wrap](model)
    model.save_pretrained(tmp_path / "wrapped")
    files = [(tmp_path / name / WEIGHTS_NAME).read_bytes() for name in ("bare", "wrapped")]
    assert files[0] == files[1]
    assert_same(outputs(ALI.from_pretrained(tmp_path / "wrapped")), outputs(model.rebuilt()))
    state.load(model, weights.read_all(tmp_path / "bare" / WEIGHTS_NAME))  # and into a wrapped one


def test_a_distributed_wrapper_is_not_saved(tmp_path: Path) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    try:
        model = odd("plain")
        names = list(state.named(model))
        model.decoder = nn.parallel.DistributedDataParallel(model.part("decoder"))
        assert list(state.named(model)) == names
    finally:
        torch.distributed.destroy_process_group()


def test_a_net_whose_child_is_called_as_a_wrapper_does_keeps_its_names(tmp_path: Path) -> None:
    net = nn.ModuleDict({"module": nn.Linear(2, 2)})
    assert list(state.named(net)) == ["module.weight", "module.bias"]


def test_state_that_is_no_tensor_is_refused_with_its_name(tmp_path: Path) -> None:
    class Notes(nn.Linear):
        def get_extra_state(self) -> object:
            return {"a": 1}

        def set_extra_state(self, state: object) -> None: ...

    model = odd("plain")
    model.decoder = nn.Sequential(Notes(3, 16))
    with pytest.raises(ALIError, match=r"decoder\.0\._extra_state is a dict, no tensor"):
        model.save_pretrained(tmp_path)
    model.decoder = nn.LazyLinear(16)
    with pytest.raises(ALIError, match=r"decoder\.weight has no shape yet"):
        model.save_pretrained(tmp_path)


def test_a_model_can_still_be_copied_and_pickled() -> None:
    model = ALI.from_architecture("tiny", registry=default_registry())
    assert_same(outputs(model), outputs(copy.deepcopy(model)))


# --- One door for writing ---------------------------------------------------------------------------


def test_tensors_that_share_memory_in_any_way(tmp_path: Path) -> None:
    base = torch.arange(12.0).reshape(3, 4)
    tensors = {"a": base, "b": base, "rows": base[1:], "turned": base.T, "flat": base.view(-1), "every": base[:, ::2],
               "none": torch.empty(0), "other none": torch.empty(0), "wide": torch.ones(1).expand(5)}  # fmt: skip
    weights.write(tmp_path / "x.safetensors", tensors)
    assert set(load_file(tmp_path / "x.safetensors")) == set(tensors) - {"b"}
    again = weights.read_all(tmp_path / "x.safetensors")
    assert set(again) == set(tensors)
    assert all(torch.equal(again[name], tensor) for name, tensor in tensors.items())


@pytest.mark.parametrize(
    "tensor", [torch.eye(2).to_sparse(), torch.eye(2).to_sparse_csr(), torch.empty(2, device="meta")]
)
def test_tensors_that_the_format_does_not_have(tensor: Tensor, tmp_path: Path) -> None:
    with pytest.raises(ALIError, match=r"x\.safetensors cannot be written"):
        weights.write(tmp_path / "x.safetensors", {"a": tensor})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_full_disk_is_one_line_of_ours(tmp_path: Path) -> None:
    """A limit on file sizes stands in for the full disk, whose error has the same way."""
    code = """
import resource, signal, sys, torch
from pathlib import Path
from ali_plugin import ALIError
from ali_plugin.folder import weights
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    weights.write(Path(sys.argv[1]), {"a": torch.zeros(10_000)})
except ALIError as error:
    print(error)
"""
    target = tmp_path / "x.safetensors"
    target.write_bytes(b"before")
    done = subprocess.run([sys.executable, "-c", code, str(target)], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"cannot write {target}: File too large")
    assert done.stderr == ""
    assert target.read_bytes() == b"before"
    assert [path.name for path in tmp_path.iterdir()] == ["x.safetensors"]


# --- Averages ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", LAYERS)
def test_averages_are_of_what_is_learned(kind: str) -> None:
    model = odd(kind)
    average = AveragedWeights(model, 0.9)
    expected = {name: tensor.detach().clone() for name, tensor in state.named(model).items()}
    for update in range(1, 6):
        train(model, 1)
        average.update()
        decay = min(0.9, (1 + update) / (10 + update))
        for name, tensor in state.named(model).items():
            averaged = isinstance(tensor, nn.Parameter) or name.endswith(("running_mean", "running_var"))
            expected[name] = torch.lerp(expected[name], tensor.detach(), 1 - decay) if averaged else tensor.clone()
    for name, tensor in average.weights.items():
        torch.testing.assert_close(tensor, expected[name], msg=name)
    latest = [name for name in average.weights if name.rpartition(".")[2] in ("seen", "latest", "_u", "_v", "weight_u")]
    assert latest
    assert all(torch.equal(average.weights[name], state.named(model)[name]) for name in latest)


def test_averages_of_wrapped_and_shared_layers() -> None:
    model = odd("used twice")
    average = AveragedWeights(model, 0.5)
    model.decoder = compiled(model.part("decoder"))
    train(model, 1)
    average.update()
    found = average.weights
    assert found["decoder.hidden.weight"] is found["decoder.again.weight"]
    again = model.rebuilt()
    state.load(again, found)
    assert again.decoder is not None
    assert torch.equal(state.named(again)["decoder.again.weight"], found["decoder.hidden.weight"])


def test_synchronised_batch_norm_counts_as_batch_norm() -> None:
    from ali_plugin.training.distributed import SynchronisedBatchNorm

    net = nn.Sequential(SynchronisedBatchNorm(nn.BatchNorm1d(3)))
    assert set(state.learned(net)) == {"0.weight", "0.bias", "0.running_mean", "0.running_var"}


@pytest.mark.parametrize("momentum", [0.1, 0.0, None])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("tracks", [True, False])
@pytest.mark.parametrize("shape", [(6, 3), (4, 3, 2, 2)])
def test_synchronised_batch_norm_is_batch_norm(
    momentum: float | None, affine: bool, tracks: bool, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one process, where the sum over the processes is the value itself."""
    from ali_plugin.training import distributed

    monkeypatch.setattr(distributed, "sum_over_processes", lambda value: value)
    make = nn.BatchNorm1d if len(shape) == 2 else nn.BatchNorm2d
    plain, other = (make(3, momentum=momentum, affine=affine, track_running_stats=tracks) for _ in range(2))
    ours = distributed.SynchronisedBatchNorm(other)
    assert ours.state_dict().keys() == plain.state_dict().keys()
    for _ in range(3):
        x = torch.randn(shape)
        torch.testing.assert_close(ours(x), plain(x))
    assert all(
        torch.allclose(a, b) for a, b in zip(ours.state_dict().values(), plain.state_dict().values(), strict=True)
    )
    torch.testing.assert_close(ours.eval()(x), plain.eval()(x))
    assert ours.train()(x.bfloat16()).dtype == torch.bfloat16
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        ours(torch.randn(1, *shape[1:2], *[1] * (len(shape) - 2)))


# --- Runs -------------------------------------------------------------------------------------------


def run(ali: Ali, out: Path, kind: str, steps: int, *options: str) -> None:
    chosen = [word for part in tiny_kinds() for word in (f"--{part}", f"odd-{kind.replace(' ', '-')}")]
    done = ali(
        "train", "--arch", "tiny", *chosen, "--steps", steps, *TINY, "--batch-size", 4, "--out", out, "-q", *options
    )
    assert done.code == 0, done.err


class Kinds:
    """The odd nets by names, for the command line, which has no option for arguments."""

    __name__ = "kinds"

    def _names(self) -> list[tuple[str, dict[str, Any]]]:
        return [(f"odd-{kind.replace(' ', '-')}", {"kind": kind}) for kind in LAYERS]

    @hookimpl
    def register_encoders(self, register: Callable[[Encoder], None]) -> None:
        for name, arguments in self._names():
            register(Encoder(name=name, build=encoder, arguments=arguments))

    @hookimpl
    def register_decoders(self, register: Callable[[Decoder], None]) -> None:
        for name, arguments in self._names():
            register(Decoder(name=name, build=OddDecoder, arguments=arguments))

    @hookimpl
    def register_discriminators(self, register: Callable[[Discriminator], None]) -> None:
        for name, arguments in self._names():
            register(Discriminator(name=name, build=OddDiscriminator, arguments=arguments))


@pytest.fixture
def by_name() -> Iterator[None]:
    with registered(Kinds()):
        yield


@pytest.mark.parametrize("kind", LAYERS)
def test_a_run_goes_on_as_if_it_had_not_stopped(kind: str, by_name: None, ali: Ali, tmp_path: Path) -> None:
    run(ali, tmp_path / "whole", kind, 20, "--ema", "0.9")
    run(ali, tmp_path / "halves", kind, 10, "--ema", "0.9")
    resumed = ali("train", "--resume", "--steps", 20, "-q", "--out", tmp_path / "halves")
    assert resumed.code == 0, resumed.err
    files = [(tmp_path / name / WEIGHTS_NAME).read_bytes() for name in ("whole", "halves")]
    assert files[0] == files[1]
    exported = ali("export", tmp_path / "whole", "--out", tmp_path / "model", "-q")
    assert exported.code == 0, exported.err
    assert (tmp_path / "model" / WEIGHTS_NAME).read_bytes() == files[0]


@pytest.mark.parametrize("kind", ["older weight norm", "used twice"])
def test_a_game_with_a_discriminator_of_its_own(kind: str, by_name: None, ali: Ali, tmp_path: Path) -> None:
    model = odd(kind)
    game = PostHocGame(model)
    assert_same(list(state.named(game.first).values()), list(state.named(model.part("discriminator")).values()))
    run(ali, tmp_path / "run", kind, 10, "--objective", "gan-posthoc")


def test_a_callback_may_compile_a_net_in_the_middle_of_a_run(ali: Ali, tmp_path: Path) -> None:
    from ali_plugin.training.callbacks import Callback
    from ali_plugin.training.run import prepare

    class Compiles(Callback):
        def on_log(self, trainer: Run, figures: dict[str, float]) -> None:
            if trainer.step == 5:
                trainer.model.decoder = compiled(trainer.model.part("decoder"))

    options = {"architecture": "tiny", "device": "cpu", "steps": 10, "log_every": 5, "ema": 0.9}
    prepare(options, tmp_path / "compiled", callbacks=[Compiles()]).run()
    prepare(options, tmp_path / "plain").run()
    files = [(tmp_path / name / WEIGHTS_NAME).read_bytes() for name in ("compiled", "plain")]
    assert files[0] == files[1]
    assert ali("train", "--resume", "--steps", 15, "-q", "--out", tmp_path / "compiled").code == 0


# --- The example package's recipe ---------------------------------------------------------------------


def norms(discriminator: nn.Module) -> list[float]:
    """The exact spectral norm of every layer's effective weight."""
    layers = [m for m in discriminator.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    return [torch.linalg.matrix_norm(layer.weight.detach().flatten(1), 2).item() for layer in layers]


def test_the_example_publishes_a_discriminator_of_spectral_norm_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(EXAMPLE)
    ali_plugin_resnets = importlib.import_module("ali_plugin_resnets")
    from ali_plugin.training.run import prepare

    with registered(ali_plugin_resnets):
        options = {"architecture": "resnet28", "device": "cpu", "steps": 40, "batch_size": 4, "lr": 5e-4}
        trainer = prepare(options, tmp_path / "run")
        trainer.run()
        published = ALI.from_pretrained(tmp_path / "run")
        average = trainer.training_step.average
        assert average is not None
        trained, averaged = norms(trainer.model.eval().part("discriminator")), norms(published.part("discriminator"))
        # The vectors of the power iteration lag behind as they do in training; an average of them is shorter than 1.
        assert max(averaged) <= max(1.0, max(trained)) * 1.15
        for name, tensor in state.named(published).items():
            if name.endswith(("._u", "._v")):
                assert torch.equal(tensor, state.named(trainer.model)[name]), name
                assert tensor.norm().item() == pytest.approx(1, abs=1e-4)
        x, z = torch.rand(8, 1, 28, 28), torch.randn(8, 32)
        reference = trainer.model.rebuilt()
        for name, tensor in state.named(reference).items():  # averaged weights, and vectors that have converged
            tensor.data.copy_(average.weights[name])
        reference.train()
        for _ in range(50):
            reference.discriminate(x, z)
        expected = reference.eval().discriminate(x, z)
        torch.testing.assert_close(published.discriminate(x, z), expected, rtol=0.15, atol=0.1)


# --- The layout of a pipeline -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", LAYERS)
def test_every_kind_of_layer_in_a_pipeline(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("diffusers")
    from ali_plugin.diffusers import ALIDecoder, ALIPipeline

    model = odd(kind)
    model.encoder = compiled(model.part("encoder"))
    ALIPipeline.from_model(model).save_pretrained(tmp_path)
    names = set(load_file(tmp_path / "decoder" / "diffusion_pytorch_model.safetensors"))
    assert ("decoder.again.weight" in names) is False
    assert_same(outputs(model), outputs(ALI.from_pretrained(tmp_path)))
    pipeline = ALIPipeline.from_pretrained(tmp_path)
    assert_same(outputs(model), outputs(pipeline.model))
    if kind.endswith("used twice"):
        net: Any = ALIDecoder.from_pretrained(tmp_path, subfolder="decoder").net
        assert net.again.weight is net.hidden.weight
        assert ALIPipeline.from_pretrained(tmp_path, torch_dtype=torch.bfloat16).decoder.dtype == torch.bfloat16
