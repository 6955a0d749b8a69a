"""Are paths through the latent space smooth in data space?"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ali_plugin.errors import DataError
from ali_plugin.evaluation.context import Context
from ali_plugin.support.progress import track

PATHS, STEPS, AT_ONCE = 250, 16, 10


def interpolation(context: Context) -> dict[str, float]:
    """Decoded lines between the codes of pairs of held-out samples (section 4.2), 16 points each.

    ``path_length`` is a path's length over the distance of its ends: 1 is a plain cross-fade, more is a detour
    through other pictures. ``largest_step`` is the largest of its steps over their mean: 1 is even, 15 is one jump.

    Raises:
        DataError: fewer than two held-out samples.
    """
    split = context.split("test")
    if len(split) < 2:
        raise DataError(f"a path goes between two held-out samples; dataset {context.dataset!r} has {len(split)}")
    chosen = np.random.default_rng(context.seed).permutation(len(split))[: 2 * PATHS]
    pairs = chosen[: len(chosen) // 2 * 2].reshape(-1, 2)
    lengths, largest = [], []
    for start in track(range(0, len(pairs), AT_ONCE), "interpolation", -(-len(pairs) // AT_ONCE)):
        length, step = _smoothness(_paths(context, pairs[start : start + AT_ONCE]))
        lengths.append(length)
        largest.append(step)
    return {"path_length": torch.cat(lengths).mean().item(), "largest_step": torch.cat(largest).mean().item()}


def _paths(context: Context, pairs: NDArray[np.int64]) -> Tensor:
    (a, condition), (b, _) = (context.rows("test", side) for side in pairs.T)  # the condition is that of the start
    return context.model.interpolate(a, b, STEPS, condition).float().cpu()  # (P, STEPS, *data_shape)


def _smoothness(paths: Tensor) -> tuple[Tensor, Tensor]:
    steps = paths.diff(dim=1).flatten(2).norm(dim=2)  # (P, STEPS - 1)
    ends = (paths[:, -1] - paths[:, 0]).flatten(1).norm(dim=1)
    tiny = torch.finfo(torch.float32).tiny
    return steps.sum(1) / ends.clamp_min(tiny), steps.amax(1) / steps.mean(1).clamp_min(tiny)
