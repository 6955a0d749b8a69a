"""What the codes know about the labels."""

from __future__ import annotations

import torch
from torch import Tensor

from ali_plugin.errors import DataError
from ali_plugin.evaluation.context import Context


def representation(context: Context) -> dict[str, float]:
    """Accuracy of the nearest neighbour: each test code takes the label of the closest training code
    (Donahue et al., 2017, section 4.2).

    Raises:
        DataError: the dataset has no class labels.
    """
    train, test = context.split("train"), context.split("test")
    if train.labels is None or test.labels is None or train.labels.ndim != 1:
        raise DataError(f"dataset {context.dataset!r} has no class labels, which the representation metric needs")
    nearest = nearest_neighbours(context.codes("test"), context.codes("train"))
    right = torch.from_numpy(train.labels)[nearest] == torch.from_numpy(test.labels)
    return {"nearest_neighbour_accuracy": right.float().mean().item()}


def nearest_neighbours(queries: Tensor, codes: Tensor, chunk: int = 1000) -> Tensor:
    """Index (Q,) of the Euclidean nearest code for each query (Q, L), in bounded memory."""
    return torch.cat([torch.cdist(part, codes).argmin(1) for part in queries.split(chunk)])
