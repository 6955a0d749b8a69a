"""One step of Algorithm 1 against a plain reference written from the paper's losses, in float64."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from ali_plugin import ALI
from ali_plugin.objectives.ali import ALIGame
from ali_plugin.objectives.game import Batch
from ali_registry import default_registry

pytestmark = pytest.mark.usefixtures("float64")


def lively(model: ALI) -> ALI:
    """The initial weights of 0.01 leave gradients near nothing; larger ones make the comparison mean something."""
    for parameter in model.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=1 / parameter[0].numel() ** 0.5)
    return model.double().train()


def losses(model: ALI, x: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """L_d and L_g of the paper, written down as they stand there."""
    z = torch.randn(len(x), model.config.latent_size)
    z_hat = model.encode(x, condition).sample()
    x_tilde = model.likelihood(z, condition).sample()
    both = None if condition is None else torch.cat([condition, condition])
    l_q, l_p = model.discriminate(torch.cat([x, x_tilde]), torch.cat([z_hat, z]), both).chunk(2)
    loss_d = softplus(-l_q).mean() + softplus(l_p).mean()
    loss_g = softplus(l_q).mean() + softplus(-l_p).mean()
    return loss_d, loss_g


def reference(model: ALI, x: Tensor, condition: Tensor | None, seed: int) -> dict[str, Tensor]:
    """Each player's gradient of its own loss, both at the same parameters."""
    names = [name for name, _ in model.named_parameters()]
    torch.manual_seed(seed)
    loss_d, loss_g = losses(model, x, condition)
    of_d = torch.autograd.grad(loss_d, list(model.parameters()), retain_graph=True, allow_unused=True)
    of_g = torch.autograd.grad(loss_g, list(model.parameters()), allow_unused=True)
    gradients = {}
    for name, d, g in zip(names, of_d, of_g, strict=True):
        gradient = d if name.startswith("discriminator.") else g
        assert gradient is not None
        gradients[name] = gradient
    return gradients


COUPLES = {  # does D have batch norm, and so need the general form?
    "fashion": False,
    "cifar10": False,
    "cifar10-released": False,
    "mixture": False,
    "mixture-fourier": False,
    "mnist-mlp": False,
    "svhn": True,
    "celeba": True,
    "celeba-conditional": True,
    "tiny-imagenet": True,
    "garments": False,
    "fashion-residual": False,
    "stacked-digits": False,
    "residual-tiny": False,
    "residual-small": False,
    "residual-base": False,
    "residual-large": False,
    "tabular": False,
}
OPEN = {
    "residual-tiny": (1, 16, 16), "residual-small": (3, 16, 16), "residual-base": (1, 40, 48),
    "residual-large": (2, 16, 24), "tabular": (5,),
}  # fmt: skip


def test_every_built_in_architecture_is_compared() -> None:
    entries = default_registry().entries("architecture")
    assert {e.record.name for e in entries if e.origin.distribution == "ali-plugin"} <= set(COUPLES)


SLOW = ("celeba",)  # the nets of celeba-conditional without the condition, on large pictures


@pytest.mark.parametrize(
    ("architecture", "couples"),
    [pytest.param(*one, marks=pytest.mark.slow if one[0] in SLOW else []) for one in COUPLES.items()],
)
def test_gradients_are_those_of_the_paper(architecture: str, couples: bool) -> None:
    torch.manual_seed(0)
    model = lively(ALI.from_architecture(architecture, data_shape=OPEN.get(architecture)))
    x = torch.rand(2, *model.config.data_shape)
    size = model.config.condition_size
    condition = torch.randint(2, (2, size)).double() if size else None
    expected = reference(copy.deepcopy(model), x, condition, seed=1)
    game = ALIGame(model)
    assert game.couples_batch == couples
    torch.manual_seed(1)
    game.gradients(Batch(x, condition))
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-6, atol=1e-10, msg=name)


def test_general_form_agrees_with_the_reference_too() -> None:
    torch.manual_seed(0)
    model = lively(ALI.from_architecture("fashion"))
    x = torch.rand(4, 1, 28, 28)
    expected = reference(copy.deepcopy(model), x, None, seed=1)
    game = ALIGame(model)
    game.couples_batch = True
    torch.manual_seed(1)
    game.gradients(Batch(x))
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-6, atol=1e-10, msg=name)


@pytest.mark.parametrize("logit", [-200.0, 200.0])
def test_one_backward_is_finite_at_large_logits(logit: float) -> None:
    torch.set_default_dtype(torch.float32)
    torch.manual_seed(0)
    model = ALI.from_architecture("fashion").train()
    discriminator = model.part("discriminator")
    last = [module for module in discriminator.modules() if isinstance(module, nn.Linear)][-1]
    assert last.bias is not None
    nn.init.constant_(last.bias, logit)
    ALIGame(model).gradients(Batch(torch.rand(4, 1, 28, 28)))
    gradients = [parameter.grad for parameter in model.parameters()]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
    assert any(gradient is not None and (gradient != 0).any() for gradient in gradients)


def test_figures_are_the_losses() -> None:
    torch.manual_seed(0)
    model = lively(ALI.from_architecture("fashion"))
    x = torch.rand(4, 1, 28, 28)
    torch.manual_seed(1)
    loss_d, loss_g = losses(copy.deepcopy(model), x)
    torch.manual_seed(1)
    figures = ALIGame(model).gradients(Batch(x))
    assert figures["loss_discriminator"].item() == pytest.approx(loss_d.item(), rel=1e-5)
    assert figures["loss_generator"].item() == pytest.approx(loss_g.item(), rel=1e-5)
