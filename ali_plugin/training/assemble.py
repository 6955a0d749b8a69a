"""What a run is made of: its data, its untrained model."""

from __future__ import annotations

from pathlib import Path

from torch.nn.modules.batchnorm import _BatchNorm

from ali_plugin.config.compose import compose
from ali_plugin.config.model_config import PARTS
from ali_plugin.datasets import load_split
from ali_plugin.datasets.split import DataSplit, Split
from ali_plugin.errors import DataError, OptionError, PartMismatch
from ali_plugin.model import ALI
from ali_plugin.nets.protocol import offers
from ali_plugin.training.config import TrainConfig
from ali_registry import Architecture, Objective, Registry

MEAN_OVER = 500  # samples, for the log-odds of the decoder's last bias (paper.md section 3)


def load_data(config: TrainConfig, split: Split, registry: Registry) -> DataSplit:
    """A split of a run's dataset."""
    return load_split(
        config.dataset,
        split,
        data_dir=None if config.data_dir is None else Path(config.data_dir),
        data_shape=registry.get(Architecture, config.architecture).data_shape,
        registry=registry,
    )


def build_model(config: TrainConfig, split: DataSplit, registry: Registry) -> ALI:
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
    uses_labels = registry.get(Objective, config.objective).uses_labels
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
            condition_size=split.label_size if conditional else 0,
            condition_names=split.classes if conditional else (),
            classes=split.label_size if uses_labels else 1,
            registry=registry,
        ),
        registry,
    )
    if config.batch_size == 1 and any(isinstance(module, _BatchNorm) for module in model.modules()):
        raise OptionError("--batch-size is 1, but the nets have batch norm, which compares samples; take at least 2")
    return model


def initialise_output(model: ALI, split: DataSplit) -> None:
    """Give the decoder the data's mean, if it can start from it (paper.md section 3)."""
    initialise = offers(model.part("decoder")).initialise_output
    if initialise is not None:
        first, _ = split.rows(slice(MEAN_OVER))
        initialise(first.mean(0).to(model.device))
