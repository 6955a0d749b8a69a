"""Every built-in architecture against the published tables, row by row.

A row is (operation, kernel, stride, filters, norm, dropout, nonlinearity, output side). The figures are those of
appendix A, written down here a second time on purpose.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from ali_plugin import ALI
from ali_plugin.config.compose import compose_by_recipe
from ali_plugin.config.describe import LayerLine, describe_architecture
from ali_plugin.nets.layers import Layer
from ali_plugin.nets.table_nets import TableDiscriminator
from ali_registry import Architecture, default_registry
from conftest import Ali

Row = tuple[str, int, int, int, bool, float, str, int]


def rows(kind: str, text: str, norm: bool, dropout: float, activation: str) -> list[Row]:
    """Rows that share columns, from "kernel/stride maps side" items."""
    parsed = []
    for item in text.split(","):
        size, maps, side = item.split()
        kernel, stride = map(int, size.split("/"))
        parsed.append((kind, kernel, stride, int(maps), norm, dropout, activation, int(side)))
    return parsed


def encoder_32(latent: int, leak: str) -> list[Row]:
    hidden = rows("conv", "5/1 32 28, 4/2 64 13, 4/1 128 10, 4/2 256 4, 4/1 512 1, 1/1 512 1", True, 0, leak)
    return [*hidden, ("conv", 1, 1, 2 * latent, False, 0, "identity", 1)]


def decoder_32(leak: str) -> list[Row]:
    up = rows("tconv", "4/1 256 4, 4/2 128 10, 4/1 64 13, 4/2 32 28, 5/1 32 32", True, 0, leak)
    return [*up, ("conv", 1, 1, 32, True, 0, leak, 32), ("conv", 1, 1, 3, False, 0, "sigmoid", 32)]


def cifar10_discriminator(factor: int) -> list[Row]:
    first = [("conv", 5, 1, factor * 32, False, 0.2, "maxout 2", 28)]
    x = f"4/2 {factor * 64} 13, 4/1 {factor * 128} 10, 4/2 {factor * 256} 4, 4/1 {factor * 512} 1"
    z = [("conv", 1, 1, factor * 512, False, p, "maxout 2", 1) for p in (0.2, 0.5)]
    joint = [("conv", 1, 1, factor * 1024, False, 0.5, "maxout 2", 1)] * 2
    return [*first, *rows("conv", x, False, 0.5, "maxout 2"), *z, *joint, ("conv", 1, 1, 1, False, 0.5, "identity", 1)]


def plain_tail(z: int, joint: int, leak: str) -> list[Row]:
    return [
        *[("conv", 1, 1, z, False, 0.2, leak, 1)] * 2,
        *[("conv", 1, 1, joint, False, 0.2, leak, 1)] * 2,
        ("conv", 1, 1, 1, False, 0.2, "identity", 1),
    ]


CELEBA_X = "7/2 128 29, 5/2 256 13, 7/2 256 4, 4/1 512 1"
CELEBA_LEAK, TINY_LEAK, SVHN_LEAK = "leaky_relu 0.02", "leaky_relu 0.01", "leaky_relu 0.01"
TINY_X = "4/1 64 28, 4/2 128 13, 4/1 128 10, 4/2 256 4, 4/1 256 1"

PUBLISHED: dict[str, dict[str, list[Row]]] = {
    "cifar10": {
        "encoder": encoder_32(64, "leaky_relu 0.1"),
        "decoder": decoder_32("leaky_relu 0.1"),
        "discriminator": cifar10_discriminator(2),
    },
    "cifar10-released": {
        "encoder": encoder_32(64, "leaky_relu 0.1"),
        "decoder": decoder_32("leaky_relu 0.1"),
        "discriminator": cifar10_discriminator(1),
    },
    "svhn": {
        "encoder": encoder_32(256, SVHN_LEAK),
        "decoder": decoder_32(SVHN_LEAK),
        "discriminator": [
            ("conv", 5, 1, 32, False, 0.2, SVHN_LEAK, 28),
            *rows("conv", "4/2 64 13, 4/1 128 10, 4/2 256 4, 4/1 512 1", True, 0.2, SVHN_LEAK),
            *plain_tail(512, 1024, SVHN_LEAK),
        ],
    },
    "celeba": {
        "encoder": [
            *rows("conv", f"2/1 64 63, {CELEBA_X}", True, 0, CELEBA_LEAK),
            ("conv", 1, 1, 512, False, 0, "identity", 1),
        ],
        "decoder": [
            *rows("tconv", "4/1 512 4, 7/2 256 13, 5/2 256 29, 7/2 128 63, 2/1 64 64", True, 0, CELEBA_LEAK),
            ("conv", 1, 1, 3, False, 0, "sigmoid", 64),
        ],
        "discriminator": [
            ("conv", 2, 1, 64, False, 0.2, CELEBA_LEAK, 63),
            *rows("conv", CELEBA_X, True, 0.2, CELEBA_LEAK),
            *plain_tail(1024, 2048, CELEBA_LEAK),
        ],
    },
    "tiny-imagenet": {
        "encoder": [
            *rows("conv", f"4/2 64 31, {TINY_X}, 1/1 2048 1, 1/1 2048 1", True, 0, TINY_LEAK),
            ("conv", 1, 1, 512, False, 0, "identity", 1),
        ],
        "decoder": [
            *rows("conv", "1/1 2048 1, 1/1 256 1", True, 0, TINY_LEAK),
            *rows("tconv", "4/1 256 4, 4/2 128 10, 4/1 128 13, 4/2 64 28, 4/1 64 31, 4/2 64 64", True, 0, TINY_LEAK),
            ("conv", 1, 1, 3, False, 0, "sigmoid", 64),
        ],
        "discriminator": [
            ("conv", 4, 2, 64, False, 0.2, TINY_LEAK, 31),
            *rows("conv", TINY_X, True, 0.2, TINY_LEAK),
            *plain_tail(2048, 4096, TINY_LEAK),
        ],
    },
    "mixture": {
        "encoder": [
            *[("linear", 1, 1, 400, True, 0, "relu", 1)] * 2,
            ("linear", 1, 1, 2, False, 0, "identity", 1),
        ],
        "decoder": [
            *[("linear", 1, 1, 400, True, 0, "relu", 1)] * 4,
            ("linear", 1, 1, 2, False, 0, "identity", 1),
        ],
        "discriminator": [
            *[("linear", 1, 1, 1000, False, 0, "maxout 5", 1)] * 3,
            ("linear", 1, 1, 1, False, 0, "identity", 1),
        ],
    },
}
JOINT = {"cifar10": 1024, "cifar10-released": 512, "svhn": 1024, "celeba": 1536, "tiny-imagenet": 2304, "mixture": 4}


def as_row(line: LayerLine) -> Row:
    operation, _, size = line.operation.partition(" ")
    kernel, stride = (1, 1) if not size else map(int, size.split("x")[1].split("/"))
    assert line.maps is not None
    side = line.shape[1] if len(line.shape) == 3 else 1
    return (operation, kernel, stride, line.maps, line.norm, line.dropout, line.activation, side)


@pytest.mark.parametrize("part", ["encoder", "decoder", "discriminator"])
@pytest.mark.parametrize("name", PUBLISHED)
def test_layers_are_the_published_ones(name: str, part: str) -> None:
    lines = [line for line in describe_architecture(name) if line.part == part]
    assert [as_row(line) for line in lines] == PUBLISHED[name][part]


@pytest.mark.parametrize("name", JOINT)
def test_joint_input(name: str) -> None:
    discriminator = ALI.from_architecture(name).discriminator
    assert isinstance(discriminator, TableDiscriminator)
    assert discriminator.joint_size == JOINT[name]


@pytest.mark.parametrize("name", PUBLISHED)
def test_biases(name: str) -> None:
    """None under batch norm; the last encoder and decoder layers have biases untied over space."""
    lines = describe_architecture(name)
    assert all(line.bias == "none" for line in lines if line.norm)
    if name != "mixture":
        for part in ("encoder", "decoder"):
            last = [line for line in lines if line.part == part][-1]
            assert last.bias == "untied"
            weights = last.maps or 0
            biases = last.shape[0] * last.shape[1] * last.shape[2]
            assert (last.parameters - biases) % weights == 0
    if name.startswith("cifar10"):
        joint = [line for line in lines if line.part == "discriminator" and line.name.startswith("z_layers")]
        assert [line.bias for line in joint] == ["none", "none"]


def test_conditional_celeba_embeds_in_each_net() -> None:
    model = ALI.from_architecture("celeba-conditional")
    assert model.config.condition_size == 40
    for part in ("encoder", "decoder", "discriminator"):
        assert model.part(part).get_parameter("embedding.weight").shape == (256, 40)
    discriminator = model.discriminator
    assert isinstance(discriminator, TableDiscriminator)
    assert discriminator.joint_size == 1536 + 256
    decoder_in = next(m for m in model.part("decoder").modules() if isinstance(m, nn.ConvTranspose2d)).in_channels
    assert decoder_in == 256 + 256


@pytest.mark.parametrize("name", PUBLISHED)
def test_layer_recipe(name: str) -> None:
    """N(0, std^2) weights, zero biases, batch norm at scale 1, shift 0, momentum 0.05 and epsilon 1e-4."""
    torch.manual_seed(0)
    model = ALI.from_architecture(name)
    std = 0.02 if name == "mixture" else 0.01
    for module in model.modules():
        if isinstance(module, Layer):
            weight = module.get_parameter("operation.weight")
            if weight.numel() > 2000:
                assert weight.std().item() == pytest.approx(std, rel=0.1)
                assert abs(weight.mean().item()) < 4 * std / weight.numel() ** 0.5
            assert module.output_bias is None or not module.output_bias.any()
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            assert (module.momentum, module.eps) == (0.05, 1e-4)
            assert (module.weight == 1).all()
            assert not module.bias.any()
        assert not isinstance(module, nn.Dropout1d | nn.Dropout2d | nn.Dropout3d)


def test_dropout_takes_elements_not_channels() -> None:
    torch.manual_seed(0)
    layers = [m for m in ALI.from_architecture("svhn").part("discriminator").modules() if isinstance(m, Layer)]
    dropout: Any = layers[1].get_submodule("dropout").train()
    out: torch.Tensor = dropout(torch.ones(4, 32, 28, 28))
    kept = (out != 0).float()
    assert kept.mean().item() == pytest.approx(0.8, abs=0.01)
    assert out[out != 0].unique().tolist() == pytest.approx([1.25], rel=1e-4)
    per_channel = kept.mean((2, 3))
    assert ((per_channel > 0.7) & (per_channel < 0.9)).all()


def test_maxout_takes_adjacent_filters() -> None:
    from ali_plugin.nets.layers import Maxout

    x = torch.arange(24.0).reshape(1, 6, 2, 2) * torch.tensor([1.0, -1.0]).repeat(3)[None, :, None, None]
    for pieces in (2, 3):
        expected = torch.stack([x[:, c * pieces : (c + 1) * pieces].amax(1) for c in range(6 // pieces)], 1)
        assert torch.equal(Maxout(pieces)(x), expected)


def test_output_bias_is_the_log_odds_of_the_data() -> None:
    model = ALI.from_architecture("cifar10")
    decoder: Any = model.part("decoder")
    mean = torch.rand(3, 32, 32)
    mean[0, 0, 0] = 0
    decoder.initialise_output(mean)
    with torch.no_grad():
        for parameter in model.part("decoder").parameters():
            if parameter.ndim == 4:
                parameter.zero_()
    torch.testing.assert_close(model.eval().decode(torch.randn(1, 64))[0], mean, atol=2e-7, rtol=1e-5)


def test_show_prints_the_table(ali: Ali) -> None:
    shown = json.loads(ali("show", "svhn", "--json").out)
    assert shown["layers"] == json.loads(json.dumps([asdict(line) for line in describe_architecture("svhn")]))
    text = ali("show", "svhn").out
    for fragment in ("tconv 5x5/1", "32x28x28", "leaky_relu 0.01", "untied", "epochs 100", "batch_size 100"):
        assert fragment in text


def test_an_architecture_is_as_its_recipe_trains_it(ali: Ali) -> None:
    """Its own parts with the recipe's arguments; what is said wins, and another part takes its own."""
    own = ALI.from_architecture("fashion-residual").config
    recipe = default_registry().get(Architecture, "fashion-residual").training.settings
    assert recipe["decoder"]["blocks"] == 2
    assert own.decoder is not None
    assert own.decoder.arguments.items() >= recipe["decoder"].items()
    said = compose_by_recipe("fashion-residual", arguments={"decoder": {"blocks": 3}}).decoder
    assert said is not None
    assert [said.arguments[name] for name in ("blocks", "fine")] == [3, 1]
    other = compose_by_recipe("garments", parts={"decoder": "residual-base"})
    assert [part.arguments["fine"] for part in (other.encoder, other.decoder) if part is not None] == [1, 0]

    text = ali("show", "fashion-residual").out
    assert "decoder.blocks=2" in text
    assert text.count("conv 3x3/1 pad 1") == 2 * (3 + 3 + 1)  # two layers a block, of D one block


def test_a_run_goes_on_with_its_own_nets_whatever_the_recipe_says_now(ali: Ali, tmp_path: Path) -> None:
    """As one that was begun when the recipe had no fine blocks: neither has what it wrote."""
    out = tmp_path / "run"
    train = ("train", "--device", "cpu", "-q", "--out", out)
    without = ("--set", "encoder.fine=0", "--set", "decoder.fine=0")
    begun = ali(*train, "--arch", "garments", "--batch-size", 4, "--steps", 1, *without)
    assert begun.code == 0, begun.err
    written = out / "train_config.json"
    config = json.loads(written.read_text())
    assert [config["settings"].pop(part) for part in ("encoder", "decoder")] == [{"fine": 0}] * 2
    written.write_text(json.dumps(config))
    resumed = ali(*train, "--resume", "--steps", 2)
    assert resumed.code == 0, resumed.err
    assert json.loads((out / "config.json").read_text())["decoder"]["arguments"]["fine"] == 0


@pytest.mark.parametrize("architecture", ["svhn", "cifar10-released", "fashion", "mixture", "celeba-conditional"])
def test_discriminator_takes_kinds_of_pairs_as_one_batch(architecture: str) -> None:
    torch.manual_seed(0)
    model = ALI.from_architecture(architecture).eval()
    config = model.config
    xs = torch.rand(2, 3, *config.data_shape).unbind()
    zs = torch.randn(2, 3, config.latent_size).unbind()
    condition = torch.rand(6, config.condition_size) if config.condition_size else None
    discriminator = model.part("discriminator")
    logits = discriminator(tuple(xs), tuple(zs), condition)
    torch.testing.assert_close(logits, discriminator(torch.cat(xs), torch.cat(zs), condition))
