"""What the optimisers do with gradients that are out of the ordinary."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ali_plugin.objectives.optimisers import adam, stable_adamw

RATE, BETAS = 1e-3, (0.0, 0.99)


def moved(kind: object, gradients: list[Tensor], **options: float) -> Tensor:
    """By how much the last of these gradients moves a weight that starts at 0."""
    weight = nn.Parameter(torch.zeros_like(gradients[0]))
    assert callable(kind)
    optimiser = kind([weight], lr=RATE, betas=BETAS, capturable=False, **{"weight_decay": 0.0, "eps": 1e-8, **options})
    for gradient in gradients:
        before = weight.detach().clone()
        weight.grad = gradient.clone()
        optimiser.step()
    return weight.detach() - before


def root_mean_square(x: Tensor) -> float:
    return float(x.square().mean().sqrt())


def test_an_unusual_batch_throws_no_weights() -> None:
    quiet = list(1e-3 * torch.randn(300, 400, generator=torch.Generator().manual_seed(0)))
    unusual = torch.full((400,), 1e3)
    assert root_mean_square(moved(adam, [*quiet, unusual])) > 9 * RATE  # what is to be kept from happening
    step = moved(stable_adamw, [*quiet, unusual])
    assert root_mean_square(step) <= 1.01 * RATE
    assert (step < 0).all()


def test_quiet_steps_are_adam_s() -> None:
    """What lies below the rate is left as it is."""
    steps = list(torch.linspace(1, 0.5, 50)[:, None] * torch.ones(8))
    assert torch.equal(moved(stable_adamw, steps), moved(adam, steps))


@pytest.mark.parametrize("eps", [0.0, 1e-8])
def test_what_has_no_gradient_stays(eps: float) -> None:
    """Weights of a class that never comes, say: torch's own step divides 0 by 0 with an eps of 0."""
    step = moved(stable_adamw, [torch.tensor([1.0, 0.0])] * 5, eps=eps)
    assert step[0] < 0
    assert eps == 0 or step[1] == 0


@pytest.mark.parametrize("wrong", [torch.nan, torch.inf, 1e25])
def test_a_gradient_that_is_no_number_is_not_hidden(wrong: float) -> None:
    """--on-nan has to see it; of one whose square is none, too, by which Adam would stand still ever after."""
    assert moved(stable_adamw, [torch.ones(3), torch.full((3,), wrong)]).isnan().all()
