"""A model folder that was checked: everything that a card or a push needs to know of it, found out once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ali_plugin.config.model_config import ModelConfig
from ali_plugin.folder import evaluation_record, model_folder, pipeline_layout, weights
from ali_plugin.folder.evaluation_record import Figure
from ali_plugin.folder.training_record import TrainingRecord
from ali_registry import Registry, default_registry


@dataclass(frozen=True)
class Checked:
    """A sound folder.

    Attributes:
        registry: where its parts are looked up.
        parameters: their number in each part, by kind.
        files: of the model and its companions, by name, with their sizes in bytes.
        training, figures: the two records that go with a model.
    """

    path: Path
    config: ModelConfig
    registry: Registry
    parameters: dict[str, int]
    files: dict[str, int]
    training: TrainingRecord | None
    figures: tuple[Figure, ...]

    @property
    def is_pipeline(self) -> bool:
        """Whether it has the layout of a diffusers pipeline."""
        return pipeline_layout.INDEX_NAME in self.files


def check(folder: Path, registry: Registry | None = None) -> Checked:
    """Check that ``model_folder.read`` would take the folder, without reading its weights, and its records.

    Raises:
        FolderError, ConfigError, WeightsError: the folder, its config, a header or a record is not sound.
    """
    registry = registry or default_registry()
    config = model_folder.read_config(folder)
    nets = model_folder.weightless_parts(config, registry)
    for path, implied in model_folder.weight_files(folder, nets):
        weights.check(path, implied)
    files = {name: (folder / name).stat().st_size for name in model_folder.files_of(folder, config)}
    return Checked(
        path=folder,
        config=config,
        registry=registry,
        parameters={kind: sum(parameter.numel() for parameter in net.parameters()) for kind, net in nets.items()},
        files=files,
        training=TrainingRecord.from_folder(folder),
        figures=tuple(evaluation_record.read(folder)),
    )
