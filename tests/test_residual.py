"""The residual family: which pictures it takes, what its nets promise, and that they are built by one rule."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ali_plugin.architectures.residual import PRESETS
from ali_plugin.config.shapes import nearest
from ali_plugin.errors import PartMismatch
from ali_plugin.nets.picture_sizes import LARGEST, SMALLEST, grids, multiple_of, square_sides
from ali_plugin.nets.residual import Bottleneck, Residual, maps_of
from ali_plugin.nets.residual_nets import ResidualDecoder, ResidualDiscriminator, ResidualEncoder
from ali_registry import Decoder, Discriminator, Encoder, default_registry

SMALL: dict[str, Any] = {"latent_size": 5, "width": 8, "blocks": 1, "block": "residual"}
SIDES = square_sides()


@pytest.mark.parametrize(
    ("size", "coarsest", "levels"),
    [((16, 16), (4, 4), 1), ((28, 28), (7, 7), 1), ((32, 32), (8, 8), 1), ((40, 40), (5, 5), 2), ((64, 64), (8, 8), 2),
     ((48, 64), (6, 8), 2), ((128, 128), (8, 8), 3), ((256, 256), (8, 8), 4), ((32, 256), (8, 64), 1)],
)  # fmt: skip
def test_grids(size: tuple[int, int], coarsest: tuple[int, int], levels: int) -> None:
    found = grids((3, *size))
    assert (found[-1], len(found)) == (coarsest, levels)


@given(st.integers(1, 300), st.integers(1, 300))
def test_a_size_is_taken_or_the_nearest_are_named(height: int, width: int) -> None:
    try:
        found = grids((1, height, width))
    except PartMismatch as error:
        words = str(error)
        assert f"{height}x{width}" in words
        for side in words.split("; take ")[1].split(" in place")[0].split(" or "):
            assert SMALLEST <= int(side) <= LARGEST
        return
    assert 4 <= min(found[-1]) <= 8
    assert (found[0][0] * 4, found[0][1] * 4) == (height, width)
    assert all((one[0] // 2, one[1] // 2) == other for one, other in pairwise(found))


@settings(deadline=None)
@given(st.integers(1, 400))
def test_the_nearest_size_is_taken_and_none_is_nearer(side: int) -> None:
    found = nearest(PRESETS[0].architecture(), side)
    assert grids((3, found, found))
    assert abs(found - side) == min(abs(one - side) for one in SIDES)
    assert set(SIDES) == {one for one in range(1, 300) if _taken(one)}


def _taken(side: int) -> bool:
    try:
        return bool(grids((1, side, side)))
    except PartMismatch:
        return False


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(PartMismatch, match="for pictures, the data are of shape"):
        grids((784,))
    with pytest.raises(PartMismatch, match="take 64 or 72 in place of 66"):
        grids((3, 64, 66))
    assert multiple_of(33) == 8


@settings(max_examples=12, deadline=None)
@given(
    st.sampled_from(SIDES[:12]),
    st.sampled_from(["residual", "bottleneck"]),
    st.integers(1, 4),
    st.integers(0, 2),
    st.integers(0, 2),
    st.integers(4, 60),
)
def test_nets_of_any_size(side: int, block: str, channels: int, blocks: int, fine: int, width: int) -> None:
    options = {**SMALL, "data_shape": (channels, side, side), "block": block, "blocks": blocks, "fine": fine,
               "width": width}  # fmt: skip
    encoder, decoder = ResidualEncoder(**options), ResidualDecoder(**options)
    x = torch.rand(2, channels, side, side)
    posterior = encoder(x)
    assert posterior.mean.shape == (2, 5)
    assert posterior.stddev.mean() < 0.5
    made = decoder(torch.randn(2, 5))
    assert made.shape == x.shape
    assert 0 < made.min() < made.max() < 1
    assert ResidualDiscriminator(**options)(x, torch.randn(2, 5)).shape == (2, 1)


def test_a_discriminator_packs_scores_and_takes_classes_and_conditions() -> None:
    net = ResidualDiscriminator(
        data_shape=(3, 16, 16), condition_size=4, classes=3, packing=2, unary=True, **SMALL
    ).train()  # fmt: skip
    x, z, condition = torch.rand(6, 3, 16, 16), torch.randn(6, 5), torch.eye(4)[torch.tensor([0, 1, 2, 3, 0, 1])]
    s_x, s_z, joint = net.scores(x, z, condition)
    assert (s_x.shape, s_z.shape, joint.shape) == ((3, 1), (3, 1), (3, 3))
    assert net.eval()(x, z, condition).shape == (6, 3)
    assert not torch.equal(net(x, z, condition), net(x, z, condition.roll(1, 0)))
    with pytest.raises(PartMismatch, match="takes a condition of"):
        net(x, z)


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_presets_follow_the_rule(preset: Any) -> None:
    registry = default_registry()
    for kind in (Encoder, Decoder, Discriminator):
        assert registry.get(kind, preset.name).defaults == {
            "width": preset.width, "blocks": preset.blocks, "block": "residual", "fine": 0,
        }  # fmt: skip
    record = registry.get(Encoder, preset.name)
    encoder = record.call(data_shape=(3, 128, 128), latent_size=8, **record.defaults)
    maps = [module.out_channels for module in encoder.modules()
            if isinstance(module, nn.Conv2d) and module.stride != (1, 1)]  # fmt: skip
    assert maps == [preset.width, 2 * preset.width, 4 * preset.width]
    assert maps_of(5, preset.width) == 4 * preset.width


def test_every_block_starts_as_the_identity_and_the_decoder_at_the_mean_of_the_data() -> None:
    x = torch.randn(2, 32, 6, 6)
    decoder = ResidualDecoder(data_shape=(3, 16, 24), **SMALL)
    for block in (module for module in decoder.modules() if hasattr(module, "layers")):
        assert torch.equal(block(x[:, :8]), x[:, :8])
    assert not torch.equal(Bottleneck(32)(x), x)
    mean = torch.rand(3, 16, 24)
    decoder.initialise_output(mean)
    made = decoder(torch.zeros(1, 5))[0].mean((1, 2))
    assert torch.allclose(made, mean.mean((1, 2)), atol=0.02)


def test_the_deviation_of_a_code_grows_linearly_above_that_of_the_prior() -> None:
    """Early steps widen q(z|x) far; exp(90) would end the game, and no gradient would end the widening."""
    encoder = ResidualEncoder(data_shape=(1, 16, 16), **SMALL)
    raw = torch.tensor([-7.0, -2.0, 0.0, 1.0, 90.0], requires_grad=True)
    with torch.no_grad():
        encoder.output.weight.zero_()
    before = encoder(torch.rand(1, 1, 16, 16)).log_stddev[0, 0].item()  # of a bias of 0
    encoder.output.register_forward_hook(lambda net, given, out: torch.cat([torch.zeros(5), raw - before])[None])
    stddev = encoder(torch.rand(1, 1, 16, 16)).stddev[0]
    torch.testing.assert_close(stddev, torch.tensor([-7.0, -2.0, 0.0, 0.0, 0.0]).exp() + torch.tensor([0, 0, 0, 1, 90]))
    (gradient,) = torch.autograd.grad(stddev.sum(), raw)
    assert gradient[-1] == 1


def test_fine_blocks_work_on_a_grid_of_half_the_width() -> None:
    """And cost as much as those of the finest grid: four times the positions, a quarter of the weights."""
    options = {**SMALL, "data_shape": (1, 28, 28), "width": 16, "blocks": 0, "fine": 2}
    x, z = torch.rand(2, 1, 28, 28), torch.randn(2, 5)
    nets = encoder, decoder, discriminator = (
        ResidualEncoder(**options), ResidualDecoder(**options), ResidualDiscriminator(**options)
    )  # fmt: skip
    shapes: list[Any] = []
    for block in (module for net in nets for module in net.modules() if isinstance(module, Residual)):
        block.register_forward_hook(lambda block, given, made: shapes.append(tuple(made.shape[1:])))
    encoder(x), decoder(z), discriminator(x, z)
    assert shapes == [(8, 14, 14)] * 6


def test_what_is_doubled_is_smooth_and_keeps_its_level() -> None:
    """[1, 2, 1] / 4 in both directions: a constant stays, also at the borders, and a chequerboard vanishes inside."""
    from ali_plugin.nets.residual import Smooth

    rows, columns = torch.meshgrid(torch.arange(8), torch.arange(8), indexing="ij")
    board = ((rows + columns) % 2).float().expand(1, 3, 8, 8)
    assert torch.allclose(Smooth()(torch.full((1, 3, 8, 8), 0.7)), torch.full((1, 3, 8, 8), 0.7))
    assert torch.allclose(Smooth()(board)[..., 1:-1, 1:-1], torch.full((1, 3, 6, 6), 0.5))
