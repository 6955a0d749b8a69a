"""The best model so far, kept beside the last ones."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from ali_plugin.config import conditions
from ali_plugin.datasets.split import DataSplit, to_unit
from ali_plugin.errors import ConfigError, FolderError
from ali_plugin.folder import model_folder
from ali_plugin.support import atomic
from ali_plugin.support.strict_json import read_object
from ali_plugin.training.callbacks import Callback
from ali_plugin.training.run_folder import BEST
from ali_plugin.training.trainer import Trainer

RECORD = "best.json"
SAMPLES = 500


class BestModel(Callback):
    """At each checkpoint, keeps the model in ``RUN/best`` if it reconstructs held-out data best so far.

    ``RUN/best`` is a model folder; its ``best.json`` says at which step it was, and the mean squared error.
    """

    def __init__(self, held_out: DataSplit) -> None:
        self.x = to_unit(torch.from_numpy(held_out.data[:SAMPLES].copy()))
        self.labels = None if held_out.labels is None else torch.from_numpy(held_out.labels[:SAMPLES])

    def on_checkpoint(self, trainer: Trainer, path: Path) -> None:
        folder = trainer.out / BEST
        if folder.is_symlink():
            raise FolderError(f"{folder} is a link, behind which nothing is replaced; the best model is not kept")
        model = trainer.averaged_model()
        size = model.config.condition_size
        condition = None
        if size and self.labels is not None:
            condition = conditions.from_labels(self.labels, size).to(trainer.device)
        x = self.x.to(trainer.device)
        error = (model.reconstruct(x, condition) - x).square().mean().item()
        if error < best_error(folder):
            model_folder.save(model, folder)
            record = {"step": trainer.step, "reconstruction_mse": error}
            atomic.write(folder / RECORD, json.dumps(record) + "\n")


def best_error(folder: Path) -> float:
    """The error of the model that is kept, infinite if there is none."""
    try:
        return float(read_object(folder / RECORD)["reconstruction_mse"])
    except (ConfigError, ValueError, KeyError, TypeError):
        return float("inf")
