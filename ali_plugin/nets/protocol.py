"""What a plugin's net may offer beside its ``forward``. Nothing of it is needed: each has a default."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from ali_plugin.errors import PartMismatch


@dataclass(frozen=True)
class Offers:
    """Attributes that a net may have, under the same names; the defaults are those of a net without them.

    Attributes:
        couples_batch: of a discriminator: some layer mixes the samples of a batch, as batch norm does. Only a net
            that says False gets both players' gradients from one backward.
        takes_kinds: of a discriminator: x and z may also come as tuples of batches (of the data and of the fakes),
            which stand for their concatenation. A net that keeps them apart in its first layers saves the gradient
            of the data, which nobody needs.
        hidden: of an encoder: its hidden layers, one module a layer, whose outputs ``representation`` measures.
        initialise_output: of a decoder: called before training with the mean of the data, of the data's shape.
    """

    couples_batch: bool = True
    takes_kinds: bool = False
    hidden: nn.Sequential | None = None
    initialise_output: Callable[[Tensor], None] | None = None


def offers(net: nn.Module) -> Offers:
    """What a net offers.

    Raises:
        PartMismatch: an attribute of such a name is something else.
    """
    found = Offers(**{name: getattr(net, name) for name in Offers.__dataclass_fields__ if hasattr(net, name)})
    sound = {
        "couples_batch": isinstance(found.couples_batch, bool),
        "takes_kinds": isinstance(found.takes_kinds, bool),
        "hidden": found.hidden is None or isinstance(found.hidden, nn.Sequential),
        "initialise_output": found.initialise_output is None or callable(found.initialise_output),
    }
    for name, is_sound in sound.items():
        if not is_sound:
            raise PartMismatch(
                f"{type(net).__name__}.{name} is a {type(getattr(net, name)).__name__}; see docs/plugins.md"
            )
    return found
