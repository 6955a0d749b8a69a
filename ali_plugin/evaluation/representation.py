"""What codes and encoder features know about the labels."""

from __future__ import annotations

import numpy as np
import torch

from ali_plugin.errors import DataError, OptionError
from ali_plugin.evaluation.context import Context
from ali_plugin.evaluation.features import Array, encoder_features, standardise
from ali_plugin.evaluation.linear import L2SVM, Labels, probe
from ali_plugin.evaluation.neighbours import nearest_neighbours
from ali_plugin.support.extras import need


def representation(context: Context) -> dict[str, float]:
    """Figures on test samples, from training samples; codes are posterior means, features see ``features.py``.

    ``nearest_neighbour_accuracy`` is that of codes (Donahue et al., 2017, section 4.2); ``l2_svm_error_N`` and its
    deviation over random sets of N labels follow the paper (section 4.2); the probes see all training labels.

    Raises:
        DataError: the dataset has no class labels.
        OptionError: more labels than there are, or fewer than classes.
        MissingExtra: scikit-learn is not installed.
    """
    need("sklearn", "metric 'representation'")
    labels, test_labels = context.class_labels("train"), context.class_labels("test")
    if len(np.unique(labels)) < 2:
        raise DataError(f"dataset {context.dataset!r} has one class only, which leaves nothing to tell apart")
    if context.label_sets < 1:
        raise OptionError(f"--label-sets is {context.label_sets}, at least 1")
    train, test = encoder_features(context, "train"), encoder_features(context, "test")
    size = context.model.config.latent_size
    codes, test_codes = np.array(train[:, -size:]), np.array(test[:, -size:])
    standardise(train, test)
    figures: dict[str, float] = {}
    for count in context.labels:
        figures |= L2SVM(train, labels, count, context.seed).figures(context.label_sets, test, test_labels)
    figures |= {
        "nearest_neighbour_accuracy": _nearest(codes, labels, test_codes, test_labels),
        "nearest_neighbour_accuracy_features": _nearest(train, labels, test, test_labels),
    }
    standardise(codes, test_codes)
    return {
        **figures,
        "probe_accuracy": probe(codes, labels, test_codes, test_labels, context.seed),
        "probe_accuracy_features": probe(train, labels, test, test_labels, context.seed),
        "feature_size": float(train.shape[1]),
    }


def _nearest(train: Array, labels: Labels, test: Array, test_labels: Labels) -> float:
    right = labels[nearest_neighbours(test, train).numpy()] == test_labels
    return torch.from_numpy(right).float().mean().item()
