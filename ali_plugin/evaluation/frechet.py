"""The Fréchet distance of features (Heusel et al., 2017), beside the distance that real data have."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ali_plugin.datasets.cache import cache_root
from ali_plugin.datasets.split import Split
from ali_plugin.errors import DataError, OptionError, WeightsError
from ali_plugin.evaluation.classifier import fingerprint
from ali_plugin.evaluation.context import Context
from ali_plugin.evaluation.extractors import Extractor, load_extractor
from ali_plugin.evaluation.neighbours import fidelity_and_diversity
from ali_plugin.folder import weights
from ali_plugin.support.progress import track

SMALLEST = 100  # samples on a side
COMPARED = 5000  # samples on a side for precision, recall, density and coverage


@dataclass(frozen=True)
class Statistics:
    """Mean (D,) and covariance (D, D) of features, float64, and the first features (N, D) themselves."""

    mean: Tensor
    covariance: Tensor
    first: Tensor


def frechet(context: Context) -> dict[str, float]:
    """``distance`` of the model's samples to the training samples in the features of a named extractor, and the
    ``floor``, which as many test samples have; then precision, recall, density and coverage against test samples.

    Each figure's name ends in the extractor's: figures of two extractors cannot be compared. The floor is what to
    compare a distance with, since both grow as the samples become fewer.

    Raises:
        OptionError, DataError: too few samples.
    """
    sides = compared(context, "frechet")
    figures = {
        "distance": frechet_distance(sides.fake, sides.train),
        "floor": frechet_distance(sides.test, sides.train),
        **fidelity_and_diversity(sides.test.first, sides.fake.first),
    }
    return {f"{name} ({sides.extractor.name})": value for name, value in figures.items()}


@dataclass(frozen=True)
class Sides:
    """What a comparison in an extractor's features has: all training samples, and as many test samples as made ones."""

    extractor: Extractor
    train: Statistics
    test: Statistics
    fake: Statistics


def compared(context: Context, metric: str) -> Sides:
    """The sides of a metric's comparison.

    Raises:
        OptionError, DataError: too few samples.
    """
    count = min(context.samples, len(context.split("test")))
    if context.samples < SMALLEST:
        raise OptionError(f"--samples is {context.samples}; metric {metric!r} needs at least {SMALLEST}")
    if count < SMALLEST:
        raise DataError(f"metric {metric!r} needs at least {SMALLEST} test samples, there are {count}")
    extractor = load_extractor(context)
    train, test = (_real(context, extractor, "train", None), _real(context, extractor, "test", count))
    total = -(-count // context.batch_size)
    fake = statistics(extractor, track(context.generated(count), "features of samples", total))
    return Sides(extractor, train, test, fake)


def frechet_distance(a: Statistics, b: Statistics) -> float:
    """|mean_a - mean_b|^2 + tr(A + B - 2 (A B)^(1/2)) of covariances A and B."""
    values, vectors = torch.linalg.eigh(a.covariance)
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    # (A B)^(1/2) and (A^(1/2) B A^(1/2))^(1/2) have the same trace, and the latter matrix is symmetric.
    cross = torch.linalg.eigvalsh(root @ b.covariance @ root).clamp_min(0).sqrt().sum()
    distance = (a.mean - b.mean).square().sum() + a.covariance.trace() + b.covariance.trace() - 2 * cross
    return max(float(distance), 0.0)


@torch.no_grad()
def statistics(extractor: Extractor, parts: Iterable[Tensor]) -> Statistics:
    """Statistics of the features of pictures that come in parts (B, C, H, W), in bounded memory."""
    count, mean, scatter = 0, torch.zeros(()), torch.zeros(())
    first: list[Tensor] = []
    for part in parts:
        features = extractor.features(part).cpu()
        if sum(map(len, first)) < COMPARED:
            first.append(features)
        features = features.double()
        # Chan et al.'s update: the scatter around the running mean does not cancel.
        size, centre = len(features), features.mean(0)
        delta, total = centre - mean, count + len(features)
        deviations = features - centre
        scatter = scatter + deviations.T @ deviations + torch.outer(delta, delta) * (count * size / total)
        mean, count = mean + delta * (size / total), total
    return Statistics(mean, scatter / (count - 1), torch.cat(first)[:COMPARED])


def _real(context: Context, extractor: Extractor, split: Split, count: int | None) -> Statistics:
    """Statistics of (the first ``count`` samples of) a split, from the cache or into it."""
    samples = len(context.split(split)) if count is None else count
    key = f"{extractor.name} {fingerprint(context.split(split))} {samples} {COMPARED}"
    path = cache_root() / "frechet" / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.safetensors"
    if not path.is_file():
        total = -(-samples // context.batch_size)
        found = statistics(extractor, track(_pictures(context, split, samples), f"features of {split}", total))
        weights.write(path, vars(found))
    try:
        return Statistics(**weights.read_all(path))
    except (WeightsError, TypeError) as error:
        raise DataError(f"the cached statistics {path} are damaged; delete them to have them made again") from error


def _pictures(context: Context, split: Split, count: int) -> Iterator[Tensor]:
    left = count
    for x, _ in context.stream(split):
        yield x[:left]
        left -= len(x)
        if left <= 0:
            return
