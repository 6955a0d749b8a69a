"""Nearest neighbours in bounded memory, and what they say about two sets of samples."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ali_plugin.nets.latents import nearest
from ali_plugin.support.progress import track

ROWS = 2000  # of both sides in memory at once
ROUNDING = 1e-5  # of a point's norm: what computing it a second time may change
Rows = Tensor | NDArray[np.float32]


def nearest_neighbours(queries: Rows, points: Rows) -> Tensor:
    """Index (Q,) of the Euclidean nearest point (P, D) for each query (Q, D); either may be a memory map."""
    found = []
    for query in track(_parts(queries), "nearest neighbours", -(-len(queries) // ROWS)):
        best = torch.full((len(query),), torch.inf, dtype=query.dtype)
        index = torch.zeros(len(query), dtype=torch.long)
        for start, part in enumerate(_parts(points)):
            distance, where = torch.cdist(query, part).min(1)
            closer = distance < best
            best[closer], index[closer] = distance[closer], where[closer] + start * ROWS
        found.append(index)
    return torch.cat(found)


def nearest_distances(queries: Tensor, points: Tensor, k: int) -> Tensor:
    """Euclidean distances (Q, k) of queries (Q, D) to the nearest k of more than k points (P, D), nearest first.

    A query that is one of the points has the k others: of points no further than rounding, one is passed over.
    """
    exact, _ = nearest(queries, points, k + 1)
    itself = exact[:, :1] <= ROUNDING * queries.norm(dim=1, keepdim=True)
    return torch.where(itself, exact[:, 1:], exact[:, :-1])


def radii(points: Tensor, k: int) -> Tensor:
    """Distance (P,) from each point (P, D) to its k-th nearest fellow."""
    kth = [torch.cdist(part, points).kthvalue(k + 1, dim=1).values for part in points.split(ROWS)]
    return torch.cat(kth)  # the nearest of all is the point itself


def fidelity_and_diversity(real: Tensor, fake: Tensor, k: int = 5) -> dict[str, float]:
    """Precision and recall (Kynkaanniemi et al., 2019), density and coverage (Naeem et al., 2020).

    Args:
        real, fake: features (N, D) and (M, D), both more than k.
    """
    real_radius, fake_radius = radii(real, k), radii(fake, k)
    near_real = torch.zeros(len(fake), dtype=torch.float32)  # how many balls around real samples a fake lies in
    near_fake = torch.zeros(len(real), dtype=torch.bool)  # a real sample lies in the ball of some fake
    covered = torch.zeros(len(real), dtype=torch.bool)  # the ball of a real sample holds some fake
    for start, part in enumerate(fake.split(ROWS)):
        rows = slice(start * ROWS, start * ROWS + len(part))
        distance = torch.cdist(part, real)  # (ROWS, N)
        inside = distance <= real_radius
        near_real[rows] = inside.sum(1).float()
        covered |= inside.any(0)
        near_fake |= (distance <= fake_radius[rows, None]).any(0)
    return {
        "precision": (near_real > 0).float().mean().item(),
        "recall": near_fake.float().mean().item(),
        "density": near_real.mean().item() / k,
        "coverage": covered.float().mean().item(),
    }


def _parts(rows: Rows) -> Iterator[Tensor]:
    for start in range(0, len(rows), ROWS):
        part = rows[start : start + ROWS]
        yield part if isinstance(part, Tensor) else torch.from_numpy(np.array(part))
