"""Samples and reconstructions of a run, saved as it goes."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ali_plugin.datasets.split import DataSplit
from ali_plugin.folder.model_folder import RECONSTRUCTIONS_NAME, SAMPLES_NAME
from ali_plugin.model import ALI
from ali_plugin.pictures.grid import save_picture, side_by_side
from ali_plugin.training.callbacks.callback import Callback, Run
from ali_plugin.training.run_folder import SAMPLES, refuse_overwriting

SIDE = 10  # of the grids: 10 x 10 samples, 50 originals with their reconstructions
POINTS = 2500  # instead, of data in the plane


class PictureSaver(Callback):
    """Writes pictures for fixed z and fixed held-out data, so that successive files can be compared.

    Data that are neither pictures nor points of the plane leave none.
    """

    def __init__(self, held_out: DataSplit) -> None:
        self.shows_points = held_out.shape == (2,)
        count = min(POINTS if self.shows_points else SIDE * SIDE // 2, len(held_out))
        self.shown = self.shows_points or len(held_out.shape) == 3
        self.held_out = held_out
        self.chosen = torch.linspace(0, len(held_out) - 1, count, dtype=torch.float32).long().numpy()

    def on_sample(self, trainer: Run) -> None:
        if self.shown:
            self._draw(trainer.averaged_model(), trainer.out / SAMPLES, f"step-{trainer.step:09d}-")

    def on_end(self, trainer: Run) -> None:
        if self.shown:
            self._draw(trainer.averaged_model(), trainer.out.resolve(), "")

    def _draw(self, model: ALI, folder: Path, prefix: str) -> None:
        generator = torch.Generator().manual_seed(0)
        size = model.config.condition_size
        originals, condition = self.held_out.rows(self.chosen, condition_size=size, device=model.device)
        samples = self._samples(model, condition, generator)
        # As in the paper: z_hat is drawn from the encoder; odd columns are originals.
        again = model.reconstruct(originals, condition, generator=generator)
        shown = again if self.shows_points else side_by_side(originals, again)
        for images, name in ((samples, SAMPLES_NAME), (shown, RECONSTRUCTIONS_NAME)):
            refuse_overwriting(folder / f"{prefix}{name}")
            save_picture(images, folder / f"{prefix}{name}", columns=SIDE)

    def _samples(self, model: ALI, condition: Tensor | None, generator: torch.Generator) -> Tensor:
        if condition is None:
            return model.sample(POINTS if self.shows_points else SIDE * SIDE, generator=generator)
        # A row for each z, a column for each of ten conditions that differ.
        columns = condition.unique(dim=0).flip(0)[:SIDE]
        return model.vary_condition(model.prior(SIDE, generator), columns)
