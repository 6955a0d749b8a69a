"""Classification with few labels (section 4.3): the semi-supervised game beside the same net on the labels alone."""

from __future__ import annotations

from collections.abc import Mapping

from ali_plugin.experiments import published
from ali_plugin.experiments.figures import plots, save
from ali_plugin.experiments.images import context_of, with_defaults
from ali_plugin.experiments.record import PICTURE_NAME, Options, Result, Row
from ali_plugin.experiments.training import Length, settings_of, train
from ali_plugin.training.callbacks.held_out import classification_error

QUICK, FULL = 200, 20_000  # steps
LABELS = (100, 1000)
OBJECTIVES = {"semi-supervised": "semi-supervised ALI", "supervised": "labels alone"}


def semi_supervised(options: Options) -> Result:
    """Train both for each number of labels, the same length, and measure the test error.

    Raises:
        ALIError: the dataset has no classes, or an option does not fit.
    """
    options = with_defaults(options)
    length = Length.of(options, QUICK, FULL)
    counts = options.labels or LABELS
    rows = []
    errors: dict[str, list[float]] = {name: [] for name in OBJECTIVES.values()}
    for count in counts:
        for objective, name in OBJECTIVES.items():
            trained = train(options, f"{objective}-{count}", length, objective=objective, labels=count)
            error = classification_error(trained.model, context_of(trained.model, options).split("test"))
            errors[name].append(error)
            rows.append(Row(f"{name}, {count:,} labels", {"test_error": error, **trained.figures}))
    _draw(counts, errors, options)
    return Result(
        experiment="semi-supervised",
        rows=rows,
        published=published.SEMI_SUPERVISED,
        settings=settings_of(options, length) | {"labels": list(counts)},
        notes=["One run and one label set each. Published figures of other data or nets show the scale only."],
    )


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
