"""What numbers that stand for samples tell of their classes."""

from __future__ import annotations

from ali_plugin.evaluation.features import Array, standardise
from ali_plugin.evaluation.linear import Labels, probe
from ali_plugin.evaluation.neighbours import nearest_neighbours


def accuracies(train: Array, labels: Labels, test: Array, test_labels: Labels, seed: int) -> dict[str, float]:
    """Accuracy of the nearest training neighbour (Donahue et al., 2017, section 4.2), and of a linear probe.

    Args:
        train, test: (N, D) and (M, D) with labels (N,) and (M,); standardised in place, for the probe.
    """
    near = float((labels[nearest_neighbours(test, train).numpy()] == test_labels).mean())
    standardise(train, test)
    return {"nearest_neighbour_accuracy": near, "probe_accuracy": probe(train, labels, test, test_labels, seed)}
