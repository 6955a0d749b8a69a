"""What an experiment is asked and what it leaves: one JSON file that says how its figures came about."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ali_plugin.errors import FolderError, OptionError
from ali_plugin.support import atomic, locks, machine
from ali_plugin.support.devices import resolve_device, seeded
from ali_plugin.support.limits import MAX_SEED, MAX_STEPS
from ali_plugin.support.strict_json import read_object
from ali_registry import Registry, default_registry
from ali_registry.text import printable

RESULTS_NAME, PICTURE_NAME, RUNS, BEGUN_NAME = "results.json", "figure.png", "runs", "experiment.json"
PACKAGES = ("torchvision", "numpy", "scikit-learn", "torch-fidelity", "pyod")


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to run an experiment.

    Attributes:
        out: folder for results.json, figure.png and the runs.
        command: the words that started it, for the record.
        quick: a length that shows that it works, not what it can do.
        steps, minutes: length of each training, one of them, in place of the experiment's own.
        background: under what is transparent, of a dataset that takes one.
        runs: hyperparameter draws of the mixture's study; elsewhere how many seeds each model is trained from.
        classes: that are ordinary, each in turn, in the study of anomalies; () for all.
        labels, label_sets: numbers of labelled samples, and random sets of each for the L2-SVM.
        resume: go on with an experiment that was stopped, from what it has trained into ``out``.
        allow_changed_data: go on although the data have changed since.
    """

    out: Path
    command: str = ""
    seed: int = 0
    quick: bool = False
    resume: bool = False
    allow_changed_data: bool = False
    steps: int | None = None
    minutes: float | None = None
    architecture: str | None = None
    dataset: str | None = None
    data_dir: Path | None = None
    background: str | None = None
    device: str = "auto"
    runs: int | None = None
    classes: tuple[str, ...] = ()
    labels: tuple[int, ...] = ()
    label_sets: int | None = None
    registry: Registry = field(default_factory=default_registry)

    def __post_init__(self) -> None:
        if self.steps is not None and self.minutes is not None:
            raise OptionError("the length of a training is either --steps or --minutes, not both")
        for name in ("steps", "minutes", "runs", "label_sets"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise OptionError(f"--{name.replace('_', '-')} is {value}, it has to be positive")
            if value is not None and value > MAX_STEPS:
                raise OptionError(f"--{name.replace('_', '-')} is {value}, it has to be at most {MAX_STEPS}")
        seeded(self.seed)

    def seeds(self, count: int) -> list[int]:
        """Of ``runs`` trainings, or of ``count`` where the options leave it open: the seed and those after it."""
        return [(self.seed + i) % (MAX_SEED + 1) for i in range(self.runs or count)]


@dataclass(frozen=True)
class Row:
    """One line of the table: what it is of, and its figures; a figure that was not measured is left out."""

    name: str
    figures: Mapping[str, float]


@dataclass(frozen=True)
class Published:
    """A published figure to hold ours against."""

    what: str
    figure: str
    source: str


@dataclass(frozen=True, kw_only=True)
class Result:
    """Figures beside published ones; see docs/evaluation.md for the file's form."""

    experiment: str
    rows: Sequence[Row]
    published: Sequence[Published]
    settings: Mapping[str, Any]
    notes: Sequence[str] = ()


def of_seed(name: str, seed: int) -> str:
    """What a model's training from a seed is called, in tables and as a folder."""
    return f"{name}, seed {seed}"


@contextmanager
def begun(experiment: str, options: Options) -> Iterator[None]:
    """Mark the folder as this experiment's, and hold it; elsewhere other people's runs could be taken for its own.

    Raises:
        FolderError: the folder is in use, by another process too, or ``resume`` is asked for in one of something else.
    """
    _refuse_used(experiment, options)
    with locks.holding(options.out / locks.NAME, f"the experiment in {str(options.out)!r}"):
        _refuse_used(experiment, options)
        atomic.write(options.out / BEGUN_NAME, json.dumps({"experiment": experiment}) + "\n")
        yield


def _refuse_used(experiment: str, options: Options) -> None:
    out, mark = options.out, options.out / BEGUN_NAME
    if not options.resume:
        atomic.refuse_used(out, "go on with it by --resume, or name another --out", _is_ours)
    elif atomic.occupant(out, _is_ours) and (not mark.exists() or read_object(mark) != {"experiment": experiment}):
        raise FolderError(f"{str(out)!r} is no folder of the experiment {experiment!r}; name its --out")


def _is_ours(path: Path) -> bool:
    """What does not make a folder one in use: the mark alone is of an experiment that was refused."""
    return path.name in (BEGUN_NAME, *locks.FILES) or atomic.is_partial(path.name)


def write(result: Result, options: Options, started: float) -> dict[str, Any]:
    """Write results.json, with what produced it, and return its content.

    Args:
        started: ``time.perf_counter()`` before the experiment.
    """
    content = {
        "experiment": result.experiment,
        "command": printable(options.command, 10_000),
        "seed": options.seed,
        "seconds": round(time.perf_counter() - started, 1),
        "versions": machine.versions(*PACKAGES),
        "hardware": machine.hardware(resolve_device(options.device)),
        "settings": dict(result.settings),
        "rows": [{"name": row.name, "figures": dict(row.figures)} for row in result.rows],
        "published": [asdict(published) for published in result.published],
        "notes": list(result.notes),
    }
    atomic.write(options.out / RESULTS_NAME, json.dumps(content, indent=2) + "\n")
    return content
