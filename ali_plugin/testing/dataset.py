"""Checks of one registered dataset: what training and evaluation rely on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ali_plugin.datasets import load_split
from ali_plugin.datasets.split import SPLITS, DataSplit, Split
from ali_registry import Dataset, Registry, default_registry

FREE_SHAPES = ((1, 28, 28), (3, 32, 32))
"""Tried on a dataset that fits itself to the architecture."""

MOST_IN_BOTH = 0.5
"""Of the held-out samples: more of them among the training samples is no chance."""


@dataclass(frozen=True)
class Subject:
    """The dataset under test, with the folder of its files where it needs one."""

    name: str
    data_dir: Path | None
    registry: Registry

    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """The shapes of a sample to ask for."""
        own = self.registry.get(Dataset, self.name).data_shape
        return FREE_SHAPES if own is None else (own,)

    def load(self, split: Split, shape: tuple[int, ...] | None = None) -> DataSplit:
        """A split, through the same door as training."""
        return load_split(
            self.name, split, data_dir=self.data_dir, data_shape=shape or self.shapes()[0], registry=self.registry
        )


Check = Callable[[Subject], None]


def check_dataset(name: str, data_dir: Path | None = None, registry: Registry | None = None) -> None:
    """Run every check; AssertionError with a sentence at the first that fails."""
    for check in DATASET_CHECKS.values():
        check(Subject(name, data_dir, registry or default_registry()))


def splits(subject: Subject) -> None:
    """Every split loads in the stated shape, also for each shape that a free one is asked for."""
    for shape in subject.shapes():
        for split in SPLITS:
            found = subject.load(split, shape).shape
            assert found == shape, f"a {split} sample has shape {found}, asked for was {shape}"


def values(subject: Subject) -> None:
    """Samples are finite and not all the same; float pictures are in [0, 1]."""
    for split in SPLITS:
        data = subject.load(split).data
        assert (data != data[:1]).any(), f"all samples of the {split} split are the same"
        if data.dtype == np.uint8:
            assert data.max() > 1, f"the largest value of the {split} split is {data.max()}; uint8 goes up to 255"
            continue
        assert np.isfinite(data).all(), f"the {split} split has values that are not finite"
        if data.ndim == 4:
            low, high = float(data.min()), float(data.max())
            assert low >= 0, f"float pictures are in [0, 1], the {split} split goes down to {low:.3g}"
            assert high <= 1, f"float pictures are in [0, 1], the {split} split goes up to {high:.3g}"


def labels(subject: Subject) -> None:
    """Labels are class numbers or binary attributes, and agree with the names."""
    for split in SPLITS:
        found = subject.load(split)
        if found.labels is None:
            continue
        assert found.labels.dtype == np.int64, f"labels of the {split} split are {found.labels.dtype}, not int64"
        assert found.labels.min() >= 0, f"the {split} split has a negative label"
        if found.labels.ndim == 1:
            highest = int(found.labels.max())
            assert not found.classes or highest < len(found.classes), (
                f"the {split} split has a label {highest}, but {len(found.classes)} class names"
            )
        else:
            assert found.labels.shape[1:] == (len(found.classes),), (
                f"the {split} split has attributes {found.labels.shape[1:]} for {len(found.classes)} names"
            )
            assert found.labels.max() <= 1, f"attributes of the {split} split are not 0 and 1"


def repeatable(subject: Subject) -> None:
    """Loading a split twice gives the same samples in the same order."""
    for split in SPLITS:
        first, second = subject.load(split), subject.load(split)
        assert np.array_equal(first.data, second.data), f"the {split} split differs from one loading to the next"
        numbers, again = (np.zeros(0, np.int64) if found.labels is None else found.labels for found in (first, second))
        assert np.array_equal(numbers, again), f"labels of the {split} split differ from one loading to the next"


def held_out(subject: Subject) -> None:
    """Validation and test samples are not the training samples."""
    training = {sample.tobytes() for sample in subject.load("train").data}
    for split in SPLITS[1:]:
        data = subject.load(split).data
        in_both = sum(sample.tobytes() in training for sample in data) / len(data)
        assert in_both <= MOST_IN_BOTH, f"{in_both:.0%} of the {split} samples are training samples"


DATASET_CHECKS: dict[str, Check] = {
    check.__name__.replace("_", "-"): check for check in (splits, values, labels, repeatable, held_out)
}
