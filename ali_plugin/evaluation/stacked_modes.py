"""How many of the thousand modes of stacked digits a model makes, and how evenly."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ali_plugin.datasets.split import DataSplit
from ali_plugin.datasets.stacked import DIGITS, MODES, NAME, digits
from ali_plugin.errors import DataError
from ali_plugin.evaluation.classifier import Classifier, load_classifier
from ali_plugin.evaluation.context import Context
from ali_plugin.support.progress import track

SAMPLES = 26_000  # of the published comparisons (VEEGAN, PacGAN)


def stacked_modes(context: Context) -> dict[str, float]:
    """The protocol of Srivastava et al. (2017) and Lin et al. (2018): 26,000 samples, each told by its three digits.

    A classifier that is trained on the single digits tells them, and is kept in the cache. ``modes`` counts those that
    any sample has; ``kl`` is KL(samples' modes || data's modes) in nats; ``digit_accuracy`` is the classifier's own on
    held-out digits, which bounds what the others can be trusted for.

    Raises:
        DataError: the data are not the stacked digits.
    """
    if context.dataset != NAME:
        raise DataError(f"metric 'stacked-modes' counts the modes of dataset {NAME!r}, not of {context.dataset!r}")
    train, test = digits("train", context.data_dir), digits("test", context.data_dir)
    net, _ = load_classifier(train)
    net.to(context.model.device)
    accuracy = _accuracy(net, test, context.batch_size)
    context.notes += [
        *test.notes,
        f"modes are told by a classifier that is right about {accuracy:.1%} of {len(test)} held-out digits",
    ]
    parts = track(context.generated(SAMPLES), "modes of samples", -(-SAMPLES // context.batch_size))
    found = torch.cat([modes_of(net, part) for part in parts])
    return {**mode_counts(found, expected(train)), "digit_accuracy": accuracy}


@torch.no_grad()
def modes_of(net: Classifier, pictures: Tensor) -> Tensor:
    """The modes (B,) of pictures (B, 3, 28, 28)."""
    told: Tensor = net(pictures.float().flatten(0, 1)[:, None]).argmax(1).view(-1, 3).cpu()
    return told @ torch.tensor([100, 10, 1])


def expected(single: DataSplit) -> Tensor:
    """The modes' shares (1000,) in pictures of three digits that are drawn by themselves."""
    share = torch.from_numpy(np.bincount(np.asarray(single.labels), minlength=len(DIGITS)) / len(single))
    return torch.einsum("a,b,c->abc", share, share, share).flatten()


def mode_counts(found: Tensor, shares: Tensor) -> dict[str, float]:
    """The figures of samples' modes (N,) against the data's shares (1000,)."""
    share = found.bincount(minlength=MODES).double() / len(found)
    kl = (torch.special.xlogy(share, share) - torch.special.xlogy(share, shares)).sum().item()
    return {"modes": float(len(found.unique())), "kl": kl}


@torch.no_grad()
def _accuracy(net: Classifier, single: DataSplit, batch_size: int) -> float:
    device, right = next(net.parameters()).device, 0
    for start in range(0, len(single), batch_size):
        rows = slice(start, start + batch_size)
        told = net(single.rows(rows, device=device)[0]).argmax(1).cpu().numpy()
        right += int((told == np.asarray(single.labels)[rows]).sum())
    return right / len(single)
