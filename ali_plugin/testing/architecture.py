"""Checks of one registered architecture: what training, saving and publishing rely on."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ali_plugin.config import shapes as data_shapes
from ali_plugin.model import ALI
from ali_plugin.nets.protocol import offers
from ali_plugin.objectives.ali import ALIGame
from ali_plugin.objectives.game import Batch
from ali_plugin.training.configure import configure
from ali_plugin.training.step import TrainingStep
from ali_registry import Architecture, Dataset, Registry, default_registry

BATCH = 2
TRIED = ((32, 3), (48, 1))
"""Sides of pictures and channels, of an architecture that is for any; most checks try the first."""
STEPS = 3
Check = Callable[[str, Registry], None]


def check_architecture(name: str, registry: Registry | None = None) -> None:
    """Run every check; AssertionError with a sentence at the first that fails."""
    for check in ARCHITECTURE_CHECKS.values():
        check(name, registry or default_registry())


def shapes(name: str, registry: Registry) -> None:
    """Encoder, decoder and discriminator map batches of 1 and more to the shapes that the config states."""
    for shape in _shapes(name, registry):
        _maps_shapes(_build(name, registry, shape).eval())


def _maps_shapes(model: ALI) -> None:
    latent, data = model.config.latent_size, model.config.data_shape
    for size in (1, 3):
        batch = _batch(model, size)
        z = model.prior(size)
        posterior = model.encode(batch.x, batch.condition)
        for what, tensor in (("mean", posterior.mean), ("stddev", posterior.stddev), ("sample", posterior.sample())):
            _same_shape(f"{what} of q(z|x)", tensor, (size, latent))
        assert (posterior.stddev >= 0).all(), "the standard deviation of q(z|x) is negative somewhere"
        likelihood = model.likelihood(z, batch.condition)
        _same_shape("mean of p(x|z)", likelihood.mean, (size, *data))
        _same_shape("sample of p(x|z)", likelihood.sample(), (size, *data))
        _same_shape("D(x, z)", model.class_logits(batch.x, z, batch.condition), (size, model.config.classes))


def value_range(name: str, registry: Registry) -> None:
    """The decoder's pictures lie in [0, 1], as the data do: end it in a sigmoid, not a tanh."""
    model = _build(name, registry).eval()
    if len(model.config.data_shape) < 3:
        return  # points, not pictures: any range
    pictures = model.decode(10 * model.prior(BATCH), _batch(model).condition)
    low, high = pictures.min().item(), pictures.max().item()
    assert low >= 0, f"the decoder makes pictures with values down to {low:.3g}; pictures are in [0, 1]"
    assert high <= 1, f"the decoder makes pictures with values up to {high:.3g}; pictures are in [0, 1]"


def dtypes(name: str, registry: Registry) -> None:
    """Every output has the type of the parameters, float32 or bfloat16: no tensor inside is of a fixed type."""
    for dtype in (torch.float32, torch.bfloat16):
        model = _build(name, registry).eval().to(dtype)
        batch = _batch(model)
        z = model.prior(BATCH)
        outputs = {
            "the encoder": model.encode(batch.x, batch.condition).mean,
            "the decoder": model.decode(z, batch.condition),
            "the discriminator": model.class_logits(batch.x, z, batch.condition),
        }
        for part, output in outputs.items():
            assert output.dtype == dtype, f"{part} with {dtype} parameters returns {output.dtype}"


def gradients(name: str, registry: Registry) -> None:
    """A step's gradients are finite and reach every parameter; not the first one's, as a last layer may start at 0."""
    model = _build(name, registry).train()
    _train(model, name, registry, 1)
    model.zero_grad()
    ALIGame(model).gradients(_batch(model, 4))
    for parameter_name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        gradient = parameter.grad
        assert gradient is not None, f"no gradient reaches {parameter_name}: is it used?"
        assert gradient.isfinite().all(), f"the gradient of {parameter_name} is not finite"
        assert gradient.any(), f"the gradient of {parameter_name} is zero everywhere"


def independence(name: str, registry: Registry) -> None:
    """A discriminator with ``couples_batch = False`` judges each pair by itself, on which training relies.

    The gradient of one pair's logits with respect to the other pairs is zero in training mode.
    """
    model = _build(name, registry).train()
    if offers(model.part("discriminator")).couples_batch:
        return
    batch = _batch(model, 4)
    x, z = batch.x.clone().requires_grad_(), model.prior(4).requires_grad_()
    model.class_logits(x, z, batch.condition)[0].sum().backward()
    for other in (x.grad, z.grad):
        assert other is not None, "the discriminator does not use both x and z"
        assert not other[1:].any(), (
            "the discriminator says couples_batch = False, but one pair's logit depends on the other pairs (batch "
            "norm?); set couples_batch = True"
        )


def determinism(name: str, registry: Registry) -> None:
    """In eval mode equal inputs give equal outputs, and looking changes nothing."""
    model = _build(name, registry).train()
    _train(model, name, registry, 1)  # so that running statistics are not at their start
    model.eval()
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    first, second = _outputs(model), _outputs(model)
    for what, tensor in first.items():
        assert torch.equal(tensor, second[what]), f"{what} differs between two calls in eval mode"
    for key, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[key]), f"{key} changed in eval mode"


def round_trip(name: str, registry: Registry) -> None:
    """A trained model that is saved and loaded again is the same to the last bit."""
    model = _build(name, registry).train()
    _train(model, name, registry, 1)
    model.eval()
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        loaded = ALI.from_pretrained(folder, registry=registry)
    assert loaded.config == model.config, "the config changed when it was saved and loaded"
    for key, tensor in model.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[key]), f"{key} changed when it was saved and loaded"
    again = _outputs(loaded)
    for what, tensor in _outputs(model).items():
        assert torch.equal(tensor, again[what]), (
            f"{what} differs after save and load: is something random in __init__, or kept outside of the state?"
        )


def training(name: str, registry: Registry) -> None:
    """A few steps with the architecture's own recipe stay finite and move every net."""
    _trains(name, registry, torch.device("cpu"))


def gpu(name: str, registry: Registry) -> None:
    """On a CUDA device, where there is one: it trains, and agrees with the CPU in eval mode."""
    if not torch.cuda.is_available():
        raise NoDevice("no CUDA device here")
    model = _trains(name, registry, torch.device("cuda")).eval()
    on_gpu = _outputs(model)
    for what, tensor in _outputs(model.cpu()).items():
        difference = (tensor - on_gpu[what]).abs().max().item()
        scale = max(tensor.abs().max().item(), 1e-3)
        assert difference <= 1e-2 * scale, f"{what} differs by {difference:.3g} between GPU and CPU"


class NoDevice(Exception):
    """A check needs a device that this machine does not have."""


ARCHITECTURE_CHECKS: dict[str, Check] = {
    check.__name__.replace("_", "-"): check
    for check in (
        shapes, value_range, dtypes, gradients, independence, determinism, round_trip, training, gpu,
    )
}  # fmt: skip


def _shapes(name: str, registry: Registry) -> list[data_shapes.Shape]:
    """The shapes of a sample that are tried: the architecture's; where it is open its recipe's data's, or some."""
    record = registry.get(Architecture, name)
    own = registry.get(Dataset, record.training.dataset).data_shape if data_shapes.is_open(record) else None
    tried = [data_shapes.example(record, side, channels) for side, channels in TRIED] if own is None else [own]
    return list(dict.fromkeys(tried))


def _build(name: str, registry: Registry, shape: data_shapes.Shape | None = None) -> ALI:
    torch.manual_seed(0)
    return ALI.from_architecture(name, data_shape=shape or _shapes(name, registry)[0], registry=registry)


def _batch(model: ALI, size: int = BATCH, seed: int | None = None) -> Batch:
    """Uniform data and condition; the same for a seed, without touching the global random state."""
    generator = None if seed is None else torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float32).to(model.device, model.dtype)

    width = model.config.condition_size
    return Batch(uniform(size, *model.config.data_shape), uniform(size, width) if width else None)


@torch.no_grad()
def _outputs(model: ALI) -> dict[str, Tensor]:
    """What the three nets make of one fixed batch, on the CPU."""
    batch = _batch(model, seed=1)
    z = model.prior(BATCH, torch.Generator().manual_seed(1))
    outputs = {
        "the mean of q(z|x)": model.encode(batch.x, batch.condition).mean,
        "the mean of p(x|z)": model.decode(z, batch.condition),
        "D(x, z)": model.class_logits(batch.x, z, batch.condition),
    }
    return {what: tensor.cpu() for what, tensor in outputs.items()}


def _choices(model: ALI, name: str, registry: Registry) -> dict[str, Any]:
    size = data_shapes.told(model.config.data_shape) if data_shapes.is_open(registry.get(Architecture, name)) else {}
    return {"architecture": name, **size}


def _train(model: ALI, name: str, registry: Registry, steps: int) -> None:
    step = TrainingStep(ALIGame(model), configure(_choices(model, name, registry), registry), registry)
    for number in range(1, steps + 1):
        for what, figure in step(_batch(model, 4)).items():
            assert figure.isfinite().all(), f"{what} is {figure.item()} after step {number}"


def _trains(name: str, registry: Registry, device: torch.device) -> ALI:
    model = _build(name, registry).to(device).train()
    before = {kind: _copy(model.part(kind)) for kind in model.config.parts}
    _train(model, name, registry, STEPS)
    for kind, old in before.items():
        parameters = dict(model.part(kind).named_parameters())
        for key, parameter in parameters.items():
            assert parameter.isfinite().all(), f"{kind}.{key} is not finite after {STEPS} steps"
        moved = any(not torch.equal(parameter, old[key]) for key, parameter in parameters.items())
        assert moved or not parameters, f"training does not move the {kind}"
    return model


def _copy(net: nn.Module) -> dict[str, Tensor]:
    return {key: parameter.detach().clone() for key, parameter in net.named_parameters()}


def _same_shape(what: str, tensor: Tensor, expected: tuple[int, ...]) -> None:
    assert tuple(tensor.shape) == expected, f"{what} has shape {tuple(tensor.shape)}, expected {expected}"
