"""The best model so far, kept beside the last ones."""

from __future__ import annotations

import json
from pathlib import Path

from ali_plugin.datasets.split import DataSplit
from ali_plugin.errors import ConfigError, FolderError
from ali_plugin.support import atomic
from ali_plugin.support.strict_json import read_object
from ali_plugin.training.callbacks.callback import Callback, Run
from ali_plugin.training.run_folder import BEST

RECORD = "best.json"
SAMPLES = 500


class BestModel(Callback):
    """At each checkpoint, keeps the model in ``RUN/best`` if it reconstructs held-out data best so far.

    ``RUN/best`` is a model folder; its ``best.json`` says at which step it was, and the mean squared error. The log
    has this error as ``mse_held_out`` whenever there are pictures.
    """

    def __init__(self, held_out: DataSplit) -> None:
        self.held_out = held_out
        self._measured: tuple[int, float] | None = None  # the step, and its error

    def on_sample(self, trainer: Run) -> None:
        error = self._error(trainer)
        self._measured = trainer.step, error
        trainer.reported["mse_held_out"] = error

    def on_checkpoint(self, trainer: Run, path: Path) -> None:
        folder = trainer.out / BEST
        if folder.is_symlink():
            raise FolderError(f"{folder} is a link, behind which nothing is replaced; the best model is not kept")
        step, error = self._measured or (None, 0.0)
        if step != trainer.step:
            error = self._error(trainer)
        if error < best_error(folder):
            trainer.averaged_model().save_pretrained(folder)
            record = {"step": trainer.step, "reconstruction_mse": error}
            atomic.write(folder / RECORD, json.dumps(record) + "\n")

    def _error(self, trainer: Run) -> float:
        model = trainer.averaged_model()
        size = model.config.condition_size
        x, condition = self.held_out.rows(slice(SAMPLES), condition_size=size, device=trainer.device)
        return (model.reconstruct(x, condition) - x).square().mean().item()


def best_error(folder: Path) -> float:
    """The error of the model that is kept, infinite if there is none."""
    try:
        return float(read_object(folder / RECORD)["reconstruction_mse"])
    except (ConfigError, ValueError, KeyError, TypeError):
        return float("inf")
