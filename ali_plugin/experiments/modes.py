"""Which modes are kept where they can be counted: the game of the nets' own recipe beside the paper's."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from pathlib import Path

from ali_plugin.datasets import stacked
from ali_plugin.errors import OptionError
from ali_plugin.evaluation.evaluate import evaluate
from ali_plugin.experiments import published
from ali_plugin.experiments.figures import picture_grids, plots, save, scatter
from ali_plugin.experiments.images import context_of, games, sample_grid, with_defaults
from ali_plugin.experiments.record import PICTURE_NAME, Options, Published, Result, Row, of_seed
from ali_plugin.experiments.training import Length, settings_of, train
from ali_plugin.model import ALI
from ali_plugin.support.devices import seeded

NETS = "mixture-fourier"
QUICK, FULL, SEEDS = 200, 25_000, 2  # steps, and runs of each game
SHOWN, REACH = 5000, 5.0  # points in a panel, and the range that they show
COUNTED: Mapping[str, tuple[str, tuple[Published, ...]]] = {
    "mixture": ("modes", published.MIXTURE),
    stacked.NAME: ("stacked-modes", published.STACKED),
}
"""The datasets whose modes are known: the metric that counts them, and what others have counted."""


def modes(options: Options) -> Result:
    """Train both games with the same nets for the same length from every seed, and count the modes of their samples.

    Raises:
        OptionError: the modes of the dataset are not known.
        ALIError: an option does not fit.
    """
    options = with_defaults(options, NETS)
    assert options.dataset is not None
    if options.dataset not in COUNTED:
        raise OptionError(
            f"experiment 'modes' counts those of {' and '.join(map(repr, COUNTED))}, not of {options.dataset!r}; name "
            "such a --dataset, or an --arch that is made for it"
        )
    metric, others = COUNTED[options.dataset]
    length = Length.of(options, QUICK, FULL)
    seeds = options.seeds(1 if options.quick else SEEDS)
    rows, notes = list[Row](), list[str]()
    shown: dict[str, ALI] = {}
    for (name, choices), seed in product(games(options).items(), seeds):
        run = of_seed(name, seed)
        trained = train(options, run, length, seed=seed, **choices)
        context = context_of(trained.model, options)
        rows.append(Row(run, {**evaluate(context, [metric])[metric], **trained.figures}))
        notes += [note for note in context.notes if note not in notes]
        shown.setdefault(name, trained.model)
    _draw(shown, options.seed, options.out / PICTURE_NAME)
    return Result(
        experiment="modes",
        rows=rows,
        published=others,
        settings=settings_of(options, length) | {"seeds": seeds},
        notes=["Every model is evaluated with the same seed; the picture shows one of each game.", *notes],
    )


def _draw(models: Mapping[str, ALI], seed: int, path: Path) -> None:
    """Samples of each model: pictures, or points in the plane."""
    if all(len(model.config.data_shape) == 3 for model in models.values()):
        picture_grids({name: [("samples", sample_grid(model, seed))] for name, model in models.items()}, path)
        return
    figure, axes = plots(1, len(models), 4.0)
    for (name, model), axis in zip(models.items(), axes[0], strict=True):
        points = model.sample(SHOWN, generator=seeded(seed)).float().cpu().numpy()
        scatter(axis, points, None, REACH, f"samples, {name}")
    save(figure, path)
