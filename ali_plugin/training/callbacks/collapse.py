"""Warnings when a game has collapsed."""

from __future__ import annotations

import torch

from ali_plugin.datasets.split import DataSplit
from ali_plugin.training.callbacks.callback import Callback, Run

WON = 0.999  # accuracy of a discriminator that has won
LINES = 10  # consecutive log lines of it before a warning
GONE = 0.02  # share of the data's variance that samples have at least
SAMPLES = 100
VARIANCE_OVER = 500  # held-out samples
PATIENCE = 2000  # steps that samples are given to vary at all


class CollapseWarning(Callback):
    """Warns once when D's accuracy is pinned at 1, and once when samples vary far less than held-out data."""

    def __init__(self, held_out: DataSplit) -> None:
        shown, _ = held_out.rows(slice(VARIANCE_OVER))
        self.variance = shown.var(0, correction=0).mean().item()  # the mean over elements
        self._lines, self._varied = 0, False
        self._told: set[str] = set()

    def on_log(self, trainer: Run, figures: dict[str, float]) -> None:
        self._lines = self._lines + 1 if figures.get("accuracy_discriminator", 0) >= WON else 0
        if self._lines == LINES:
            self._tell(trainer, "the discriminator tells all pairs apart; encoder and decoder hardly learn any more")

    def on_sample(self, trainer: Run) -> None:
        model = trainer.averaged_model()
        size = model.config.condition_size
        condition = torch.zeros(SAMPLES, size, device=trainer.device) if size else None
        generator = torch.Generator().manual_seed(0)
        variance = model.sample(SAMPLES, condition, generator=generator).float().var(0).mean().item()
        gone = variance < GONE * self.variance
        self._varied = self._varied or not gone
        if gone and (self._varied or trainer.step >= PATIENCE):
            self._tell(trainer, f"samples no longer vary (variance {variance:.2g}, the data have {self.variance:.2g})")

    def _tell(self, trainer: Run, text: str) -> None:
        if text[:20] not in self._told:
            self._told.add(text[:20])
            trainer.warn(f"step {trainer.step}: {text}")
