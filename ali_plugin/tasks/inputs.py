"""Where a command's model comes from, and its pictures: files that are named, or the dataset of the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ali_plugin.config import conditions
from ali_plugin.datasets import load_split, refuse_background
from ali_plugin.datasets.listing import incomplete_note, list_images, unreadable_note
from ali_plugin.datasets.split import DataSplit, Split, joined, to_unit
from ali_plugin.errors import DataError, OptionError
from ali_plugin.folder.training_record import TrainingRecord
from ali_plugin.hub import download as hub
from ali_plugin.model import ALI
from ali_plugin.pictures.background import WHITE
from ali_plugin.pictures.decode import check_shape, read_images
from ali_plugin.support.devices import resolve_device
from ali_plugin.training.config import TRAIN_CONFIG_NAME, TrainConfig
from ali_registry import Architecture, Dataset, default_registry


@dataclass(frozen=True)
class Source:
    """A dataset, and how it is read for a model.

    Attributes:
        background: under what is transparent; None for a dataset that takes none.
    """

    name: str
    data_dir: Path | None
    background: str | None

    def split(self, split: Split, data_shape: tuple[int, ...]) -> DataSplit:
        """One split of it; raises as ``load_split`` does."""
        return load_split(self.name, split, data_dir=self.data_dir, data_shape=data_shape, background=self.background)


@dataclass(frozen=True)
class Inputs:
    """What a command shows to a model.

    Attributes:
        data: (N, *data_shape) as it is stored: uint8 pictures, or float32.
        labels: (N,) or (N, A), where they are known.
        condition: (N, condition_size), if the model takes one.
        names: of the samples, where each is a file.
        notes: what the person should know of them.
    """

    data: Tensor
    labels: Tensor | None = None
    condition: Tensor | None = None
    names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def x(self) -> Tensor:
        """The data as the model takes them: float32, pictures in [0, 1]."""
        return to_unit(self.data)

    def paired(self) -> Inputs:
        """The same without a last sample that has no partner."""
        rows = slice(len(self.data) - len(self.data) % 2)
        labels, condition = (None if t is None else t[rows] for t in (self.labels, self.condition))
        return Inputs(self.data[rows], labels, condition, self.names[rows], self.notes)


def load_model(source: str, device: str = "auto") -> ALI:
    """A model in eval mode from wherever a command's MODEL says."""
    return ALI.from_pretrained(source, device=resolve_device(device))


def load_inputs(
    model: ALI,
    source: str,
    images: Sequence[Path] = (),
    dataset: str | None = None,
    data_dir: Path | None = None,
    limit: int | None = None,
    condition: str | None = None,
    whole: bool = False,
    background: str | None = None,
) -> Inputs:
    """The pictures that are named or lie in named folders, or samples of a dataset.

    Args:
        source: what the model was loaded from; a run folder knows its dataset.
        limit: at most so many of a folder or dataset, spread evenly over it.
        condition: of named pictures, as ``conditions.parse`` reads it; a dataset's own labels otherwise.
        whole: all samples of a dataset whose samples are named files, not only the held-out ones.
        background: under what is transparent; what the model was trained with if None.

    Raises:
        DataError: a picture that is named cannot be read, or none of a folder's.
        OptionError: nothing says where the data are.
    """
    if images:
        data, names, notes = _pictures(
            images, model.config.data_shape, limit, background or _background_of(source) or WHITE
        )
        return Inputs(data, condition=_named_condition(model, condition, len(data)), names=names, notes=notes)
    found = dataset_of(model, source, dataset, data_dir, background)
    split = found.split("test", model.config.data_shape)
    if whole and split.names:
        others: tuple[Split, ...] = ("validation", "train")
        split = joined([split, *(found.split(other, model.config.data_shape) for other in others)])
    chosen = _spread(limit, len(split))
    labels = None if split.labels is None else torch.from_numpy(split.labels[chosen])
    size = model.config.condition_size
    if condition is not None or not size:
        shown = _named_condition(model, condition, len(chosen))
    elif labels is not None:
        shown = split.conditions(chosen, size)
    else:
        raise OptionError(f"dataset {found.name!r} has no labels to condition on; give a --condition")
    names = tuple(split.names[i] for i in chosen) if split.names else ()
    return Inputs(torch.from_numpy(split.data[chosen]), labels, shown, names, split.notes)


def dataset_of(
    model: ALI,
    source: str,
    dataset: str | None = None,
    data_dir: Path | None = None,
    background: str | None = None,
) -> Source:
    """The dataset to use: the one that is named, else the run's, else the architecture's.

    Args:
        background: for the dataset, if it takes one; what the model was trained with if None.

    Raises:
        OptionError: no dataset is known, or it takes no background.
    """
    name, folder = (dataset, data_dir) if dataset is not None else _own_dataset(model, source, data_dir)
    record = default_registry().get(Dataset, name)
    refuse_background(record, background)
    if record.takes_background:
        background = background or _background_of(source) or WHITE
    return Source(name, folder, background)


def _background_of(source: str) -> str | None:
    """What lay under transparent pictures when a model was trained, where that is known."""
    place = hub.locate(source)
    if (place / TRAIN_CONFIG_NAME).is_file():
        return TrainConfig.from_file(place / TRAIN_CONFIG_NAME).background
    training = TrainingRecord.from_folder(place)
    return training.background if training else None


def _own_dataset(model: ALI, source: str, data_dir: Path | None) -> tuple[str, Path | None]:
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


def _pictures(
    images: Sequence[Path], data_shape: tuple[int, ...], limit: int | None, background: str
) -> tuple[Tensor, tuple[str, ...], tuple[str, ...]]:
    """Pictures (N, *data_shape), uint8, their names and notes. What is named itself has to be readable."""
    check_shape(data_shape)
    named, notes, in_folder = list[Path](), list[str](), set[Path]()
    for path in images:
        if path.is_dir():
            listing = list_images(path)
            named += (listing.files[i] for i in _spread(limit, len(listing.files)))
            in_folder.update(listing.files)
            notes += listing.notes()
        else:
            named.append(path)
    pictures, names, unreadable, incomplete = list[NDArray[np.uint8]](), list[str](), list[str](), list[str]()
    for path, picture in zip(named, read_images(named, data_shape, background), strict=True):
        if not isinstance(picture, DataError):
            pictures.append(picture.pixels)
            names.append(str(path))
            incomplete += [f"{path}: {picture.missing}"] if picture.missing else []
        elif path in in_folder:
            unreadable.append(f"{path}: {picture}")
        else:
            raise DataError(f"{str(path)!r} cannot be read as a picture: {picture}") from picture
    if not pictures:
        raise DataError(f"none of the {len(named)} pictures can be read, such as {unreadable[0]}")
    notes += (*unreadable_note(unreadable), *incomplete_note(incomplete))
    return torch.from_numpy(np.stack(pictures)), tuple(names), tuple(notes)


def _spread(limit: int | None, size: int) -> NDArray[np.int64]:
    """At most ``limit`` of ``size`` indices, evenly; all if None."""
    count = min(limit or size, size)
    return torch.linspace(0, size - 1, count, dtype=torch.float32).long().numpy()
