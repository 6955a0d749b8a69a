"""What a run is made of, from its config: data, untrained model, batches, game, optimisers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from ali_plugin.config import settings, shapes
from ali_plugin.config.compose import build_parts, compose
from ali_plugin.config.model_config import PARTS
from ali_plugin.config.settings import Settings
from ali_plugin.datasets import load, load_split
from ali_plugin.datasets.split import DataSplit, Split
from ali_plugin.datasets.streams.split import StreamSplit
from ali_plugin.errors import DataError, OptionError, PartMismatch
from ali_plugin.model import ALI
from ali_plugin.nets.protocol import offers
from ali_plugin.objectives.game import Game
from ali_plugin.objectives.penalty import require_second_derivatives
from ali_plugin.support.devices import float32_by_default, resolve_device
from ali_plugin.support.memory import needed
from ali_plugin.support.shared import sharing
from ali_plugin.support.weightless import weightless
from ali_plugin.training import distributed, fingerprint
from ali_plugin.training.batches import Batches, share
from ali_plugin.training.config import TrainConfig
from ali_plugin.training.configure import data_shape, records
from ali_plugin.training.fingerprint import Fingerprint
from ali_plugin.training.random_streams import OwnStream
from ali_plugin.training.step import TrainingStep
from ali_plugin.training.stream_batches import StreamBatches
from ali_registry import Architecture, Entry, InvalidRecord, Objective, Registry, blaming

NOT_BUILT = {bool: False, int: 1}  # what an option is of a discriminator that knows nothing of it
MEAN_OVER = 500  # samples, for the log-odds of the decoder's last bias (paper.md section 3)
SEED_STRIDE = 1_000_003  # between the seeds of the processes of a run


@dataclass(frozen=True, eq=False)
class Assembled:
    """A run before its first step.

    Attributes:
        device: that it trains on; of a planned run the tensors are on the meta device.
        objective: the record that built the step's game, and the plugin that answers for it.
        step: the game with an optimiser for each player.
        total_steps: the length of the run.
        notes: what the person should know.
        stream: of its random numbers, after those that made the model.
    """

    config: TrainConfig
    registry: Registry
    device: torch.device
    train: DataSplit | StreamSplit
    held_out: DataSplit
    model: ALI
    batches: Batches | StreamBatches
    objective: Entry
    step: TrainingStep
    total_steps: int
    stream: OwnStream
    notes: tuple[str, ...] = ()

    @cached_property
    def data(self) -> Fingerprint:
        """What the run sees."""
        return Fingerprint.of({"train": self.train, "validation": self.held_out})

    def continuing(self, checkpoint: Path, *, allowed: bool) -> tuple[str, ...]:
        """What the person should know of the data where the run goes on from a checkpoint.

        Args:
            allowed: they may be others than the checkpoint's run has seen.

        Raises:
            DataError: they are others.
            ConfigError: the checkpoint's fingerprint is damaged.
        """
        uses_classes = self.model.config.condition_size > 0 or self.config.labels is not None
        return fingerprint.continuing(checkpoint, self.data, uses_classes=uses_classes, allowed=allowed)


def assemble(
    config: TrainConfig,
    registry: Registry,
    *,
    planned: bool = False,
    processes: int | None = None,
    data: tuple[DataSplit, DataSplit] | None = None,
) -> Assembled:
    """Make all that a run needs.

    Args:
        planned: on the meta device, which checks the same and takes no memory.
        processes: of a run whose batch may shrink to what the data fill, among which it is shared; None where the
            batch stays.
        data: to train on, and held out, where they are at hand; in place of the dataset that the config names.

    Raises:
        ALIError: what the config names does not exist or does not fit.
    """
    device = distributed.local_device(resolve_device(config.device))
    place = torch.device("meta") if planned else device
    stream = OwnStream(config.seed, place)
    if data is None:
        refuse_size(config, registry)
    with working(stream):
        train, held_out = data or load_both(config, registry)
        config = as_it_streams(config, train)
        config, shrunk = (config, ()) if processes is None else fitting(config, len(train), processes)
        with place:
            model = build_model(config, train, registry)
        distributed.synchronise_batch_norm(model)
        batches = batches_of(config, train, place, model.config.condition_size)
        if not planned:
            initialise_output(model, train)
        objective = registry.entry(Objective, config.objective)
        game = build_game(config, model, objective, registry)
        with blaming(objective):
            game.check(share(config.batch_size, distributed.world_size()))
            for net in game.modules().values():
                distributed.synchronise_batch_norm(net)
            step = TrainingStep(game, config, registry)
        total_steps = config.total_steps(batches.steps_per_epoch)
        if distributed.rank():
            torch.manual_seed(config.seed + distributed.rank() * SEED_STRIDE)
    notes = (*train.notes, *shrunk)
    return Assembled(
        config, registry, device, train, held_out, model, batches, objective, step, total_steps, stream, notes
    )


@contextmanager
def working(stream: OwnStream) -> Iterator[None]:
    """Work for a run: with its own random numbers, in float32, and with advice where memory is short."""
    with stream.drawing(), float32_by_default(), needed("this run; take a smaller --batch-size"):
        yield


def refuse_size(config: TrainConfig, registry: Registry) -> None:
    """Raise PartMismatch for a shape of the data that the nets of an open architecture refuse, before data are read."""
    architecture = registry.get(Architecture, config.architecture)
    if shapes.is_open(architecture):
        parts = {kind: getattr(config, kind) for kind in PARTS}
        with weightless():
            build_parts(
                compose(
                    architecture.name,
                    parts=parts,
                    arguments={kind: config.settings.get(kind, {}) for kind in PARTS},
                    latent_size=config.latent_size,
                    data_shape=data_shape(config, registry),
                    registry=registry,
                ),
                registry,
            )


def fitting(config: TrainConfig, samples: int, processes: int) -> tuple[TrainConfig, tuple[str, ...]]:
    """The config with a batch that the samples fill, and what to say where that is a smaller one.

    It stays a multiple of the processes and of the pairs that are judged together.
    """
    packing = config.settings.get("objective", {}).get("packing", 1)
    share = processes * (packing if isinstance(packing, int) else 1)
    size = samples // share * share
    if config.batch_size <= samples or not size:
        return config, ()
    there = "is one sample" if samples == 1 else f"are {samples} samples"
    note = f"batches are of {size} in place of {config.batch_size}, as there {there} to train on"
    return replace(config, batch_size=size), (note,)


def load_both(config: TrainConfig, registry: Registry) -> tuple[DataSplit | StreamSplit, DataSplit]:
    """The training split of a run's dataset, and the validation split at hand; of a folder that changes meanwhile, as
    it was once."""
    with sharing():
        train = load(config.dataset, "train", **_place(config, registry))
        return train, load_data(as_it_streams(config, train), "validation", registry)


def as_it_streams(config: TrainConfig, train: DataSplit | StreamSplit) -> TrainConfig:
    """The config with the name by which its dataset always streams, where it does."""
    return replace(config, dataset=train.dataset) if isinstance(train, StreamSplit) and train.dataset else config


def load_data(config: TrainConfig, split: Split, registry: Registry) -> DataSplit:
    """A split of a run's dataset, at hand."""
    return load_split(config.dataset, split, **_place(config, registry))


def _place(config: TrainConfig, registry: Registry) -> dict[str, Any]:
    """Where a run's data are, and of which shape."""
    folder = None if config.data_dir is None else Path(config.data_dir)
    shape = data_shape(config, registry)
    return {"data_dir": folder, "data_shape": shape, "background": config.background, "registry": registry}


def batches_of(
    config: TrainConfig, split: DataSplit | StreamSplit, device: torch.device, condition_size: int
) -> Batches | StreamBatches:
    """A run's batches, of the kind that its data are.

    Raises:
        OptionError: they are too few for a batch or for the processes, or labelled samples are asked of a stream.
    """
    if isinstance(split, DataSplit):
        return Batches(
            split,
            config.batch_size,
            config.seed,
            device,
            condition_size=condition_size,
            labelled=config.labels,
            flip=config.flip,
        )
    if config.labels is not None:
        raise OptionError(
            f"--labels is {config.labels}, which are drawn from all of the data; dataset {config.dataset!r} streams, "
            "so leave --labels out or take data that fit the disk"
        )
    return StreamBatches(split, config.batch_size, config.seed, device, condition_size=condition_size, flip=config.flip)


def build_model(config: TrainConfig, split: DataSplit | StreamSplit, registry: Registry) -> ALI:
    """The untrained model of a run, with a condition and classes of the sizes that the data have.

    Raises:
        DataError, OptionError: labels are asked of data or for an objective that has none.
        PartMismatch: the parts, or the architecture's condition and the data's, do not fit.
    """
    wanted = registry.get(Architecture, config.architecture).condition_size
    conditional = config.condition or wanted > 0
    if conditional and wanted not in (0, split.label_size):
        raise PartMismatch(
            f"architecture {config.architecture!r} takes a condition of {wanted}, "
            f"dataset {config.dataset!r} has {split.label_size} classes or attributes"
        )
    objective = registry.get(Objective, config.objective)
    uses_labels = objective.uses_labels or (objective.takes_labels and config.labels is not None)
    if uses_labels and config.labels is None:
        raise OptionError(f"objective {config.objective!r} learns from labels; say how many with --labels N")
    if config.labels is not None and not uses_labels:
        raise OptionError(f"objective {config.objective!r} uses no labels; leave --labels out")
    if uses_labels and split.label_size < 2:
        raise DataError(f"objective {config.objective!r} learns classes, dataset {config.dataset!r} has only one")
    model = ALI.from_config(
        compose(
            config.architecture,
            parts={kind: getattr(config, kind) for kind in PARTS},
            latent_size=config.latent_size,
            data_shape=split.shape,
            condition_size=split.label_size if conditional else 0,
            condition_names=split.classes if conditional else (),
            arguments=_arguments(config, objective, registry),
            classes=split.label_size if uses_labels else 1,
            registry=registry,
        ),
        registry,
    )
    if config.batch_size == 1 and any(isinstance(module, _BatchNorm) for module in model.modules()):
        raise OptionError("--batch-size is 1, but the nets have batch norm, which compares samples; take at least 2")
    return model


def _arguments(config: TrainConfig, objective: Objective, registry: Registry) -> Settings:
    """Settings of the parts, and those of the objective that its discriminator is built with, too.

    Raises:
        OptionError: the discriminator has no such option, or both say something else.
    """
    chosen = {kind: dict(config.settings.get(kind, {})) for kind in PARTS}
    options = settings.complete(objective, config.settings.get("objective", {}))
    part = records(config, registry)["discriminator"]
    for name in objective.of_discriminator:
        offered, value = part.settings.get(name), options[name]
        default = offered.default if offered else NOT_BUILT[type(value)]
        if offered is None and value != default:
            raise OptionError(
                f"discriminator {part.name!r} has no option {name!r}; leave it out with "
                f"--set {settings.words({'objective': {name: default}})[0]}, or take another --discriminator"
            )
        if (own := chosen["discriminator"].get(name, value)) != value:
            raise OptionError(f"discriminator.{name} is {own}, but objective.{name} is {value}; say objective.{name}")
        if value != default:
            chosen["discriminator"][name] = value
    return chosen


def build_game(config: TrainConfig, model: ALI, objective: Entry, registry: Registry) -> Game:
    """What a model's nets play, with the run's options, its own nets on the model's device.

    Raises:
        InvalidRecord: the objective's plugin builds something else.
        OptionError: options that it does not have, or that do not go with the model.
        PluginFailed: it raises what is no ALIError.
    """
    record = registry.get(Objective, config.objective)
    options = settings.complete(record, config.settings.get("objective", {}))
    pack = offers(model.part("discriminator")).packing
    if pack != 1 and "packing" not in record.of_discriminator:
        raise OptionError(f"objective {record.name!r} judges pairs one by one, leave discriminator.packing={pack} out")
    if config.settings.get("discriminator", {}).get("unary") and "unary" not in record.of_discriminator:
        raise OptionError(f"objective {record.name!r} takes no scores of x and z alone, leave discriminator.unary out")
    with blaming(objective), model.device:
        game = record.call(model, **options)
    if not isinstance(game, Game):
        who = f"objective {config.objective!r} of {objective.origin}"
        raise InvalidRecord(f"{who} built a {type(game).__name__}, not a Game")
    if game.needs_second_derivatives and model.device.type != "meta":
        require_second_derivatives(model)
    return game


def initialise_output(model: ALI, split: DataSplit | StreamSplit) -> None:
    """Give the decoder the data's mean, if it can start from it (paper.md section 3)."""
    initialise = offers(model.part("decoder")).initialise_output
    if initialise is not None:
        at_hand = split if isinstance(split, DataSplit) else split.sample(MEAN_OVER)
        first, _ = at_hand.rows(slice(MEAN_OVER))
        initialise(first.mean(0).to(model.device))
