"""The classification error on held-out data, while a model with classes trains."""

from __future__ import annotations

import torch

from ali_plugin.datasets.split import DataSplit
from ali_plugin.model import ALI
from ali_plugin.training.callbacks.callback import Callback, Run

CHUNK = 500


class HeldOutError(Callback):
    """Adds ``error_held_out``, the share of wrongly classified held-out samples, to the log."""

    def __init__(self, held_out: DataSplit) -> None:
        self.held_out = held_out

    def on_sample(self, trainer: Run) -> None:
        trainer.reported["error_held_out"] = classification_error(trainer.averaged_model(), self.held_out)


@torch.no_grad()
def classification_error(model: ALI, split: DataSplit) -> float:
    """Share of samples whose class the discriminator gets wrong, with z the posterior mean (section 4.3)."""
    assert split.labels is not None
    size, wrong = model.config.condition_size, 0
    for start in range(0, len(split), CHUNK):
        chosen = slice(start, start + CHUNK)
        x, condition = split.rows(chosen, condition_size=size, device=model.device)
        wrong += int((model.classify(x, condition).cpu() != torch.from_numpy(split.labels[chosen])).sum())
    return wrong / len(split)
