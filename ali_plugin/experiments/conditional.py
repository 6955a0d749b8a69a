"""Conditional generation (section 4.4): z fixed along a row, the condition along a column."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray

from ali_plugin.config import conditions
from ali_plugin.errors import DataError
from ali_plugin.evaluation.classifier import load_classifier
from ali_plugin.evaluation.context import Context
from ali_plugin.evaluation.evaluate import evaluate
from ali_plugin.experiments import published
from ali_plugin.experiments.figures import picture_grids
from ali_plugin.experiments.images import SIDE, context_of, games, grid, with_defaults
from ali_plugin.experiments.record import PICTURE_NAME, Options, Result, Row, of_seed
from ali_plugin.experiments.training import Length, settings_of, train
from ali_plugin.model import ALI
from ali_plugin.support.devices import seeded

Grids = list[tuple[str, NDArray[np.float32]]]
QUICK, FULL, SEEDS = 200, 20_000, 2  # steps, and runs of each game
MOST_COLUMNS = 10  # conditions in the picture
ASKED = 2000  # samples that the classifier judges


def conditional(options: Options) -> Result:
    """Train conditional models of the nets' own game and the paper's from every seed, show them, and count how often a
    classifier sees what was asked for.

    Raises:
        ALIError: the dataset has no labels, or an option does not fit.
    """
    options = with_defaults(options)
    length = Length.of(options, QUICK, FULL)
    seeds = options.seeds(1 if options.quick else SEEDS)
    rows, grids = list[Row](), dict[str, Grids]()
    for (name, choices), seed in product(games(options).items(), seeds):
        run = of_seed(f"conditional {name}", seed)
        trained = train(options, run, length, condition=True, seed=seed, **choices)
        rows.append(Row(run, {**_figures(context_of(trained.model, options)), **trained.figures}))
        if name not in grids:
            grids[name] = _rows_of_z(trained.model, options.seed)
    picture_grids(grids, options.out / PICTURE_NAME)
    return Result(
        experiment="conditional",
        rows=rows,
        published=published.CONDITIONAL,
        settings=settings_of(options, length) | {"seeds": seeds},
        notes=[
            "obeyed: share of samples (of elements, where conditions are attributes) in which a classifier trained on "
            "the data sees the condition; classifier_accuracy is that share for real test pictures."
        ],
    )


def _figures(context: Context) -> dict[str, float]:
    context = replace(context, extractor="classifier")
    found = evaluate(context, ["reconstruction", "frechet"])
    obeyed, floor = _obeyed(context)
    return {"obeyed": obeyed, "classifier_accuracy": floor, **found["reconstruction"], **found["frechet"]}


def _rows_of_z(model: ALI, seed: int) -> Grids:
    """Samples, the same z along a row, under each of the first conditions."""
    columns = conditions.alone(torch.arange(min(model.config.condition_size, MOST_COLUMNS)), model.config)
    pictures = grid(model.vary_condition(model.prior(SIDE, seeded(seed)), columns), len(columns))
    return [(f"z fixed along a row: {', '.join(model.config.condition_names[: len(columns)])}", pictures)]


@torch.no_grad()
def _obeyed(context: Context) -> tuple[float, float]:
    """How often the classifier sees the condition in samples, and the label in test pictures."""
    model, split = context.model, context.split("test")
    if split.labels is None:
        raise DataError(f"dataset {context.dataset!r} has no labels to condition on")
    net, _ = load_classifier(context.split("train"))
    asked = torch.from_numpy(split.labels[:ASKED])
    condition = split.conditions(slice(ASKED), model.config.condition_size, model.device, model.dtype)
    z = model.prior(len(asked), context.generator())
    seen, right = 0.0, 0.0
    for start in range(0, len(asked), context.batch_size):
        rows = slice(start, start + context.batch_size)
        made = model.decode(z[rows], condition[rows]).cpu().float()
        seen += _agreement(net(made), asked[rows])
    start = 0
    for x, _ in context.stream("test"):
        right += _agreement(net(x.cpu().float()), torch.from_numpy(split.labels[start : start + len(x)]))
        start += len(x)
    return seen / len(asked), right / len(split)


def _agreement(logits: torch.Tensor, labels: torch.Tensor) -> float:
    """Samples whose class is the label, or the mean share of agreeing attributes times the samples."""
    if labels.ndim == 1:
        return float((logits.argmax(1) == labels).sum())
    return float(((logits > 0).long() == labels).float().mean(1).sum())
