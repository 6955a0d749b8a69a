"""The samples of a dataset that a model's codes say are most like given ones."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ali_plugin.datasets.split import DataSplit, to_unit
from ali_plugin.evaluation.samples import Samples
from ali_plugin.model import ALI
from ali_plugin.nets.latents import nearest
from ali_plugin.tasks.generate import encode, refuse_too_many
from ali_plugin.tasks.inputs import Inputs, dataset_of
from ali_registry.text import printable


@dataclass(frozen=True)
class Neighbours:
    """The nearest K of a split to each of Q samples, nearest first.

    Attributes:
        distances: Euclidean, between the means of q(z|x), (Q, K).
        indices: rows of the split, (Q, K).
    """

    inputs: Inputs
    split: DataSplit
    distances: Tensor
    indices: Tensor

    @property
    def images(self) -> Tensor:
        """Each sample and then its neighbours, (Q, 1 + K, *data_shape)."""
        near = to_unit(torch.from_numpy(self.split.data[self.indices.numpy()]))
        return torch.cat([self.inputs.x[:, None], near], 1)

    def rows(self) -> list[dict[str, Any]]:
        """Of each sample its ``image`` and ``neighbours``, which have ``name`` (or number), ``row``, ``distance``."""
        names = self.split.names or tuple(map(str, range(len(self.split))))
        found = []
        for image, rows, distances in zip(
            self.inputs.names, self.indices.tolist(), self.distances.tolist(), strict=True
        ):
            near = [
                {"name": printable(names[row]), "row": row, "distance": distance}
                for row, distance in zip(rows, distances, strict=True)
            ]
            found.append({"image": printable(image), "neighbours": near})
        return found


def held_out(
    model: ALI, source: str, dataset: str | None, data_dir: Path | None, background: str | None = None
) -> tuple[str, DataSplit]:
    """The dataset to look for neighbours in, as ``dataset_of`` finds it, and its test split.

    Args:
        background: for a dataset whose pictures may be transparent; for others it says nothing.
    """
    found = dataset_of(model, source, dataset, data_dir)
    if background is not None and found.background is not None:
        found = replace(found, background=background)
    return found.name, found.split("test", model.config.data_shape)


@torch.no_grad()
def neighbours(model: ALI, inputs: Inputs, split: DataSplit, count: int = 8) -> Neighbours:
    """Compare codes: of samples, and of a split, which has labels where the model is conditional.

    Args:
        count: how many; all, if there are fewer.

    Raises:
        OptionError: these are too many pictures.
        DataError: the model is conditional, and the split has no labels.
    """
    count = min(count, len(split))
    refuse_too_many(len(inputs.data) * (1 + count), model)
    codes = [model.encode(x, condition).mean.float().cpu() for x, condition in Samples(model, split)]
    return Neighbours(inputs, split, *nearest(encode(model, inputs, 0)["mean"].float(), torch.cat(codes), count))
