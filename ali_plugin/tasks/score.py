"""How strange samples are to a model, and which are the strangest."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ali_plugin.datasets.split import Split
from ali_plugin.errors import OptionError
from ali_plugin.evaluation.samples import Samples
from ali_plugin.model import ALI
from ali_plugin.pictures.scored import Group, save_groups
from ali_plugin.scoring import Scoring
from ali_plugin.support import atomic
from ali_plugin.tasks.inputs import Inputs, Source, dataset_of
from ali_plugin.tasks.output import PICTURE, TENSORS, write_tensors
from ali_registry.text import printable

SHOWN = 16  # of the strangest, and of the most ordinary


@dataclass(frozen=True)
class Ordinary:
    """The data that a model was trained on, which its scores are compared with; found when they are asked for.

    Attributes:
        source: what the model was loaded from.
        dataset, data_dir: what a person said of data. Beside named pictures (``of_training``) that is where the
            training data are; else it is what is scored, which need not be what the model was trained on.
    """

    model: ALI
    source: str
    dataset: str | None = None
    data_dir: Path | None = None
    of_training: bool = True

    def __call__(self, split: Split) -> Samples:
        """A split of them.

        Raises:
            OptionError: nothing says what the model was trained on, or where that is.
            DataError: it is not there.
        """
        return Samples(self.model, self._place().split(split, self.model.config.data_shape))

    def _place(self) -> Source:
        if self.of_training or self.dataset is None:
            return dataset_of(self.model, self.source, self.dataset, self.data_dir)
        own = dataset_of(self.model, self.source)
        beside = self.data_dir if own.name == self.dataset else None
        return replace(own, data_dir=own.data_dir or beside)


@dataclass(frozen=True)
class Scored:
    """Samples with their scores.

    Attributes:
        scores: (N,), higher is stranger.
        limit: the score beyond which a sample counts as strange, None where nobody asked.
    """

    model: ALI
    scoring: Scoring
    inputs: Inputs
    scores: Tensor
    limit: float | None

    @property
    def strange(self) -> Tensor | None:
        """Which are beyond the limit, (N,)."""
        return None if self.limit is None else self.scores > self.limit


def score(
    model: ALI,
    inputs: Inputs,
    ordinary: Ordinary,
    scorer: str,
    options: Mapping[str, Any],
    threshold: float | None = None,
) -> Scored:
    """Score samples.

    Args:
        ordinary: gone through where the scorer, or the threshold, compares with it.
        threshold: the share of ordinary data, held out from the training, that is to stay below the limit.

    Raises:
        OptionError: the threshold is no share.
        ALIError: see ``Scoring``.
    """
    if threshold is not None and not 0 <= threshold <= 1:
        raise OptionError(f"--threshold is {threshold:g}, it has to be a share from 0 to 1, such as 0.95")
    scoring = Scoring(model, scorer, options, model.registry)
    if not scoring.fitted:
        scoring.fit(ordinary("train"))
    limit = None
    if threshold is not None:
        limit = torch.quantile(ordinary("validation").scores(scoring), threshold).item()
    return Scored(model, scoring, inputs, scoring(*_placed(model, inputs)).cpu(), limit)


def _placed(model: ALI, inputs: Inputs, rows: Tensor | slice = slice(None)) -> tuple[Tensor, Tensor | None]:
    """Samples and conditions as the model takes them."""
    condition = None if inputs.condition is None else inputs.condition[rows].to(model.device, model.dtype)
    return inputs.x[rows].to(model.device, model.dtype), condition


def write(scored: Scored, out: Path) -> None:
    """A table, tensors or a picture, by the ending of the name."""
    ending = out.suffix.lower()
    if ending == PICTURE:
        save_groups(_groups(scored), out)
    elif ending == TENSORS:
        write_tensors(_tensors(scored), out, scored.inputs.names)
    else:
        atomic.write(out, _table(scored))


def _table(scored: Scored) -> str:
    """CSV: name (or number) of each sample, its score, its class, and whether it is strange, where that is known."""
    inputs, strange = scored.inputs, scored.strange
    columns: dict[str, list[Any]] = {
        "name": [printable(name) for name in inputs.names] or list(range(len(scored.scores))),
        "score": [f"{value:.9g}" for value in scored.scores.tolist()],
    }
    if inputs.labels is not None and inputs.labels.ndim == 1:
        columns["label"] = inputs.labels.tolist()
    if strange is not None:
        columns["strange"] = strange.int().tolist()
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue()


def _tensors(scored: Scored) -> dict[str, Tensor]:
    tensors = {"scores": scored.scores}
    if scored.inputs.labels is not None:
        tensors["labels"] = scored.inputs.labels
    if (strange := scored.strange) is not None:
        tensors["strange"] = strange
    return tensors


def _groups(scored: Scored) -> list[Group]:
    """The strangest and the most ordinary, with maps of where if the scorer makes them, all in one scale."""
    order = scored.scores.argsort(descending=True)
    half = min(SHOWN, -(-len(order) // 2))
    rows = {"strangest": order[:half], "most ordinary": order[half:].flip(0)[:half]}
    x, maps = scored.inputs.x, dict[str, Tensor]()
    if scored.scoring.is_located:
        for title, chosen in rows.items():
            maps[title] = scored.scoring.where(*_placed(scored.model, scored.inputs, chosen)).cpu()
        most = max((found.max().item() for found in maps.values() if found.numel()), default=0.0)
        maps = {title: found / (most or 1.0) for title, found in maps.items()}
    return [
        Group(title, x[chosen], [f"{value:.4g}" for value in scored.scores[chosen].tolist()], maps.get(title))
        for title, chosen in rows.items()
    ]
