"""Which of the mixture's 25 modes a model makes, counted in both published ways, and how well q(z) fills the prior."""

from __future__ import annotations

import torch
from torch import Tensor

from ali_plugin.datasets.mixture import MEANS, STDDEV
from ali_plugin.errors import DataError
from ali_plugin.evaluation.context import Context
from ali_plugin.evaluation.neighbours import fidelity_and_diversity

SAMPLES = 2500  # of the later comparisons (VEEGAN, PacGAN)
PAPER_SAMPLES = 10_000  # of the paper's own count
CODES = 5000  # on each side, for the coverage of the prior


def modes(context: Context) -> dict[str, float]:
    """The figures of mode coverage (section 4.5; Srivastava et al., 2017; Lin et al., 2018).

    ``modes`` counts means with at least one of 2,500 samples within 3 sigma, ``high_quality`` is the share of
    such samples, ``reverse_kl`` is KL(samples' nearest modes || uniform) in nats. ``modes_by_responsibility``
    is the paper's count: means that are the likeliest of any of 10,000 samples. ``latent_coverage`` and
    ``latent_density`` compare draws of q(z) with the prior (Naeem et al., 2020); both are about 1 if they agree.

    Raises:
        DataError: the data are not the mixture.
    """
    if context.dataset != "mixture":
        raise DataError(f"metric 'modes' counts the modes of dataset 'mixture', not of {context.dataset!r}")
    samples = torch.cat([part.float().cpu() for part in context.generated(PAPER_SAMPLES)])
    return {**mode_counts(samples), **_latent(context)}


def mode_counts(samples: Tensor) -> dict[str, float]:
    """The counts on samples (10,000, 2); the first 2,500 of them for the later comparisons."""
    means = torch.from_numpy(MEANS).float()
    distance, nearest = torch.cdist(samples, means).min(1)
    # With equal weights and deviations the mode of the highest responsibility is the nearest.
    by_responsibility = len(nearest[:PAPER_SAMPLES].unique())
    distance, nearest = distance[:SAMPLES], nearest[:SAMPLES]
    good = distance <= 3 * STDDEV
    share = nearest.bincount(minlength=len(means)).double() / len(nearest)
    reverse_kl = torch.special.xlogy(share, share * len(means)).sum().item()
    return {
        "modes": float(len(nearest[good].unique())),
        "high_quality": good.float().mean().item(),
        "reverse_kl": reverse_kl,
        "modes_by_responsibility": float(by_responsibility),
    }


@torch.no_grad()
def _latent(context: Context) -> dict[str, float]:
    generator = context.generator()
    drawn, count = [], 0
    for x, condition in context.stream("test"):
        drawn.append(context.model.encode(x, condition).sample(generator).float().cpu())
        count += len(x)
        if count >= CODES:
            break
    codes = torch.cat(drawn)[:CODES]
    prior = torch.randn(codes.shape, generator=generator, dtype=torch.float32)
    found = fidelity_and_diversity(prior, codes)
    return {f"latent_{name}": found[name] for name in ("coverage", "density")}
