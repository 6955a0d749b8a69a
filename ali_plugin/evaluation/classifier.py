"""A small convolutional classifier of a dataset, trained once and kept in the cache."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from ali_plugin.datasets.cache import cache_root
from ali_plugin.datasets.split import DataSplit
from ali_plugin.errors import DataError, WeightsError
from ali_plugin.folder import weights
from ali_plugin.nets import state
from ali_plugin.support.devices import float32_by_default
from ali_plugin.support.progress import track

FEATURES, BATCH, RATE = 256, 100, 1e-3
EPOCHS, MOST_STEPS = 10, 1500  # of training: under a minute of one CPU core on 28x28 pictures
SHOWN = 512  # samples that a split is told by


class Classifier(nn.Sequential):
    """Three convolutions with stride 2 and batch norm, 256 features, classes."""

    def __init__(self, channels: int, classes: int) -> None:
        def block(maps_in: int, maps: int) -> nn.Sequential:
            return nn.Sequential(nn.Conv2d(maps_in, maps, 3, 2, 1, bias=False), nn.BatchNorm2d(maps), nn.ReLU())

        body = nn.Sequential(block(channels, 32), block(32, 64), block(64, 128), nn.AdaptiveAvgPool2d(4))
        super().__init__(body, nn.Flatten(), nn.Linear(128 * 16, FEATURES), nn.ReLU(), nn.Linear(FEATURES, classes))

    def features(self, x: Tensor) -> Tensor:
        """The hidden layer (B, 256) before the classes."""
        for layer in list(self)[:-1]:
            x = layer(x)
        return x


def fingerprint(split: DataSplit) -> str:
    """A digest that tells splits apart, from their size and samples spread over them."""
    chosen = np.linspace(0, len(split) - 1, min(SHOWN, len(split))).astype(np.int64)
    digest = hashlib.sha256(f"{len(split)} {split.shape}".encode())
    digest.update(np.ascontiguousarray(split.data[chosen]).tobytes())
    if split.labels is not None:
        digest.update(np.ascontiguousarray(split.labels[chosen]).tobytes())
    return digest.hexdigest()[:16]


def load_classifier(split: DataSplit) -> tuple[Classifier, str]:
    """The classifier of a training split, in eval mode on the CPU, and its digest; trained if it is not cached.

    Raises:
        DataError: the split has no labels, or the cached file is damaged.
    """
    if split.labels is None:
        raise DataError("a classifier cannot be trained on data without labels; name another --extractor")
    with float32_by_default():
        net = Classifier(split.shape[0], split.label_size)
    path = cache_root() / "classifiers" / f"{fingerprint(split)}.safetensors"
    if not path.is_file():
        _train(net, split)
        weights.write(path, state.named(net))
    try:
        state.load(net, weights.read_all(path))
    except WeightsError as error:
        raise DataError(f"the cached classifier {path} is damaged; delete it to have it trained again") from error
    return net.eval(), _digest(path)


def _train(net: Classifier, split: DataSplit) -> None:
    assert split.labels is not None
    random = np.random.default_rng(0)
    batch = min(BATCH, len(split))
    steps = min(EPOCHS * len(split) // batch, MOST_STEPS)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for module in net.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.reset_parameters()
        optimiser = torch.optim.Adam(net.parameters(), lr=RATE)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE * 3, total_steps=steps)
        for _ in track(range(steps), "training a classifier for its features", steps):
            rows = np.sort(random.choice(len(split), batch, replace=False))
            logits = net(split.rows(rows)[0])
            labels = torch.from_numpy(split.labels[rows])
            one_of = labels.ndim == 1
            loss = cross_entropy(logits, labels) if one_of else binary_cross_entropy_with_logits(logits, labels.float())
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:8]
