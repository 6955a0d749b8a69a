"""What a plugin's net may offer beside its ``forward``. Nothing of it is needed: each has a default."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from ali_plugin.errors import PartMismatch
from ali_plugin.support.strict_json import short


@dataclass(frozen=True)
class Offers:
    """Attributes that a net may have, under the same names; the defaults are those of a net without them.

    Attributes:
        couples_batch: of a discriminator: some layer mixes the samples of a batch, as batch norm does. Only a net
            that says False gets both players' gradients from one backward.
        takes_kinds: of a discriminator: x and z may also come as tuples of batches (of the data and of the fakes),
            which stand for their concatenation. A net that keeps them apart in its first layers saves the gradient
            of the data, which nobody needs.
        packing: of a discriminator: how many pairs it judges together in training, B pairs making B / packing logits.
        symmetric: of a discriminator of pictures: it takes them to [-1, 1] itself.
        unary: of a discriminator: ``scores(x, z, condition)`` gives s_x, s_z and the logits of the pairs.
        x_features: of a discriminator: D(x), from x alone.
        hidden: of an encoder: its hidden layers, one module a layer, whose outputs ``representation`` measures.
        initialise_output: of a decoder: called before training with the mean of the data, of the data's shape.
    """

    couples_batch: bool = True
    takes_kinds: bool = False
    packing: int = 1
    symmetric: bool = False
    unary: bool = False
    x_features: Callable[[Tensor], Tensor] | None = None
    hidden: nn.Sequential | None = None
    initialise_output: Callable[[Tensor], None] | None = None


def offers(net: nn.Module) -> Offers:
    """What a net offers. What is of another kind, a ``hidden`` that is no ``nn.Sequential``, is a layer of the net's
    own, and no offer.

    Raises:
        PartMismatch: ``couples_batch`` or ``takes_kinds`` is neither True nor False.
    """
    flags = {name: getattr(net, name, getattr(Offers, name)) for name in ("couples_batch", "takes_kinds")}
    for name, value in flags.items():
        if not isinstance(value, bool):
            raise PartMismatch(f"{type(net).__name__}.{name} is {short(repr(value))}, neither True nor False")
    hidden, initialise = getattr(net, "hidden", None), getattr(net, "initialise_output", None)
    packing, features = getattr(net, "packing", 1), getattr(net, "x_features", None)
    return Offers(
        **flags,
        packing=packing if type(packing) is int and packing > 0 else 1,
        symmetric=getattr(net, "symmetric", False) is True,
        unary=getattr(net, "unary", False) is True,
        x_features=features if callable(features) else None,
        hidden=hidden if isinstance(hidden, nn.Sequential) else None,
        initialise_output=initialise if callable(initialise) else None,
    )
