"""Where a command's pictures come from: files that are named, or the dataset of the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ali_plugin import conditions, hub
from ali_plugin.datasets import load_split
from ali_plugin.datasets.cache import UNREADABLE
from ali_plugin.datasets.images import read_image
from ali_plugin.errors import DataError, OptionError, PartMismatch
from ali_plugin.model import ALI
from ali_plugin.training.batches import to_unit
from ali_plugin.training.config import TRAIN_CONFIG_NAME, TrainConfig
from ali_plugin.training.record import TrainingRecord
from ali_registry import Architecture, default_registry


@dataclass(frozen=True)
class Inputs:
    """Data (N, *data_shape), labels (N,) or (N, A) where they are known, conditions if the model takes one."""

    x: Tensor
    labels: Tensor | None = None
    condition: Tensor | None = None

    def paired(self) -> Inputs:
        """The same without a last sample that has no partner."""
        rows = slice(len(self.x) - len(self.x) % 2)
        labels, condition = (None if t is None else t[rows] for t in (self.labels, self.condition))
        return Inputs(self.x[rows], labels, condition)


def load_inputs(
    model: ALI,
    source: str,
    images: Sequence[Path] = (),
    dataset: str | None = None,
    data_dir: Path | None = None,
    limit: int | None = None,
    condition: str | None = None,
) -> Inputs:
    """The pictures that are named, or held-out samples of a dataset, spread evenly over it.

    Args:
        source: what the model was loaded from; a run folder knows its dataset.
        limit: at most so many of a dataset.
        condition: of named pictures, as ``conditions.parse`` reads it; a dataset's own labels otherwise.

    Raises:
        DataError: a picture that cannot be read.
        OptionError: nothing says where the data are.
    """
    if images:
        x = torch.stack([_picture(path, model.config.data_shape) for path in images])
        return Inputs(x, condition=_named_condition(model, condition, len(x)))
    name, folder = dataset_of(model, source, dataset, data_dir)
    split = load_split(name, "test", data_dir=folder, data_shape=model.config.data_shape)
    count = min(limit or len(split), len(split))
    chosen = torch.linspace(0, len(split) - 1, count, dtype=torch.float32).long().numpy()
    labels = None if split.labels is None else torch.from_numpy(split.labels[chosen])
    size = model.config.condition_size
    if size and condition is None and labels is None:
        raise OptionError(f"dataset {name!r} has no labels to condition on; give a --condition")
    return Inputs(
        to_unit(torch.from_numpy(split.data[chosen])),
        labels,
        _named_condition(model, condition, count)
        if condition is not None or not size or labels is None
        else conditions.from_labels(labels, size),
    )


def dataset_of(
    model: ALI, source: str, dataset: str | None = None, data_dir: Path | None = None
) -> tuple[str, Path | None]:
    """The dataset to use: the one that is named, else the run's, else the architecture's.

    Raises:
        OptionError: none is known.
    """
    if dataset is not None:
        return dataset, data_dir
    place = hub.locate(source)
    if (place / TRAIN_CONFIG_NAME).is_file():
        run = TrainConfig.from_file(place / TRAIN_CONFIG_NAME)
        return run.dataset, data_dir or (Path(run.data_dir) if run.data_dir else None)
    if training := TrainingRecord.from_folder(place):
        return training.dataset, data_dir
    if model.config.architecture is not None:
        return default_registry().get(Architecture, model.config.architecture).training.dataset, data_dir
    raise OptionError(f"{source!r} does not say what it was trained on; name a --dataset or picture files")


def _named_condition(model: ALI, text: str | None, count: int) -> Tensor | None:
    if text is not None:
        return conditions.parse(text, model.config).expand(count, -1)
    if model.config.condition_size:
        raise OptionError("the model is conditional; say with --condition what the pictures are")
    return None


def _picture(path: Path, data_shape: tuple[int, ...]) -> Tensor:
    if len(data_shape) != 3:
        raise PartMismatch(f"the model takes data of shape {data_shape}, no pictures")
    try:
        return to_unit(torch.from_numpy(read_image(path, data_shape).copy()))
    except (*UNREADABLE, KeyError) as error:
        raise DataError(f"{str(path)!r} cannot be read as a picture: {error}") from error
