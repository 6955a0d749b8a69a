"""The model: shapes, the posterior, sampling, and a round trip through a folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ali_plugin import ALI, ALIError, DiagonalGaussian
from ali_plugin.nets.distribution import Implicit


@pytest.fixture(scope="module")
def model() -> ALI:
    torch.manual_seed(0)
    return ALI.from_architecture("fashion").eval()


@pytest.fixture(scope="module")
def x() -> torch.Tensor:
    return torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(1))


def test_posterior_is_a_diagonal_gaussian(model: ALI, x: torch.Tensor) -> None:
    posterior = model.encode(x)
    assert isinstance(posterior, DiagonalGaussian)
    assert posterior.mean.shape == posterior.stddev.shape == (4, model.config.latent_size)
    assert (posterior.stddev > 0).all()
    draws = [posterior.sample(torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_draws_have_the_posterior_s_moments() -> None:
    posterior = DiagonalGaussian(torch.full((20000, 1), 3.0), torch.full((20000, 1), -1.0))
    draws = posterior.sample(torch.Generator().manual_seed(0))
    assert draws.mean().item() == pytest.approx(3.0, abs=0.02)
    assert draws.std().item() == pytest.approx(torch.tensor(-1.0).exp().item(), abs=0.02)


def test_gradients_pass_through_draws() -> None:
    parameters = torch.zeros(3, 4, requires_grad=True)
    DiagonalGaussian.from_parameters(parameters).sample().square().sum().backward()
    assert parameters.grad is not None
    assert (parameters.grad != 0).all()


def test_implicit_moments_do_not_vary() -> None:
    posterior = Implicit(lambda eps: 2 + 0.5 * eps, torch.empty(5, 3), draws=4000)
    assert torch.equal(posterior.mean, posterior.mean)
    assert posterior.mean.mean().item() == pytest.approx(2, abs=0.05)
    assert posterior.stddev.mean().item() == pytest.approx(0.5, abs=0.05)


def test_shapes(model: ALI, x: torch.Tensor) -> None:
    z = model.encode(x).sample()
    assert model.decode(z).shape == x.shape
    assert model.reconstruct(x).shape == x.shape
    assert model.sample(3).shape == (3, 1, 28, 28)
    assert model.discriminate(x, z).shape == (4,)
    assert model.interpolate(x[:2], x[2:], 5).shape == (2, 5, 1, 28, 28)


def test_samples_are_pictures_and_follow_the_seed(model: ALI) -> None:
    first, again, other = (model.sample(3, generator=torch.Generator().manual_seed(seed)) for seed in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.min() >= 0
    assert first.max() <= 1


def test_interpolation_ends_in_the_reconstructions(model: ALI, x: torch.Tensor) -> None:
    path = model.interpolate(x[:2], x[2:], 4)
    torch.testing.assert_close(path[:, 0], model.reconstruct(x[:2]))
    torch.testing.assert_close(path[:, -1], model.reconstruct(x[2:]))


def test_round_trip_is_exact(model: ALI, x: torch.Tensor, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    again = ALI.from_pretrained(tmp_path)
    assert not again.training
    assert again.config == model.config
    for (name, tensor), (other, loaded) in zip(model.state_dict().items(), again.state_dict().items(), strict=True):
        assert name == other
        assert torch.equal(tensor, loaded), name
    assert torch.equal(again.encode(x).mean, model.encode(x).mean)


def test_parts_can_be_loaded_alone(model: ALI, x: torch.Tensor, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    encoder_only = ALI.from_pretrained(tmp_path, parts=("encoder",))
    assert torch.equal(encoder_only.encode(x).mean, model.encode(x).mean)
    assert encoder_only.decoder is None
    with pytest.raises(ALIError, match="has no decoder"):
        encoder_only.sample(1)


def test_bfloat16_on_request(model: ALI, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    assert ALI.from_pretrained(tmp_path, dtype=torch.bfloat16).sample(2).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.encode(torch.zeros(2, 3, 28, 28)), r"data \(B, 1, 28, 28\), got \(2, 3, 28, 28\)"),
        (lambda m: m.decode(torch.zeros(2, 7)), r"latents \(B, 16\), got \(2, 7\)"),
        (lambda m: m.sample(0), "cannot draw 0 samples"),
        (lambda m: m.interpolate(torch.zeros(1, 1, 28, 28), torch.zeros(1, 1, 28, 28), 1), "at least 2 steps"),
        (lambda m: m.encode(torch.zeros(2, 1, 28, 28), torch.zeros(2, 3)), "condition"),
    ],
)  # fmt: skip
def test_wrong_shapes_are_refused_with_both_shapes(model: ALI, call: object, message: str) -> None:
    assert callable(call)
    with pytest.raises(ALIError, match=message):
        call(model)


def test_parts_mix() -> None:
    model = ALI.from_architecture("cifar10", parts={"discriminator": "cifar10-released"})
    assert model.config.discriminator is not None
    assert model.config.discriminator.name == "cifar10-released"
    assert model.config.plugins[0].distribution == "ali-plugin"


def test_parts_that_disagree_are_both_named() -> None:
    with pytest.raises(ALIError, match=r"encoder 'cifar10' takes data of shape anyx32x32.*for 1x28x28"):
        ALI.from_architecture("fashion", parts={"encoder": "cifar10"})
