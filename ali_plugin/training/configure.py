"""A run's choices in full: what is given, what the architecture's recipe says, what the data say. No torch here."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from ali_plugin.config import settings, shapes
from ali_plugin.config.settings import Settings
from ali_plugin.datasets import refuse_background
from ali_plugin.errors import OptionError
from ali_plugin.pictures.background import WHITE
from ali_plugin.support.paths import absolute, refuse_no_folder
from ali_plugin.training.config import TrainConfig
from ali_registry import (
    Architecture,
    Dataset,
    Decoder,
    Discriminator,
    Encoder,
    Objective,
    Optimiser,
    Part,
    Registry,
)
from ali_registry.records import Adjustable

PART_RECORDS: dict[str, type[Part]] = {record.kind: record for record in (Encoder, Decoder, Discriminator)}
NO_SIZE = dict.fromkeys(("image_size", "channels"))


def configure(options: dict[str, Any], registry: Registry) -> TrainConfig:
    """Fill what the options leave open (None) from the architecture's recipe.

    Raises:
        UnknownName: nothing registers the architecture, its parts, the objective or the optimiser.
        OptionError: a value that cannot be, a setting that nothing has, or a size that nothing says.
    """
    architecture = registry.get(Architecture, options["architecture"])
    recipe = architecture.training
    chosen = {name: value for name, value in options.items() if value is not None}
    defaults = {f.name: getattr(recipe, f.name) for f in fields(recipe)}
    if "steps" in chosen:
        del defaults["epochs"]
    defaults["settings"] = settings.of_recipe(architecture, chosen)
    for one, other in (("ema", "ema_half_life"), ("ema_half_life", "ema")):
        if one in chosen:
            defaults.pop(other, None)
    usual, given = defaults.pop("settings"), settings.nested(chosen.pop("settings", {}))
    known = {f.name for f in fields(TrainConfig)}
    config = TrainConfig(**{name: value for name, value in {**defaults, **chosen}.items() if name in known})
    shape = data_shape(config, registry)
    if config.flip and len(shape) != 3:
        raise OptionError(f"--flip is for pictures, the data are of shape {shapes.text(shape)}; leave it out")
    size = shapes.told(shape if shapes.is_open(architecture) else ())
    config = replace(config, settings=_complete(config, usual, given, registry), **{**NO_SIZE, **size})
    return with_absolute_folder(_with_background(config, registry), registry)


def data_shape(config: TrainConfig, registry: Registry) -> tuple[int, ...]:
    """The shape of a sample: the architecture's, and what it leaves open as the run or the dataset says.

    Raises:
        OptionError: nothing says it, or two of them differ.
    """
    architecture = registry.get(Architecture, config.architecture)
    return shapes.decided(
        architecture,
        image_size=config.image_size,
        channels=config.channels,
        data=registry.get(Dataset, config.dataset).data_shape if shapes.is_open(architecture) else None,
        source=f"dataset {config.dataset!r}",
    )


def records(config: TrainConfig, registry: Registry) -> dict[str, Adjustable]:
    """Whose settings are in each room.

    Raises:
        UnknownName: nothing registers the objective, the optimiser or a part.
    """
    architecture = registry.get(Architecture, config.architecture)
    parts = {kind: registry.get(record, getattr(config, kind) or getattr(architecture, kind))
             for kind, record in PART_RECORDS.items()}  # fmt: skip
    objective, optimiser = registry.get(Objective, config.objective), registry.get(Optimiser, config.optimiser)
    return {"objective": objective, **parts, "optimiser": optimiser}


def _complete(config: TrainConfig, usual: Settings, given: Settings, registry: Registry) -> Settings:
    """The given settings over the usual ones, checked; with all defaults of the objective and the optimiser, whatever
    these become."""
    found = {}
    for room, record in records(config, registry).items():
        of_recipe, own = usual.get(room, {}), given.get(room, {})
        filled = settings.effective(record, of_recipe, own)
        if room in PART_RECORDS:
            filled = {name: filled[name] for name in {**of_recipe, **own}}
        if filled:
            found[room] = filled
    return found


def _with_background(config: TrainConfig, registry: Registry) -> TrainConfig:
    """The config with a background where its dataset takes one.

    Raises:
        UnknownName: nothing registers the dataset.
        OptionError: there is a background, and the dataset takes none.
    """
    dataset = registry.get(Dataset, config.dataset)
    refuse_background(dataset, config.background)
    return replace(config, background=config.background or WHITE) if dataset.takes_background else config


def with_absolute_folder(config: TrainConfig, registry: Registry) -> TrainConfig:
    """The config with its data folder named from the root, so that the run finds it from everywhere.

    Raises:
        UnknownName: nothing registers the dataset.
        DataError: the dataset is one of a person's own folder, which is not there.
    """
    if config.data_dir is None:
        return config
    return replace(config, data_dir=str(data_folder(config.data_dir, registry.get(Dataset, config.dataset))))


def data_folder(given: str, dataset: Dataset) -> Path:
    """The place of ``--data-dir``, from the root.

    Raises:
        DataError: the dataset is one of a person's own folder, which is not there.
        OptionError: it is no place at all.
    """
    folder = absolute(given, "--data-dir")
    if dataset.needs_data_dir and not dataset.in_shards:
        refuse_no_folder(folder, given)
    return folder
