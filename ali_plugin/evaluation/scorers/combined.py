"""Several scores as one: what one of them overlooks another may see."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ali_plugin.errors import OptionError
from ali_plugin.model import ALI
from ali_plugin.scoring import Scoring, Training

SPREAD = (0.16, 0.84)  # quantiles that are two deviations of a Gaussian apart
SMALLEST = 1e-12


class Combined:
    """The mean of standardised scores, A(x) = mean_i (A_i(x) - m_i) / s_i.

    m_i is the median of the training samples' scores, s_i half of the distance of their quantiles .16 and .84: the
    mean and deviation of a Gaussian, which a few strange samples among the training data do not move.

    Args:
        of: names of scorers, each with its defaults.

    Raises:
        OptionError: there is none, one is named twice, or it is ``combined`` itself.
    """

    def __init__(self, of: Sequence[str]) -> None:
        if not of or len(set(of)) < len(of) or "combined" in of:
            raise OptionError(f"scorer.of is {', '.join(of) or 'empty'}; name scorers, each once, and others than "
                              "'combined'")  # fmt: skip
        self.of = tuple(of)

    def fit(self, model: ALI, training: Training) -> None:
        self.members = [Scoring(model, name, registry=model.registry).fit(training) for name in self.of]
        scores = torch.stack([torch.cat([member(*part) for part in training]) for member in self.members])
        low, high = torch.quantile(scores.double(), torch.tensor(SPREAD, dtype=torch.float64), dim=1)
        self.middle = scores.median(1).values
        self.spread = ((high - low) / 2).float().clamp_min(SMALLEST)

    def __call__(self, model: ALI, x: Tensor, condition: Tensor | None) -> Tensor:
        scores = torch.stack([member(x, condition).to(self.middle.device) for member in self.members], 1)
        standardised: Tensor = (scores - self.middle) / self.spread  # (B, members)
        return standardised.mean(1)
