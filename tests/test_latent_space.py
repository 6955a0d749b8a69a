"""Looking into the latent space: traversals, neighbours, truncated samples, samples as single files."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from ali_plugin import ALI
from ali_plugin.errors import OptionError
from ali_plugin.nets.latents import nearest, truncated
from ali_plugin.tasks.inputs import load_inputs
from ali_plugin.tasks.traverse import traversals


@pytest.fixture
def model(trained: Path) -> ALI:
    return ALI.from_pretrained(trained)


def test_a_direction_a_row(model: ALI) -> None:
    """Along a row one element of z goes from -reach to reach, the others stay."""
    made = traversals(model, [5, 0], steps=3, reach=2.0)
    assert made.directions == (5, 0)
    z = torch.zeros(2, 3, model.config.latent_size)
    z[0, :, 5] = z[1, :, 0] = torch.tensor([-2.0, 0, 2])
    expected = model.decode(z.flatten(0, 1)).reshape(2, 3, 1, 28, 28)
    assert torch.allclose(made.images, expected, atol=1e-5)


def test_the_strongest_directions_come_first(model: ALI) -> None:
    size = model.config.latent_size
    every = traversals(model, range(size), steps=2).images
    change = (every[:, 1] - every[:, 0]).square().flatten(1).mean(1)
    assert list(traversals(model, 4).directions) == change.argsort(descending=True)[:4].tolist()
    assert sorted(traversals(model, size + 9, steps=2).directions) == list(range(size))


def test_a_traversal_starts_at_a_picture(model: ALI, trained: Path) -> None:
    start = load_inputs(model, str(trained), limit=1)
    made = traversals(model, [3], steps=5, start=start)
    z = model.encode(start.x).mean.repeat(5, 1)
    z[:, 3] = torch.linspace(-3, 3, 5)
    assert torch.allclose(made.images[0], model.decode(z), atol=1e-5)
    with pytest.raises(OptionError, match="starts at one picture, not at 2"):
        traversals(model, start=load_inputs(model, str(trained), limit=2))


def test_a_conditional_model_is_told_what_to_show() -> None:
    conditional = ALI.from_architecture("fashion", condition_size=3).eval()
    with pytest.raises(OptionError, match="--condition"):
        traversals(conditional)
    one, other = (traversals(conditional, [0], condition=name).images for name in "01")
    assert not torch.equal(one, other)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"directions": 0}, "cannot show 0 directions"),
        ({"directions": [10_000]}, "has no direction 10000; they are 0 to"),
        ({"directions": [-1]}, "has no direction -1"),
        ({"steps": 1}, "at least 2 steps, not 1"),
        ({"reach": 0.0}, "its range is 0"),
        ({"reach": -2.0}, "its range is -2"),
        ({"reach": math.nan}, "its range is nan"),
        ({"reach": math.inf}, "its range is inf"),
        ({"steps": 10**9}, "too many at once"),
        ({"condition": "bag"}, "takes no condition"),
    ],
)
def test_traversals_that_cannot_be(options: dict[str, object], said: str, model: ALI) -> None:
    with pytest.raises(OptionError, match=said):
        traversals(model, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("limit", [0.5, 0.8, 2.0])
def test_truncated_noise(limit: float) -> None:
    """It has the deviation of the normal distribution that ends there, and keeps the order of its numbers."""
    noise = torch.randn(100_000, generator=torch.Generator().manual_seed(0))
    made = truncated(noise, limit)
    density = math.exp(-limit * limit / 2) / math.sqrt(2 * math.pi)
    expected = math.sqrt(1 - 2 * limit * density / math.erf(limit / math.sqrt(2)))
    assert made.abs().max() <= limit
    assert abs(made.std().item() - expected) < 0.01
    assert torch.equal(made[noise.argsort()], made.sort().values)


def test_a_far_truncation_changes_nothing() -> None:
    noise = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(truncated(noise, 100.0), noise, atol=1e-5)


def test_nearest_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    queries, points = torch.randn(7, 5, generator=generator), torch.randn(40, 5, generator=generator)
    expected = torch.cdist(queries, points).sort(1)
    monkeypatch.setattr("ali_plugin.nets.latents.ROWS", 3)
    distances, indices = nearest(queries, points, 6)
    assert torch.equal(indices, expected.indices[:, :6])
    assert torch.allclose(distances, expected.values[:, :6], atol=1e-5)
    assert nearest(queries, points, 99)[1].shape == (7, 40)
