"""Classification with few labels (section 4.3): games that use them beside the same net on the labels alone."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

from ali_plugin.experiments import published
from ali_plugin.experiments.figures import plots, save
from ali_plugin.experiments.images import context_of, own_objective, with_defaults
from ali_plugin.experiments.record import PICTURE_NAME, Options, Result, Row, of_seed
from ali_plugin.experiments.training import Length, settings_of, train
from ali_plugin.training.callbacks.held_out import classification_error

QUICK, FULL, SEEDS = 200, 20_000, 2  # steps, and runs of each
LABELS = (100, 1000)


def semi_supervised(options: Options) -> Result:
    """Train each from every seed for each number of labels, the same length, and measure the test error.

    Raises:
        ALIError: the dataset has no classes, or an option does not fit.
    """
    options = with_defaults(options)
    length = Length.of(options, QUICK, FULL)
    counts = options.labels or LABELS
    seeds = options.seeds(1 if options.quick else SEEDS)
    objectives = _objectives(options)
    rows = []
    errors: dict[str, list[float]] = {name: [] for name in objectives}  # means over the seeds
    for count, (name, objective) in product(counts, objectives.items()):
        found = []
        for seed in seeds:
            run = of_seed(f"{objective}-{count}", seed)
            trained = train(options, run, length, objective=objective, labels=count, seed=seed)
            found.append(classification_error(trained.model, context_of(trained.model, options).split("test")))
            row = of_seed(f"{name}, {count:,} labels", seed)
            rows.append(Row(row, {"test_error": found[-1], **trained.figures}))
        errors[name].append(sum(found) / len(found))
    _draw(counts, errors, options)
    return Result(
        experiment="semi-supervised",
        rows=rows,
        published=published.SEMI_SUPERVISED,
        settings=settings_of(options, length) | {"labels": list(counts), "seeds": seeds},
        notes=["A seed draws the labelled samples, too. Published figures of other data or nets show the scale only."],
    )


def _objectives(options: Options) -> dict[str, str]:
    """By their names in the table: the game of the nets' own recipe where it takes labels, the paper's, and none."""
    own = own_objective(options)
    first = {f"{own.name} with labels": own.name} if own is not None and own.takes_labels else {}
    return {**first, "semi-supervised ALI": "semi-supervised", "labels alone": "supervised"}


def _draw(counts: tuple[int, ...], errors: Mapping[str, list[float]], options: Options) -> None:
    figure, axes = plots(1, 1, 4.0)
    axis = axes[0, 0]
    for name, values in errors.items():
        axis.plot(range(len(counts)), values, "o-", label=name)
    axis.set_xticks(range(len(counts)), [f"{count:,}" for count in counts])
    axis.yaxis.set_major_locator(_automatic())
    axis.set_ylim(bottom=0)
    axis.set_xlabel("labels")
    axis.set_ylabel("test error")
    axis.legend()
    save(figure, options.out / PICTURE_NAME)


def _automatic() -> object:
    from matplotlib.ticker import AutoLocator

    return AutoLocator()
