"""How well a score tells strange samples from ordinary ones that the model has not seen either."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ali_plugin.datasets import load_split
from ali_plugin.datasets.split import SPLITS, DataSplit, joined
from ali_plugin.errors import DataError, OptionError
from ali_plugin.evaluation.context import Context
from ali_plugin.evaluation.samples import Samples
from ali_plugin.scoring import Scoring
from ali_plugin.support.extras import need
from ali_registry.text import printable

Rows = NDArray[np.int64]
LONGEST = 60  # characters of what was strange, in a figure's name


def anomaly(context: Context) -> dict[str, float]:
    """``auroc``, how often a strange sample has a higher score than an ordinary one, and ``average_precision``, of the
    strange ones among the highest; with the scorer and what was strange in their names.

    Ordinary are the test samples of the classes that are not strange, or of those that are named as normal. A scorer
    that compares with training data is shown those of the ordinary classes only.

    Raises:
        OptionError: nothing says what is strange, or there is no such class or folder.
        DataError: nothing is left that is ordinary, or strange; or the dataset has no classes to name.
        MissingExtra: scikit-learn is not installed.
    """
    figures = need("sklearn.metrics", "metric 'anomaly'", "eval")
    sides = Sides.of(context)
    scoring = Scoring(context.model, context.scorer, context.scorer_options, context.registry)
    if not scoring.fitted:
        train = context.split("train")
        scoring.fit(Samples(context.model, train, sides.rows(train, strange=False), context.batch_size))

    def scores(split: DataSplit, rows: Rows | None = None) -> Tensor:
        return Samples(context.model, split, rows, context.batch_size).scores(scoring)

    test = context.split("test")
    ordinary = scores(test, sides.rows(test, strange=False))
    strange = torch.cat([scores(test, sides.rows(test, strange=True)),
                         *(scores(_pictures(context, folder)) for folder in sides.folders)])  # fmt: skip
    if not len(ordinary) or not len(strange):
        missing, given = ("strange", "ordinary") if len(ordinary) else ("ordinary", "strange")
        raise DataError(f"all test samples are {given}; name classes so that some are {missing}")
    truth = np.repeat([0, 1], [len(ordinary), len(strange)])
    both = torch.cat([ordinary, strange]).numpy()
    what = f"({context.scorer}; {printable(sides.name, LONGEST)})"
    return {
        f"auroc {what}": float(figures.roc_auc_score(truth, both)),
        f"average_precision {what}": float(figures.average_precision_score(truth, both)),
    }


@dataclass(frozen=True)
class Sides:
    """What is strange: classes by their numbers, and folders of pictures.

    Attributes:
        name: of what is strange, for people.
    """

    name: str
    classes: tuple[int, ...] = ()
    folders: tuple[Path, ...] = ()

    @classmethod
    def of(cls, context: Context) -> Sides:
        """As the context names them; raises OptionError where it names none, or what does not exist."""
        if bool(context.strange) == bool(context.normal):
            raise OptionError("metric 'anomaly' has to know what is strange: say --strange CLASS, --strange FOLDER, or "
                              "--normal CLASS, where all other classes are strange")  # fmt: skip
        if context.normal:
            ordinary = {_number(context, name) for name in context.normal}
            others = set(context.class_labels("test").tolist()) - ordinary
            return cls(f"not {', '.join(context.normal)}", tuple(sorted(others)))
        folders = tuple(Path(name) for name in context.strange if _is_folder(context, name))
        classes = {_number(context, name) for name in context.strange if not _is_folder(context, name)}
        return cls(", ".join(context.strange), tuple(sorted(classes)), folders)

    def rows(self, split: DataSplit, *, strange: bool) -> Rows:
        """Which samples of a split are strange, or are not."""
        if split.labels is None or split.labels.ndim != 1:
            return np.arange(0 if strange else len(split))
        return np.flatnonzero(np.isin(split.labels, self.classes) == strange)


def _is_folder(context: Context, name: str) -> bool:
    return name not in context.split("test").classes and Path(name).is_dir()


def _number(context: Context, name: str) -> int:
    labels, classes = context.class_labels("test"), context.split("test").classes
    if name in classes:
        return classes.index(name)
    if not classes and name.isdecimal() and int(name) in set(labels.tolist()):
        return int(name)
    known = list(classes) or [str(number) for number in sorted(set(labels.tolist()))]
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    offer = f"did you mean {close[0]!r}?" if close else f"classes are {', '.join(known)}"
    raise OptionError(f"dataset {context.dataset!r} has no class {name!r}, nor is there such a folder; {offer}")


def _pictures(context: Context, folder: Path) -> DataSplit:
    """All pictures of a folder."""
    found = joined([
        load_split(
            "image-folder",
            split,
            data_dir=folder,
            data_shape=context.model.config.data_shape,
            background=context.background,
            registry=context.registry,
        )
        for split in SPLITS
    ])  # fmt: skip
    context.notes += (f"{folder}: {note}" for note in found.notes)
    return found
