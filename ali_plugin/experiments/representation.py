"""What the encoder learns about classes that it never sees (section 4.2), for ALI, BiGAN, a GAN and a VAE."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ali_plugin.evaluation.evaluate import evaluate
from ali_plugin.evaluation.representation import of_encoder
from ali_plugin.experiments import published
from ali_plugin.experiments.figures import picture_grids
from ali_plugin.experiments.images import (
    baseline_rows,
    context_of,
    encoder_variant,
    reconstruction_grid,
    sample_grid,
    with_defaults,
)
from ali_plugin.experiments.record import PICTURE_NAME, Options, Result, Row
from ali_plugin.experiments.training import Length, Trained, settings_of, train, untrained

QUICK, FULL = 200, 20_000  # steps
LABELS, LABEL_SETS = (100, 1000), 100


def representation(options: Options) -> Result:
    """Train the models with the same nets for the same time or steps, measure them, and an untrained one, and what
    needs no model.

    Raises:
        ALIError: the dataset has no classes, or an option does not fit.
    """
    options = with_defaults(options)
    length = Length.of(options, QUICK, FULL)
    sets = options.label_sets or (5 if options.quick else LABEL_SETS)
    counts = options.labels or ((100,) if options.quick else LABELS)
    rows, grids = [], {}
    for name, choices in _models(options).items():
        trained = train(options, name, length, **choices)
        rows.append(_row(name, trained, options, counts, sets))
        context = context_of(trained.model, options)
        grids[name] = [
            ("samples", sample_grid(trained.model, options.seed)),
            ("originals and reconstructions", reconstruction_grid(context)),
        ]
    picture_grids(grids, options.out / PICTURE_NAME)
    new = untrained(options)
    rows.append(_row("no training", Trained(new, 0, 0.0), options, counts, sets, generates=False))
    rows += baseline_rows(context_of(new, options))
    return Result(
        experiment="representation",
        rows=rows,
        published=published.REPRESENTATION,
        settings=settings_of(options, length) | {"label_sets": sets},
        notes=["Errors and accuracies are shares. Published figures of other data show the protocol's scale only."],
    )


def _models(options: Options) -> dict[str, dict[str, Any]]:
    gaussian = encoder_variant(options, "gaussian")
    models: dict[str, dict[str, Any]] = {"ALI": {"objective": "ali", "encoder": gaussian}}
    if bigan := encoder_variant(options, "deterministic"):
        models["BiGAN"] = {"objective": "ali", "encoder": bigan}
    return models | {
        "GAN, inverse mapping": {"objective": "gan-inverse", "encoder": gaussian},
        "VAE": {"objective": "vae", "encoder": gaussian},
    }


def _row(
    name: str, trained: Trained, options: Options, counts: tuple[int, ...], sets: int, generates: bool = True
) -> Row:
    context = replace(context_of(trained.model, options), labels=counts, label_sets=sets)
    figures = of_encoder(context)
    if generates:
        found = evaluate(replace(context, extractor="classifier"), ["reconstruction", "frechet", "interpolation"])
        figures |= {**found["reconstruction"], **found["frechet"], **found["interpolation"]}
    return Row(name, {**figures, **trained.figures})
