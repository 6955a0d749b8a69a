"""What nets may offer beside ``forward``, and that they stay ordinary modules in training."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from ali_plugin import ALI
from ali_plugin.errors import PartMismatch
from ali_plugin.nets.protocol import Offers, offers
from ali_plugin.objectives.ali import ALIGame
from ali_plugin.objectives.game import Batch


def test_a_plain_net_offers_the_defaults() -> None:
    assert offers(nn.Linear(2, 2)) == Offers(couples_batch=True, takes_kinds=False, hidden=None)


@pytest.mark.parametrize(
    ("name", "value"), [("couples_batch", "no"), ("takes_kinds", 1), ("hidden", nn.ReLU()), ("initialise_output", 0.5)]
)
def test_an_offer_of_another_kind_is_refused(name: str, value: object) -> None:
    net = nn.Identity()
    setattr(net, name, value)
    with pytest.raises(PartMismatch, match=f"Identity.{name} is a "):
        offers(net)


@pytest.mark.parametrize("architecture", ["svhn", "fashion", "cifar10-released"])
def test_hooks_on_every_layer_of_the_discriminator_fire_in_training(architecture: str) -> None:
    model = ALI.from_architecture(architecture)
    discriminator = model.part("discriminator")
    game = ALIGame(model)
    seen: dict[str, int] = {}

    def watch(name: str) -> None:
        def note(_: nn.Module, __: object, output: torch.Tensor) -> None:
            seen[name] = seen.get(name, 0) + len(output)

        layers[name].register_forward_hook(note)

    layers = {name: module for name, module in discriminator.named_modules() if name and name != "joint"}
    layers = {name: module for name, module in layers.items() if not isinstance(module, nn.Sequential | nn.Identity)
              or "operation" in dict(module.named_children())}  # fmt: skip
    for name in layers:
        watch(name)
    game.gradients(Batch(torch.rand(3, *model.config.data_shape)))
    assert seen == dict.fromkeys(layers, 6)  # three pairs of either kind
