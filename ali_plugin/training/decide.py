"""What a run is where nobody has said it: of a person's own pictures, the pictures and the device decide."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ali_plugin.config import settings, shapes
from ali_plugin.datasets.survey import Survey
from ali_plugin.errors import DataError, OptionError
from ali_plugin.pictures import background
from ali_plugin.support.devices import computes_bf16, resolve_device
from ali_plugin.training import distributed
from ali_plugin.training.assemble import Assembled, assemble
from ali_plugin.training.config import DEFAULT_ARCHITECTURE, OF_PICTURES, OF_PICTURES_ON_GPU, TrainConfig
from ali_plugin.training.configure import configure, data_folder
from ali_registry import Architecture, Dataset, InvalidRecord, Objective, Registry, TrainingDefaults, blaming

SMALL, TOO_FEW = 5_000, 50  # pictures: up to so many are augmented, and so many are to be warned of
AUGMENT = "colour,translation,cutout"
LEAST_LATENT = 16  # numbers of a code, however few the pictures are


@dataclass(frozen=True)
class Reach:
    """What can be waited for on a kind of device.

    Attributes:
        architecture: of a person's own pictures.
        side: of pictures, in pixels, at most.
        batch: samples, at most.
        steps: least and most of a run whose length nobody has said; the recipe's passes lie between them.
    """

    architecture: str
    side: int
    batch: int
    steps: tuple[int, int]


CPU = Reach(OF_PICTURES, 64, 16, (5_000, 10_000))
GPU = Reach(OF_PICTURES_ON_GPU, 128, 64, (10_000, 50_000))


def _reach(options: Mapping[str, Any]) -> Reach:
    return CPU if resolve_device(options.get("device") or "auto").type == "cpu" else GPU


@dataclass(frozen=True)
class Decided:
    """The config of a run.

    Attributes:
        notes: what the person should know of it.
        batch_may_shrink: to the samples that there are.
    """

    config: TrainConfig
    notes: tuple[str, ...] = ()
    batch_may_shrink: bool = False

    def assembled(self, registry: Registry, processes: int = 1, *, planned: bool = False) -> Assembled:
        """The run that it is of; see ``assemble``."""
        shared = processes if self.batch_may_shrink else None
        run = assemble(self.config, registry, planned=planned, processes=shared)
        return replace(run, notes=(*self.notes, *run.notes))


def architecture(options: Mapping[str, Any], registry: Registry) -> str:
    """The name of the architecture that is given, or that suits the dataset.

    Raises:
        UnknownName: nothing registers the dataset.
    """
    if options.get("architecture") is not None:
        return str(options["architecture"])
    dataset = options.get("dataset")
    own = dataset is not None and registry.get(Dataset, dataset).survey is not None
    return _reach(options).architecture if own else DEFAULT_ARCHITECTURE


def decide(options: Mapping[str, Any], out: Path, registry: Registry) -> Decided:
    """Fill what the options leave open (None), from a person's own pictures where it is those, and from the recipe.

    Args:
        out: where the run will be.

    Raises:
        DataError: the folder of the pictures is not there, or the run's own, or none of them can be read.
        ALIError: see ``configure``.
    """
    given = {name: value for name, value in options.items() if value is not None}
    if "background" in given:
        given["background"] = background.named(given["background"])
    record = registry.get(Architecture, given.setdefault("architecture", architecture(given, registry)))
    dataset = registry.get(Dataset, given.get("dataset", record.training.dataset))
    notes: tuple[str, ...] = ()
    if dataset.survey is not None:
        found = _look(dataset, given, registry)
        notes += _apart(out, data_folder(given["data_dir"], dataset))
        if len(record.data_shape) == 3 and shapes.is_open(record):
            given, told = _filled(given, found, record, registry)
            notes += told
        if found.count < TOO_FEW:
            notes += (
                f"warning: {_counted(found.count)} to learn from; with fewer than {TOO_FEW} a model mostly learns "
                "them by heart",
            )
    config = _with_precision(configure(given, registry))
    return Decided(config, notes, dataset.survey is not None or "batch_size" not in given)


def _look(dataset: Dataset, given: Mapping[str, Any], registry: Registry) -> Survey:
    if "data_dir" not in given:
        raise OptionError(f"dataset {dataset.name!r} needs --data-dir, the folder with its files")
    entry = registry.entry(Dataset, dataset.name)
    with blaming(entry):
        more = {"background": given["background"]} if dataset.takes_background and "background" in given else {}
        found = dataset.look(data_dir=data_folder(given["data_dir"], dataset), **more)
    if not isinstance(found, Survey):
        raise InvalidRecord(f"the survey of dataset {dataset.name!r} of {entry.origin} is a {type(found).__name__}")
    return found


def _apart(out: Path, data_dir: Path) -> tuple[str, ...]:
    """What to say of a run's folder inside of its data folder; DataError for data inside of the run's folder."""
    run, data = (Path(os.path.realpath(path)) for path in (out, data_dir))
    if data.is_relative_to(run):
        raise DataError(
            f"the data folder {str(data_dir)!r} lies in the run's own folder {str(out)!r}, which would learn from what "
            "it draws; name another --out"
        )
    return (f"{str(out)!r} lies in the data folder; nothing in it is trained on",) if run.is_relative_to(data) else ()


def _filled(
    given: dict[str, Any], found: Survey, record: Architecture, registry: Registry
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The options with what the pictures decide, and a line that says it."""
    reach, recipe = _reach(given), record.training
    decided: dict[str, Any] = {}
    channels, height, width = record.data_shape
    if "image_size" not in given and height is width is None:
        decided["image_size"] = shapes.nearest(record, min(found.side, reach.side))
    if "channels" not in given and channels is None:
        decided["channels"] = shapes.COLOUR if found.coloured else 1
    if "batch_size" not in given:
        decided["batch_size"] = min(recipe.batch_size, reach.batch)
    if "epochs" not in given and "steps" not in given:
        decided["steps"] = _length(found.count, {**given, **decided}["batch_size"], recipe, reach)
    if "latent_size" not in given and (few := _latent_size(found.count)) < record.latent_size:
        decided["latent_size"] = few
    if found.count <= SMALL:
        decided |= _against_learning_by_heart(given, found, recipe, registry)
    return {**given, **decided}, (_told(decided, found, record, reach),)


def _length(count: int, batch_size: int, recipe: TrainingDefaults, reach: Reach) -> int:
    """Steps: the recipe's passes over the pictures, within reach."""
    least, most = reach.steps
    return min(max(recipe.epochs * count // max(batch_size, 1), least), most)  # 0 is refused with the other choices


def _latent_size(count: int) -> int:
    """Half the root of the number of pictures: in more dimensions the codes of a few lie so far apart that most of the
    prior is near none of them, and what it decodes to is no picture."""
    return max(math.isqrt(count) // 2, LEAST_LATENT)


def _against_learning_by_heart(
    given: Mapping[str, Any], found: Survey, recipe: TrainingDefaults, registry: Registry
) -> dict[str, Any]:
    """Augmentation, and pictures mirrored where that makes others of the same kind."""
    decided: dict[str, Any] = {} if "flip" in given else {"flip": found.mirrored}
    offered = registry.get(Objective, given.get("objective", recipe.objective)).settings
    if "augment" in offered and "augment" not in recipe.settings.get("objective", {}):
        own = settings.nested(given.get("settings", {}))
        decided["settings"] = settings.merged({"objective": {"augment": AUGMENT}}, own)
    return decided


def _told(decided: Mapping[str, Any], found: Survey, record: Architecture, reach: Reach) -> str:
    """A line for what was decided."""
    text = f"{_counted(found.count)}, {'colour' if found.coloured else 'grey'}, shorter side {found.side}"
    if size := decided.get("image_size"):
        most = (
            f", at most {reach.side} {'without' if reach is CPU else 'with'} a GPU" if found.side > reach.side else ""
        )
        text += f": trained at {size}x{size}{most} (--image-size){_cropped(size, found.aspect, record)}"
    if latent := decided.get("latent_size"):
        text += f"; codes of {latent} numbers (--latent-size)"
    if steps := decided.get("steps"):
        text += f"; {steps} steps (--steps)"
    if decided.get("flip"):
        text += "; mirrored at times (--no-flip)"
    return text


def _cropped(side: int, aspect: float, record: Architecture) -> str:
    """What to say of pictures that are far from square, of which a square shows the middle."""
    longer = shapes.nearest(record, round(side * max(aspect, 1 / aspect)))
    if longer <= side:
        return ""
    other = f"{longer}x{side}" if aspect > 1 else f"{side}x{longer}"
    return f", of most the middle {min(aspect, 1 / aspect):.0%}; --image-size {other} shows more"


def _counted(count: int) -> str:
    return "1 picture" if count == 1 else f"{count:,} pictures"


def _with_precision(config: TrainConfig) -> TrainConfig:
    """With the precision that this device is best at, where it is left to us; the run keeps it wherever it goes on."""
    if config.precision != "auto":
        return config
    here = computes_bf16(distributed.local_device(resolve_device(config.device)))
    bf16 = all(distributed.gather(torch.tensor(int(here))))  # machines may differ, and their processes make one run
    return replace(config, precision="bf16" if bf16 else "float32")
