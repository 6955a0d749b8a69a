"""What the encoder learns about classes that it never sees (section 4.2), for ALI, BiGAN, a GAN, a VAE and the game of
the nets' own recipe."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

from ali_plugin.evaluation.evaluate import evaluate
from ali_plugin.evaluation.representation import of_encoder
from ali_plugin.experiments import published
from ali_plugin.experiments.figures import picture_grids
from ali_plugin.experiments.images import (
    baseline_rows,
    context_of,
    encoder_variant,
    games,
    reconstruction_grid,
    sample_grid,
    with_defaults,
)
from ali_plugin.experiments.record import PICTURE_NAME, Options, Result, Row, of_seed
from ali_plugin.experiments.training import Length, Trained, settings_of, train, untrained

QUICK, FULL, SEEDS = 200, 20_000, 2  # steps, and runs of each model
LABELS, LABEL_SETS = (100, 1000), 100


def representation(options: Options) -> Result:
    """Train the models with the same nets for the same time or steps from every seed, measure them, and an untrained
    one, and what needs no model.

    Raises:
        ALIError: the dataset has no classes, or an option does not fit.
    """
    options = with_defaults(options)
    length = Length.of(options, QUICK, FULL)
    sets = options.label_sets or (5 if options.quick else LABEL_SETS)
    counts = options.labels or ((100,) if options.quick else LABELS)
    seeds = options.seeds(1 if options.quick else SEEDS)
    rows, grids = [], {}
    for (name, choices), seed in product(_models(options).items(), seeds):
        run = of_seed(name, seed)
        trained = train(options, run, length, seed=seed, **choices)
        rows.append(_row(run, trained, options, counts, sets))
        if name not in grids:
            grids[name] = [
                ("samples", sample_grid(trained.model, options.seed)),
                ("originals and reconstructions", reconstruction_grid(context_of(trained.model, options))),
            ]
    picture_grids(grids, options.out / PICTURE_NAME)
    new = untrained(options)
    rows.append(_row("no training", Trained(new, 0, 0.0), options, counts, sets, generates=False))
    rows += baseline_rows(context_of(new, options))
    return Result(
        experiment="representation",
        rows=rows,
        published=published.REPRESENTATION,
        settings=settings_of(options, length) | {"label_sets": sets, "seeds": seeds},
        notes=[
            "Errors and accuracies are shares; every model is evaluated with the same seed. Published figures of other "
            "data show the protocol's scale only."
        ],
    )


def _models(options: Options) -> dict[str, dict[str, Any]]:
    """Nets whose recipe is another game's play that first, and games without penalties at the paper's rates."""
    models = games(options)
    paper = models["ALI"]
    if bigan := encoder_variant(options, "deterministic"):
        models["BiGAN"] = {**paper, "encoder": bigan}
    models["GAN, inverse mapping"] = {**paper, "objective": "gan-inverse"}
    models["VAE"] = {"objective": "vae", "encoder": paper["encoder"]}
    return models


def _row(
    name: str, trained: Trained, options: Options, counts: tuple[int, ...], sets: int, generates: bool = True
) -> Row:
    context = replace(context_of(trained.model, options), labels=counts, label_sets=sets)
    figures = of_encoder(context)
    if generates:
        found = evaluate(
            replace(context, extractor="classifier"), ["reconstruction", "frechet", "kid", "interpolation"]
        )
        figures |= {**found["reconstruction"], **found["frechet"], **found["interpolation"]}
        figures |= {f"kid_{name}": value for name, value in found["kid"].items()}
    return Row(name, {**figures, **trained.figures})
