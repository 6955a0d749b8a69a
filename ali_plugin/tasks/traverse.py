"""What the single directions of the latent space do to what a model decodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ali_plugin.config import conditions
from ali_plugin.errors import OptionError
from ali_plugin.model import ALI
from ali_plugin.tasks.generate import refuse_too_many
from ali_plugin.tasks.inputs import Inputs

DIRECTIONS, STEPS, REACH = 8, 9, 3.0


@dataclass(frozen=True)
class Traversals:
    """One direction a row.

    Attributes:
        images: (D, steps, *data_shape) on the CPU.
        directions: the element of z that changes along each row.
    """

    images: Tensor
    directions: tuple[int, ...]


@torch.no_grad()
def traversals(
    model: ALI,
    directions: int | Sequence[int] = DIRECTIONS,
    steps: int = STEPS,
    reach: float = REACH,
    *,
    start: Inputs | None = None,
    condition: str | None = None,
) -> Traversals:
    """Decode z while one of its elements at a time goes from -reach to reach.

    Args:
        directions: elements of z, or how many of those that change the data most.
        start: one sample, at whose code the others stay; at the prior's mean, 0, if None.
        condition: of a conditional model without ``start``, as ``conditions.parse`` reads it.

    Raises:
        OptionError: there is no such direction, not one sample, fewer than 2 steps, a reach that is not positive, or
            no condition for a conditional model.
    """
    z = None
    if start is not None:
        if len(start.data) != 1:
            raise OptionError(f"a traversal starts at one picture, not at {len(start.data)}")
        shown = None if start.condition is None else start.condition.to(model.device, model.dtype)
        z = model.encode(start.x.to(model.device, model.dtype), shown).mean
    elif condition is not None:
        shown = conditions.parse(condition, model.config)[None]
    elif model.config.condition_size:
        raise OptionError("the model is conditional; say with --condition what is to be shown")
    else:
        shown = None
    count = min(directions, model.config.latent_size) if isinstance(directions, int) else len(directions)
    refuse_too_many(count * steps, model)
    images, chosen = model.traverse(directions, steps, reach, z=z, condition=shown)
    return Traversals(images, tuple(chosen))
