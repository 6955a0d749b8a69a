"""The encoder's features: its last three hidden layers and the mean of q(z|x) (section 4.2)."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ali_plugin.datasets.split import Split
from ali_plugin.errors import PartMismatch
from ali_plugin.evaluation.context import Context
from ali_plugin.model import ALI
from ali_plugin.nets.protocol import offers
from ali_plugin.support.progress import track

LAYERS = 3
CHUNK = 2000
Array = NDArray[np.float32]


def hidden_layers(model: ALI) -> list[nn.Module]:
    """The encoder's last three hidden layers, or all if it has fewer.

    Raises:
        PartMismatch: the encoder has no ``hidden``, an ``nn.Sequential`` with one module a layer.
    """
    hidden = offers(model.part("encoder")).hidden
    if not hidden:
        name = model.config.encoder.name if model.config.encoder else "?"
        raise PartMismatch(f"encoder {name!r} does not say which its hidden layers are (an nn.Sequential 'hidden')")
    return list(hidden)[-LAYERS:]


@torch.no_grad()
def encoder_features(context: Context, split: Split) -> Array:
    """Features (N, D) of a split, in a temporary file that is mapped into memory.

    D is the sum of the flattened hidden layers and the latent. Where the encoder takes noise, they are averaged
    over the draws of its mean.
    """
    samples, start, rows = len(context.split(split)), 0, None
    with _recorded(hidden_layers(context.model)) as recorded:
        total = -(-samples // context.batch_size)
        for x, condition in track(context.stream(split), f"features of {split}", total):
            mean = context.model.encode(x, condition).mean
            part = torch.cat([*recorded(), mean], 1).float().cpu().numpy()
            if rows is None:
                rows = mapped(samples, part.shape[1])
            rows[start : start + len(part)] = part
            start += len(part)
    assert rows is not None
    return rows


def mapped(rows: int, columns: int) -> Array:
    """An array in a file that goes away with it."""
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, np.float32, mode="w+", shape=(rows, columns))


def standardise(train: Array, *others: Array) -> None:
    """Give each feature mean 0 and deviation 1 over the training rows, in place and in parts."""
    total = np.zeros(train.shape[1])
    squares = np.zeros(train.shape[1])
    for part in _parts(train):
        total += part.sum(0, dtype=np.float64)
    mean = total / len(train)
    for part in _parts(train):
        squares += np.square(part - mean).sum(0)
    deviation = np.sqrt(squares / len(train))
    deviation[deviation < 1e-6] = 1  # a unit that never moves
    for array in (train, *others):
        for part in _parts(array):
            part[:] = (part - mean) / deviation


def _parts(array: Array) -> Iterator[Array]:
    return (array[start : start + CHUNK] for start in range(0, len(array), CHUNK))


@contextmanager
def _recorded(layers: list[nn.Module]) -> Iterator[Callable[[], list[Tensor]]]:
    """Record what layers put out; calling the result gives the means over the calls since, flattened."""
    seen: dict[int, list[Tensor]] = {i: [] for i in range(len(layers))}

    def take() -> list[Tensor]:
        found = [torch.stack(outputs).mean(0) if len(outputs) > 1 else outputs[0] for outputs in seen.values()]
        for outputs in seen.values():
            outputs.clear()
        return found

    handles = [
        layer.register_forward_hook(lambda _, __, output, i=i: seen[i].append(output.flatten(1)))
        for i, layer in enumerate(layers)
    ]
    try:
        yield take
    finally:
        for handle in handles:
            handle.remove()
