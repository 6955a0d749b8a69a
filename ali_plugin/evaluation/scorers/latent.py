"""How far a sample is from the training data, by its code or by the discriminator's features of it."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from ali_plugin.errors import DataError, OptionError
from ali_plugin.evaluation.neighbours import nearest_distances
from ali_plugin.evaluation.scorers.reconstruction import features_of
from ali_plugin.model import ALI
from ali_plugin.scoring import Score, Training

RIDGE = 1e-3  # of the mean variance, added to every variance: a covariance of few samples has an inverse, too
SMALLEST = 1e-12
MAX_FEATURES = 1024  # more are projected at random, which keeps distances (Johnson and Lindenstrauss, 1984)


def latent(against: Literal["prior", "mahalanobis", "knn"] = "mahalanobis", k: int = 1) -> Score:
    """Of the code, the mean mu of q(z|x)."""
    return Prior() if against == "prior" else Compared(Code(), against, k)


def features(against: Literal["mahalanobis", "knn"] = "knn", k: int = 1) -> Score:
    """Of the discriminator's features of x."""
    return Compared(Features(), against, k)


class Prior:
    """A(x) = |mu|, the Mahalanobis distance from the prior N(0, I)."""

    def __call__(self, model: ALI, x: Tensor, condition: Tensor | None) -> Tensor:
        return model.encode(x, condition).mean.float().square().sum(1).sqrt()


class Code:
    """x -> mu, (B, latent_size)."""

    def __call__(self, model: ALI, x: Tensor, condition: Tensor | None) -> Tensor:
        return model.encode(x, condition).mean.flatten(1)


class Features:
    """x -> the discriminator's features of x, (B, D); of many a random projection that is always the same."""

    projection: Tensor | None = None

    def __call__(self, model: ALI, x: Tensor, condition: Tensor | None) -> Tensor:
        found = features_of(model, "features")(x).flatten(1).float()
        if found.shape[1] <= MAX_FEATURES:
            return found
        if self.projection is None:
            generator = torch.Generator().manual_seed(0)
            drawn = torch.randn(found.shape[1], MAX_FEATURES, generator=generator, dtype=torch.float32)
            self.projection = (drawn / MAX_FEATURES**0.5).to(found.device)
        return found @ self.projection


class Compared:
    """The distance of f(x) from the training samples' f:

    - ``mahalanobis``: sqrt((f - m)' S^-1 (f - m)), with their mean m and covariance S,
    - ``knn``: the mean distance to the nearest k of them. A training sample is not its own neighbour.
    """

    def __init__(self, f: Code | Features, against: str, k: int) -> None:
        self.f, self.against, self.k = f, against, k

    def fit(self, model: ALI, training: Training) -> None:
        """Keep what is compared with.

        Raises:
            DataError: fewer than two samples.
            OptionError: no more than k of them.
        """
        points = torch.cat([self.f(model, x, condition).float().cpu() for x, condition in training])
        if len(points) < 2:
            raise DataError(f"a distance from the training data needs at least 2 samples, there is {len(points)}")
        if self.against == "knn":
            if self.k >= len(points):
                raise OptionError(f"scorer.k is {self.k}, it has to be below the {len(points)} training samples")
            self.points = points
        else:
            self.mean, self.root = _gaussian(points.double())

    def __call__(self, model: ALI, x: Tensor, condition: Tensor | None) -> Tensor:
        found = self.f(model, x, condition).float().cpu()
        if self.against == "knn":
            return nearest_distances(found, self.points, self.k).mean(1)
        centred = (found.double() - self.mean).T  # (D, B)
        white: Tensor = torch.linalg.solve_triangular(self.root, centred, upper=False)
        return white.square().sum(0).sqrt()


def _gaussian(points: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (D,) and the lower root L (D, D) of the covariance L L' of points (N, D)."""
    mean = points.mean(0)
    covariance = (points - mean).T @ (points - mean) / len(points)
    ridge = (RIDGE * covariance.diagonal().mean()).clamp_min(SMALLEST)
    return mean, torch.linalg.cholesky(covariance + ridge * torch.eye(len(mean), dtype=points.dtype))
