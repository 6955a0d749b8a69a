"""Points in the latent space: lines, axes, neighbours, draws from the middle of the prior."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite, sqrt

import torch
from torch import Tensor

from ali_plugin.errors import OptionError

ROWS = 2000  # of both sides whose distances are in memory at once
AT_ONCE = 250  # latents that are decoded at once, which bounds the memory


def lines(start: Tensor, end: Tensor, steps: int) -> Tensor:
    """Points (B, steps, L) on the lines between latents (B, L), both ends among them.

    Raises:
        OptionError: fewer than 2 steps.
    """
    if steps < 2:
        raise OptionError(f"an interpolation has at least 2 steps, not {steps}")
    weights = torch.linspace(0, 1, steps, device=start.device, dtype=start.dtype)
    return torch.lerp(start[:, None], end[:, None], weights[None, :, None])


def traversal(
    decode: Callable[[Tensor], Tensor], z: Tensor, directions: int | Sequence[int], steps: int, reach: float
) -> tuple[Tensor, list[int]]:
    """What is decoded while one element of z (1, L) at a time goes from -reach to reach.

    Args:
        decode: latents (B, L) to data (B, *shape), for at most ``AT_ONCE`` latents.
        directions: which elements; or how many of those (all, if there are fewer) that change the data most, by the
            mean squared difference between the data at -reach and at reach, the first the most.

    Returns:
        Data (directions, steps, *shape), and the elements.

    Raises:
        OptionError: there is no such direction, fewer than 2 steps, or the reach is not positive.
    """
    if steps < 2:
        raise OptionError(f"a traversal has at least 2 steps, not {steps}")
    if not (isfinite(reach) and reach > 0):
        raise OptionError(f"a traversal goes from -range to range, and its range is {reach:g}; 3 is usual")
    size = z.shape[1]
    if isinstance(directions, int):
        if directions < 1:
            raise OptionError(f"cannot show {directions} directions, at least 1")
        parts = torch.arange(size).split(AT_ONCE // 2)
        ends = [decode(axes(z, part.tolist(), 2, reach)).unflatten(0, (-1, 2)).float() for part in parts]
        changes = torch.cat([(end[:, 1] - end[:, 0]).square().flatten(1).mean(1) for end in ends])
        directions = changes.argsort(descending=True, stable=True)[:directions].tolist()
    for element in directions:
        if not 0 <= element < size:
            raise OptionError(f"the latent space has no direction {element}; they are 0 to {size - 1}")
    made = [decode(part) for part in axes(z, directions, steps, reach).split(AT_ONCE)]
    return torch.cat(made).unflatten(0, (len(directions), steps)), list(directions)


def axes(z: Tensor, elements: Sequence[int], steps: int, reach: float) -> Tensor:
    """Points (D steps, L): z (1, L) while one of its elements at a time goes from -reach to reach."""
    points = z.repeat(len(elements), steps, 1)
    values = torch.linspace(-reach, reach, steps, device=z.device, dtype=z.dtype)
    points[torch.arange(len(elements)), :, torch.tensor(elements, dtype=torch.long)] = values
    return points.flatten(0, 1)


def truncated(noise: Tensor, truncation: float) -> Tensor:
    """Noise N(0, 1) as noise of the normal distribution that ends at -truncation and at truncation.

    This is the truncation trick (Brock et al., 2019): redrawing what lies outside. Here each number goes to the one
    of the same rank, so that a seed's samples stay recognisable whatever the truncation.

    Raises:
        OptionError: the truncation is not positive.
    """
    if not (isfinite(truncation) and truncation > 0):
        raise OptionError(f"the truncation is {truncation:g}, it has to be more than 0; 2 is mild, 0.5 is strong")
    exact = noise.double().cpu() / sqrt(2)  # not every device has doubles
    ranked = sqrt(2) * torch.erfinv(torch.erf(exact) * torch.erf(torch.tensor(truncation / sqrt(2)).double()))
    # Far out, where erf is 1 to the last digit, nothing is changed that could be seen.
    finite = torch.where(ranked.isfinite(), ranked, exact * sqrt(2))
    return finite.clamp(-truncation, truncation).to(noise.device, noise.dtype)


def nearest(queries: Tensor, points: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The nearest ``count`` (all, if there are fewer) of points (P, L) to each query (Q, L), nearest first.

    Returns:
        Euclidean distances (Q, count) and indices (Q, count).
    """
    points = points.float()  # distances are not there for all types
    found = [_nearest(part.float(), points, count) for part in queries.split(ROWS)]
    distances, indices = zip(*found, strict=True)
    return torch.cat(distances), torch.cat(indices)


def _nearest(queries: Tensor, points: Tensor, count: int) -> tuple[Tensor, Tensor]:
    distance = queries.new_empty(len(queries), 0)
    index = torch.empty(len(queries), 0, dtype=torch.long, device=queries.device)
    for start, part in enumerate(points.split(ROWS)):
        more, where = torch.cdist(queries, part).topk(min(count, len(part)), dim=1, largest=False)
        distance, index = torch.cat([distance, more], 1), torch.cat([index, where + start * ROWS], 1)
        distance, kept = distance.topk(min(count, distance.shape[1]), dim=1, largest=False)
        index = index.gather(1, kept)
    # Those above are of matrix products, which round to no more than who is near.
    exact = torch.stack([(queries - points[column]).norm(dim=1) for column in index.T], 1)  # (Q, count)
    exact, order = exact.sort(stable=True, dim=1)
    return exact, index.gather(1, order)
