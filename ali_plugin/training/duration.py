"""How long a run will take: some of its steps on its device and with its data, made and forgotten."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ali_plugin.datasets.split import UNREAD, DataSplit
from ali_plugin.datasets.streams.split import StreamSplit
from ali_plugin.errors import DataError
from ali_plugin.pictures.background import WHITE
from ali_plugin.pictures.decode import read_image
from ali_plugin.support.devices import keep_freed_memory, precision
from ali_plugin.training.assemble import Assembled, build_game, build_model, initialise_output, working
from ali_plugin.training.batches import Batches, share
from ali_plugin.training.graph import phase_of
from ali_plugin.training.random_streams import OwnStream
from ali_plugin.training.step import TrainingStep
from ali_registry import blaming

SECONDS = 6.0  # after which a kind of step is not measured again
REPEATS = 5  # of each kind of step, at most, the first of which is not counted
DRAWN = 256  # steps of the run, by which the kinds of steps are counted
ROWS = 2_048  # samples that stand for files that are not decoded yet


def seconds_per_step(run: Assembled, processes: int = 1) -> float:
    """The mean over a planned run's steps, each kind of step as often as it comes. Nets are not compiled for it.

    Args:
        processes: that share a batch; what one of them does is measured.

    Raises:
        ALIError: a step cannot be made, such as for want of memory.
    """
    config = replace(run.config, batch_size=share(run.config.batch_size, processes), compile=False)
    if run.device.type == "cpu":
        keep_freed_memory()
    with working(OwnStream(config.seed, run.device)), precision(config.precision), blaming(run.objective):
        data = _at_hand(run)
        with run.device:
            model = build_model(config, run.train, run.registry)
        initialise_output(model, data)
        step = TrainingStep(build_game(config, model, run.objective, run.registry), config, run.registry)
        labelled = config.labels if data is run.train or config.labels is None else data.label_size
        batches = Batches(
            data, config.batch_size, config.seed, run.device, condition_size=model.config.condition_size,
            labelled=labelled, flip=config.flip,
        )  # fmt: skip
        return _measured(step, batches, run.total_steps)


def spoken(seconds: float) -> str:
    """A time for people: 42 s, 12 min, 3.5 h, 2.1 days."""
    for unit, length in (("days", 86_400), ("h", 3_600)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{max(seconds, 1):.0f} s"


def _at_hand(run: Assembled) -> DataSplit:
    """The training split; of files that a dry run leaves alone, as many as fill a batch, over and over."""
    split = run.train
    if isinstance(split, StreamSplit):
        return _noise(split, max(ROWS, run.config.batch_size))
    if split.digest != UNREAD:
        return split
    rows = min(len(split), max(ROWS, run.config.batch_size))
    some: NDArray[np.uint8] | NDArray[np.float32] = split.data[:rows].copy()
    if split.names and (found := list(_read(split, run))):
        some = np.stack(found)[np.arange(rows) % len(found)]
    return DataSplit(some, None if split.labels is None else split.labels[:rows], split.classes)


def _noise(split: StreamSplit, rows: int) -> DataSplit:
    """Samples that stand for those of a stream, of which a dry run reads none."""
    data = np.random.default_rng(0).integers(0, 256, (rows, *split.shape), np.uint8)
    labels = np.arange(rows, dtype=np.int64) % split.class_count if split.class_count else None
    return DataSplit(data, labels, split.classes)


def _read(split: DataSplit, run: Assembled) -> Iterator[NDArray[np.uint8]]:
    """Those of the first files that can be read, a batch of them."""
    if run.config.data_dir is None:
        return
    for name in split.names[: run.config.batch_size]:
        try:
            yield read_image(Path(run.config.data_dir) / name, split.shape, run.config.background or WHITE)
        except DataError:
            continue  # the run itself will count it


def _measured(step: TrainingStep, batches: Batches, total_steps: int) -> float:
    drawn = np.random.default_rng(0).integers(0, total_steps, DRAWN).tolist()
    kinds = [_kind(step, number, total_steps) for number in drawn]
    numbers = dict(zip(kinds, drawn, strict=True))
    taken: dict[Hashable, list[float]] = {kind: [] for kind in numbers}
    begun = time.perf_counter()
    for _ in range(REPEATS):
        for kind, number in numbers.items():
            if taken[kind] and time.perf_counter() - begun > SECONDS:
                continue
            step.schedule(number, total_steps)
            start = time.perf_counter()
            step(batches.next())
            if batches.device.type != "cpu":
                torch.accelerator.synchronize(batches.device)
            taken[kind].append(time.perf_counter() - start)
    counts = Counter(kinds)
    return sum(counts[kind] * statistics.median(times[1:] or times) for kind, times in taken.items()) / len(kinds)


def _kind(step: TrainingStep, number: int, total_steps: int) -> Hashable:
    """What a step's work depends on: which terms it has, and which nets learn; not how much a term weighs."""
    step.schedule(number, total_steps)
    modes, trained, _ = phase_of(step.game)
    return modes, trained, tuple(_terms(vars(step.game)))


def _terms(values: Mapping[str, object]) -> Iterator[bool]:
    for value in values.values():
        if isinstance(value, int | float):
            yield bool(value)
        elif isinstance(value, dict):
            yield from _terms(value)
