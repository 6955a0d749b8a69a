"""Where a command's pictures come from: files that are named, or the dataset of the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from ali_plugin.datasets import load_split
from ali_plugin.datasets.image_folder import read_image
from ali_plugin.errors import DataError, OptionError, PartMismatch
from ali_plugin.model import ALI
from ali_plugin.training.batches import to_unit
from ali_plugin.training.config import TRAIN_CONFIG_NAME, TrainConfig
from ali_registry import Architecture, default_registry


@dataclass(frozen=True)
class Inputs:
    """Data (N, *data_shape) in [0, 1], and class numbers (N,) where they are known."""

    x: Tensor
    labels: Tensor | None = None


def load_inputs(
    model: ALI,
    source: str,
    images: Sequence[Path] = (),
    dataset: str | None = None,
    data_dir: Path | None = None,
    limit: int | None = None,
) -> Inputs:
    """The pictures that are named, or held-out samples of a dataset, spread evenly over it.

    Args:
        source: what the model was loaded from; a run folder knows its dataset.
        limit: at most so many of a dataset.

    Raises:
        DataError: a picture that cannot be read.
        OptionError: nothing says where the data are.
    """
    if images:
        return Inputs(torch.stack([_picture(path, model.config.data_shape) for path in images]))
    name, folder = dataset_of(model, source, dataset, data_dir)
    split = load_split(name, "test", data_dir=folder, data_shape=model.config.data_shape)
    count = min(limit or len(split), len(split))
    chosen = torch.linspace(0, len(split) - 1, count).long().numpy()
    labels = None if split.labels is None else torch.from_numpy(split.labels[chosen])
    return Inputs(to_unit(torch.from_numpy(split.data[chosen])), labels)


def dataset_of(
    model: ALI, source: str, dataset: str | None = None, data_dir: Path | None = None
) -> tuple[str, Path | None]:
    """The dataset to use: the one that is named, else the run's, else the architecture's.

    Raises:
        OptionError: none is known.
    """
    if dataset is not None:
        return dataset, data_dir
    config_path = Path(source) / TRAIN_CONFIG_NAME
    if config_path.is_file():
        run = TrainConfig.from_file(config_path)
        return run.dataset, data_dir or (Path(run.data_dir) if run.data_dir else None)
    if model.config.architecture is not None:
        return default_registry().get(Architecture, model.config.architecture).training.dataset, data_dir
    raise OptionError(f"{source!r} does not say what it was trained on; name a --dataset or picture files")


def _picture(path: Path, data_shape: tuple[int, ...]) -> Tensor:
    if len(data_shape) != 3:
        raise PartMismatch(f"the model takes data of shape {data_shape}, no pictures")
    try:
        return to_unit(torch.from_numpy(read_image(path, data_shape).copy()))
    except (OSError, ValueError, SyntaxError, KeyError, Image.DecompressionBombError) as error:
        raise DataError(f"{str(path)!r} cannot be read as a picture: {error}") from error
