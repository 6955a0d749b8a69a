"""What a metric sees: the model, its options, and streams over its data in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ali_plugin.datasets import load_split
from ali_plugin.datasets.split import DataSplit, Rows, Split
from ali_plugin.errors import DataError, OptionError
from ali_plugin.model import ALI
from ali_plugin.scoring import DEFAULT
from ali_plugin.support.devices import seeded
from ali_plugin.support.limits import MAX_STEPS
from ali_registry import Registry


@dataclass
class Context:
    """A model under evaluation.

    Attributes:
        model: in eval mode.
        dataset: registered name; data_dir: its folder.
        seed: of everything random in a metric.
        batch_size: of the streams, which bounds the memory.
        labels, label_sets: numbers of labelled samples of the L2-SVM, its usual one where there are none, and how many
            random sets of each.
        samples: drawn for the Frechet distance, at most.
        extractor: of its features, as ``ali_plugin.evaluation.extractors.load_extractor`` reads it.
        scorer: of the anomalies, with its options.
        strange: the anomalies: names of classes of the dataset, or folders of pictures.
        normal: names of the classes that are none; the others are.
        background: under what is transparent, for a dataset that takes one.
        notes: what a person should know; metrics add to it.
    """

    model: ALI
    dataset: str
    data_dir: Path | None = None
    seed: int = 0
    batch_size: int = 250
    labels: tuple[int, ...] = ()
    label_sets: int = 10
    samples: int = 10_000
    extractor: str = "auto"
    scorer: str = DEFAULT
    scorer_options: Mapping[str, Any] = field(default_factory=dict)
    strange: tuple[str, ...] = ()
    normal: tuple[str, ...] = ()
    background: str | None = None
    registry: Registry | None = None
    notes: list[str] = field(default_factory=list)
    _splits: dict[Split, DataSplit] = field(default_factory=dict)
    _codes: dict[Split, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        seeded(self.seed)  # one that is none is refused before the work
        counts = {"labels": max(self.labels, default=1), "label_sets": self.label_sets, "samples": self.samples}
        for name, value in counts.items():
            if value > MAX_STEPS:
                raise OptionError(f"--{name.replace('_', '-')} is {value}, it has to be at most {MAX_STEPS}")

    def split(self, name: Split) -> DataSplit:
        """A split of the dataset."""
        if name not in self._splits:
            self._splits[name] = load_split(
                self.dataset,
                name,
                data_dir=self.data_dir,
                data_shape=self.model.config.data_shape,
                background=self.background,
                registry=self.registry,
            )
        return self._splits[name]

    def class_labels(self, name: Split) -> NDArray[np.int64]:
        """The class numbers (N,) of a split.

        Raises:
            DataError: the dataset has none.
        """
        labels = self.split(name).labels
        if labels is None or labels.ndim != 1:
            raise DataError(f"dataset {self.dataset!r} has no class labels, which the metric needs")
        return labels

    def generator(self) -> torch.Generator:
        """A fresh source of random numbers, on the CPU so that they do not depend on the device."""
        return seeded(self.seed)

    @torch.no_grad()
    def generated(self, count: int) -> Iterator[Tensor]:
        """``count`` samples of the model in parts (B, *data_shape), conditioned on test labels in turn."""
        generator, size = self.generator(), self.model.config.condition_size
        for start in range(0, count, self.batch_size):
            stop = min(start + self.batch_size, count)
            condition = None
            if size:
                rows = np.arange(start, stop) % len(self.split("test"))
                condition = self.split("test").conditions(rows, size, self.model.device, self.model.dtype)
            yield self.model.sample(stop - start, condition, generator=generator)

    def stream(self, name: Split) -> Iterator[tuple[Tensor, Tensor | None]]:
        """The samples of a split in order, (B, *data_shape), and their conditions, on the model's device."""
        for start in range(0, len(self.split(name)), self.batch_size):
            yield self.rows(name, slice(start, start + self.batch_size))

    def rows(self, name: Split, chosen: Rows) -> tuple[Tensor, Tensor | None]:
        """Some samples of a split as the model takes them, and their conditions; see ``DataSplit.rows``."""
        model = self.model
        size = model.config.condition_size
        return self.split(name).rows(chosen, condition_size=size, device=model.device, dtype=model.dtype)

    @torch.no_grad()
    def codes(self, name: Split) -> Tensor:
        """The posterior means of a split, (N, latent_size), float32 on the CPU."""
        if name not in self._codes:
            self._codes[name] = torch.cat(
                [self.model.encode(x, condition).mean.float().cpu() for x, condition in self.stream(name)]
            )
        return self._codes[name]
