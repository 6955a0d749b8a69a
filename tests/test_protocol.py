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


@pytest.mark.parametrize(("name", "value"), [("couples_batch", "no"), ("takes_kinds", 1), ("couples_batch", None)])
def test_an_offer_that_is_neither_true_nor_false_is_refused(name: str, value: object) -> None:
    net = nn.Identity()
    setattr(net, name, value)
    with pytest.raises(PartMismatch, match=f"Identity.{name} is .*, neither True nor False"):
        offers(net)


def test_a_layer_that_happens_to_be_called_hidden_is_no_offer() -> None:
    net = nn.Module()
    net.hidden = nn.Linear(2, 2)
    setattr(net, "initialise_output", 0.5)  # noqa: B010
    assert offers(net) == Offers()


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
