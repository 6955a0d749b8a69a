"""One class ordinary, the others strange, each class in turn: our detector beside PyOD's GANs and beside classics on
the raw samples and on our codes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ali_plugin.config import settings
from ali_plugin.datasets import load_split
from ali_plugin.datasets.split import SPLITS, DataSplit
from ali_plugin.errors import ConfigError, DataError, OptionError
from ali_plugin.experiments import published
from ali_plugin.experiments.anomaly_peers import Judged, classics, gans, judged
from ali_plugin.experiments.figures import dots
from ali_plugin.experiments.record import PICTURE_NAME, RUNS, Options, Result, Row
from ali_plugin.experiments.training import Length
from ali_plugin.pyod.detector import ALIDetector
from ali_plugin.pyod.samples import Form
from ali_plugin.support import atomic
from ali_plugin.support.devices import resolve_device
from ali_plugin.support.extras import need
from ali_plugin.support.progress import track
from ali_plugin.support.strict_json import read_object
from ali_registry import Architecture, Dataset

DATASETS = ("fashion-mnist", "breast-cancer", "digits", "iris", "wine")
QUICK_DATASETS = ("fashion-mini", "wine")
QUICK, FULL = 50, 2000  # steps
OURS = "ALI, combined"

Found = dict[str, dict[str, float]]  # the figures of each method


@dataclass(frozen=True, eq=False)
class Task:
    """Ordinary samples to fit, and test samples of which some are strange.

    Attributes:
        train: (N, *shape), uint8 pictures or float32; test: (M, *shape); strange: (M,), true or false.
    """

    name: str
    seed: int
    train: NDArray[Any]
    test: NDArray[Any]
    strange: NDArray[np.bool_]


def anomaly(options: Options) -> Result:
    """Fit every method to each class of each dataset from each seed.

    Raises:
        ALIError: a dataset has no classes, or none of a name; or an option does not fit.
    """
    need("pyod.models.alad", "the experiment 'anomaly'", "pyod")
    length = Length.of(options, QUICK, FULL)
    names = (options.dataset,) if options.dataset else QUICK_DATASETS if options.quick else DATASETS
    seeds = options.seeds(1)
    planned = {name: list(tasks(name, seeds, options)) for name in names}
    found = {
        name: {task.name: _kept(task, name, length, options) for task in track(own, f"fits to {name}", len(own))}
        for name, own in planned.items()
    }
    dots({name: _aurocs(runs) for name, runs in found.items()}, "AUROC", options.out / PICTURE_NAME)
    return Result(
        experiment="anomaly",
        rows=[_row(f"{name}: {method}", [run[method] for run in runs.values()])
              for name, runs in found.items() for method in next(iter(runs.values()))],
        published=published.ANOMALY,
        settings={"datasets": names, "classes": options.classes, "seeds": seeds, "runs": found,
                  "architecture": options.architecture, **asdict(length)},
        notes=[
            "Means over the classes, each of which is the ordinary one in turn, and over the seeds; the deviation is "
            "of the same. Methods are fitted to training samples of the one class, and judged by all test samples.",
            "Same time: as long as our fit took. AnoGAN has half of it for epochs, at most its default 500, and half "
            "for its search in the latent space, for as many training samples as it gets through.",
        ],
    )  # fmt: skip


def tasks(name: str, seeds: Sequence[int], options: Options) -> Iterator[Task]:
    """Each class of a dataset as the ordinary one, or each that is named."""
    shape = _shape(name, options)
    train, validation, test = (
        load_split(
            name,
            split,
            data_dir=options.data_dir,
            data_shape=shape,
            background=options.background,
            registry=options.registry,
        )
        for split in SPLITS
    )
    labels, test_labels = (_labels(name, split) for split in (train, test))
    both = np.concatenate([labels, _labels(name, validation)])  # nothing is chosen by held-out samples here
    classes = train.classes or tuple(str(number) for number in range(int(labels.max()) + 1))
    for wrong in set(options.classes) - set(classes):
        raise OptionError(settings.offer(f"dataset {name!r} has no class", wrong, classes))
    for number in (classes.index(one) for one in options.classes or classes):
        rows = np.flatnonzero(both == number)
        own = np.concatenate([part[index] for part, index in
                              ((train.data, rows[rows < len(train)]),
                               (validation.data, rows[rows >= len(train)] - len(train)))])  # fmt: skip
        strange = test_labels != number
        if len(own) < 2 or strange.all() or not strange.any():
            raise DataError(f"class {classes[number]!r} of dataset {name!r} has too few samples, or is the only one")
        for seed in seeds:
            yield Task(f"{name}-{classes[number]}-{seed}", seed, own, test.data, strange)


def measure(task: Task, length: Length, options: Options) -> tuple[Found, ALIDetector]:
    """The figures of every method, ours first, and our detector."""
    need("sklearn.metrics", "AUROC", "eval")
    device = resolve_device(options.device)
    seconds = None if length.minutes is None else 60 * length.minutes
    detector = ALIDetector(architecture=options.architecture, steps=length.steps, seconds=seconds, device=str(device),
                           random_state=task.seed % (1 << 32))  # fmt: skip
    ours = judged(OURS, lambda: detector.fit(task.train), lambda: detector.decision_function(task.test))
    found = {OURS: {**_figures(task, ours), "steps": float(detector.n_steps_)}}
    raw, raw_test = (_rows(detector.form_, x) for x in (task.train, task.test))
    seed = task.seed % (1 << 32)
    for other in (
        *classics("raw", raw, raw_test, seed),
        *classics("codes", detector.codes(task.train), detector.codes(task.test), seed),
        *gans(raw, raw_test, ours.fit_seconds, task.seed, device),
    ):
        found[other.name] = _figures(task, other)
    return found, detector


def _kept(task: Task, dataset: str, length: Length, options: Options) -> Found:
    """The figures of a task, those that an experiment has left that is gone on with.

    Raises:
        ConfigError: what is there is of another length or other nets.
    """
    name = task.name.lower().replace(" ", "-").replace("/", "-")
    saved = options.out / RUNS / f"{name}.json"
    asked = {"dataset": dataset, "architecture": options.architecture, "seed": task.seed, **asdict(length)}
    if saved.exists():
        kept = read_object(saved)
        if kept.keys() != {"asked", "found"} or kept["asked"] != asked or not isinstance(kept["found"], dict):
            raise ConfigError(f"{saved} is of another length, seed or architecture; remove it to have it made again")
        return kept["found"]
    found, detector = measure(task, length, options)
    detector.save(options.out / RUNS / name)
    atomic.write(saved, json.dumps({"asked": asked, "found": found}, indent=2) + "\n")
    return found


def _figures(task: Task, judged: Judged) -> dict[str, float]:
    metrics = need("sklearn.metrics", "AUROC", "eval")
    return {
        "auroc": float(metrics.roc_auc_score(task.strange, judged.scores)),
        "average_precision": float(metrics.average_precision_score(task.strange, judged.scores)),
        "fit_seconds": round(judged.fit_seconds, 2),
        "score_seconds": round(judged.score_seconds, 2),
    }


def _row(name: str, runs: Sequence[Mapping[str, float]]) -> Row:
    """Means over the runs, with the deviation and the ends of AUROC."""
    figures = {key: float(np.mean([run[key] for run in runs])) for key in runs[0]}
    auroc = np.array([run["auroc"] for run in runs])
    return Row(name, {"auroc": figures.pop("auroc"), "auroc_deviation": float(auroc.std()),
                      "auroc_least": float(auroc.min()), "auroc_most": float(auroc.max()), **figures,
                      "runs": float(len(runs))})  # fmt: skip


def _aurocs(runs: Mapping[str, Found]) -> dict[str, list[float]]:
    return {method: [run[method]["auroc"] for run in runs.values()] for method in next(iter(runs.values()))}


def _rows(form: Form, x: NDArray[Any]) -> NDArray[np.float32]:
    """Samples as rows (N, D) of float32: pictures in [0, 1], features standardised by the ordinary ones."""
    data = form.samples(x).data
    scaled = data.astype(np.float32) / 255 if data.dtype == np.uint8 else data
    return np.ascontiguousarray(scaled.reshape(len(data), -1), np.float32)


def _labels(name: str, split: DataSplit) -> NDArray[np.int64]:
    if split.labels is None or split.labels.ndim != 1:
        raise DataError(f"dataset {name!r} has no class labels, by which the experiment tells strange from ordinary")
    return split.labels


def _shape(name: str, options: Options) -> tuple[int, ...]:
    """Of the dataset's samples: its own, else the architecture's."""
    of_data = options.registry.get(Dataset, name).data_shape
    of_nets = options.registry.get(Architecture, options.architecture).data_shape if options.architecture else ()
    shape = of_data or tuple(size for size in of_nets if size is not None)
    if not shape or (not of_data and len(shape) < len(of_nets)):
        raise OptionError(f"dataset {name!r} has no size of its own; name an --arch that has one")
    return shape
