"""Samples and reconstructions of a run, saved as it goes."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ali_plugin.datasets.split import DataSplit
from ali_plugin.model import ALI
from ali_plugin.pictures import save_grid, side_by_side
from ali_plugin.training.batches import to_unit
from ali_plugin.training.callbacks import Callback
from ali_plugin.training.trainer import Trainer

SAMPLES, RECONSTRUCTIONS = "samples.png", "reconstructions.png"
COUNT = 100  # samples, 10 x 10
PAIRS = 50  # originals with their reconstructions, 10 columns


class PictureSaver(Callback):
    """Writes grids for fixed z and fixed held-out pictures, so that successive files can be compared."""

    def __init__(self, held_out: DataSplit) -> None:
        chosen = torch.linspace(0, len(held_out) - 1, min(PAIRS, len(held_out))).long().numpy()
        self.originals: Tensor = to_unit(torch.from_numpy(held_out.data[chosen]))

    def on_sample(self, trainer: Trainer) -> None:
        folder = trainer.out / "samples"
        self._draw(trainer.averaged_model(), folder, f"step-{trainer.step:09d}-")

    def on_end(self, trainer: Trainer) -> None:
        self._draw(trainer.averaged_model(), trainer.out, "")

    def _draw(self, model: ALI, folder: Path, prefix: str) -> None:
        generator = torch.Generator().manual_seed(0)
        save_grid(model.sample(COUNT, generator=generator), folder / f"{prefix}{SAMPLES}", columns=10)
        originals = self.originals.to(next(model.parameters()).device)
        # As in the paper: z_hat is drawn from the encoder; odd columns are originals.
        again = model.reconstruct(originals, generator=generator)
        save_grid(side_by_side(originals, again), folder / f"{prefix}{RECONSTRUCTIONS}", columns=10)
