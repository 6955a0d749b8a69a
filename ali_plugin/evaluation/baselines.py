"""What a code has to beat: the samples as they are, and a linear code of them. No model is asked."""

from __future__ import annotations

import math

import numpy as np

from ali_plugin.datasets.split import Split
from ali_plugin.evaluation.classes import accuracies
from ali_plugin.evaluation.context import Context
from ali_plugin.evaluation.features import Array, mapped
from ali_plugin.evaluation.linear import fitting_rows
from ali_plugin.support.extras import need

ROWS = 2000  # in memory at once


def baselines(context: Context) -> dict[str, dict[str, float]]:
    """``accuracies`` of ``raw``, the numbers of a sample, and of ``pca``, as many principal components as z has
    numbers (or as the data have); of these also ``mse``, the squared error per number of test samples that come back.

    Raises:
        DataError: the dataset has no class labels.
        MissingExtra: scikit-learn is not installed.
    """
    decomposition = need("sklearn.decomposition", "the principal components", "eval")
    labels, test_labels = context.class_labels("train"), context.class_labels("test")
    train, test = _raw(context, "train"), _raw(context, "test")
    rows = np.array(train[fitting_rows(train, context.seed)])
    size = min(context.model.config.latent_size, *rows.shape)
    pca = decomposition.PCA(size, copy=False, random_state=0).fit(rows)
    codes, test_codes = (np.concatenate([pca.transform(part) for part in _parts(split)]) for split in (train, test))
    lost = sum(
        np.square(pca.inverse_transform(code) - part).sum(dtype=np.float64)
        for code, part in zip(_parts(test_codes), _parts(test), strict=True)
    )
    return {
        "raw": accuracies(train, labels, test, test_labels, context.seed),
        "pca": {
            **accuracies(codes, labels, test_codes, test_labels, context.seed),
            "mse": float(lost / test.size),
        },
    }


def _raw(context: Context, name: Split) -> Array:
    """All numbers (N, D) of a split's samples, pictures in [0, 1], in a file that is mapped into memory."""
    split = context.split(name)
    found = mapped(len(split), math.prod(split.shape))
    for start in range(0, len(split), ROWS):
        x, _ = split.rows(slice(start, start + ROWS))
        found[start : start + ROWS] = x.flatten(1).numpy()
    return found


def _parts(array: Array) -> list[Array]:
    return [array[start : start + ROWS] for start in range(0, len(array), ROWS)]
