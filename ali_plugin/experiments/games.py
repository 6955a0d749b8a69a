"""Which game makes of the same nets in the same time the better model: loss, penalties, cycles and packing, each with
several seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ali_plugin.config import settings
from ali_plugin.errors import TrainingDiverged
from ali_plugin.evaluation.classes import accuracies
from ali_plugin.evaluation.context import Context
from ali_plugin.evaluation.evaluate import evaluate
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
from ali_plugin.experiments.record import PICTURE_NAME, Options, Result, Row, of_seed
from ali_plugin.experiments.training import Length, check, settings_of, train, untrained
from ali_registry import Objective

Grids = list[tuple[str, NDArray[np.float32]]]
NETS = "fashion"  # of every game
QUICK, FULL, SEEDS = 200, 20_000, 2  # steps, and runs of each game
LINES = 4  # of each grid of pictures: there are many games
R1_R2 = {"gamma": "cosine:1->0.1", "penalty_every": 4}
CYCLE_X = {"cycle_x": 10.0, "cycle_norm": "l2", "cycle_through": "mean"}
CYCLE_Z = {"cycle_z": 0.5, "cycle_through": "mean"}
CYCLES = {**CYCLE_X, **CYCLE_Z}


@dataclass(frozen=True)
class Variant:
    """A game: options that are not named have the objective's own defaults, whatever the recipe of the nets says."""

    name: str
    objective: str
    options: Mapping[str, Any] = field(default_factory=dict)


VARIANTS = (
    Variant("VAE", "vae"),
    Variant("paper", "ali"),
    Variant("paper, R1, R2", "alice", {"cycle_x": 0.0, **R1_R2}),
    Variant("paper, cycle x", "alice", CYCLE_X),
    Variant("hinge", "hinge"),
    Variant("hinge, R1, R2", "hinge", R1_R2),
    Variant("relativistic", "relativistic", {"gamma": 0.0}),
    Variant("relativistic, R1", "relativistic", {**R1_R2, "penalty": "r1"}),
    Variant("relativistic, R1, R2", "relativistic", R1_R2),
    Variant("relativistic, R1, R2, cycle x", "relativistic", {**R1_R2, **CYCLE_X}),
    Variant("relativistic, R1, R2, cycle z", "relativistic", {**R1_R2, **CYCLE_Z}),
    Variant("relativistic, R1, R2, both cycles", "relativistic", {**R1_R2, **CYCLES}),
    Variant("relativistic, R1, R2, both cycles, packing 2", "relativistic", {**R1_R2, **CYCLES, "packing": 2}),
)


def games(options: Options) -> Result:
    """Train every variant from every seed, and measure what a model is chosen for. One that diverges has no figures.

    Raises:
        ALIError: the dataset has no classes, the nets cannot play one of the games, or an option does not fit.
    """
    options = with_defaults(options, NETS)
    length = Length.of(options, QUICK, FULL)
    seeds = options.seeds(SEEDS)
    runs = [(variant, seed, _choices(variant, seed, options)) for variant in VARIANTS for seed in seeds]
    for variant, seed, choices in runs:  # now, not after the trainings before it
        check(options, of_seed(variant.name, seed), length, **choices)
    rows = baseline_rows(context_of(untrained(options), options))
    grids: dict[str, Grids] = {}
    notes = []
    for variant, seed, choices in runs:
        name = of_seed(variant.name, seed)
        try:
            trained = train(options, name, length, **choices)
        except TrainingDiverged as error:
            rows.append(Row(name, {}))
            notes.append(f"{name}: diverged at step {error.step}.")
            continue
        context = replace(context_of(trained.model, options), extractor="classifier")
        rows.append(Row(name, {**_figures(context), **trained.figures}))
        grids.setdefault(variant.name, _grids(context, options.seed))
    if grids:
        picture_grids(grids, options.out / PICTURE_NAME)
    return Result(
        experiment="games",
        rows=rows,
        published=published.GAMES,
        settings=settings_of(options, length) | {"seeds": seeds, "games": [asdict(variant) for variant in VARIANTS]},
        notes=["Every model is evaluated with the same seed; the picture shows one of each game.", *notes],
    )


def _choices(variant: Variant, seed: int, options: Options) -> dict[str, Any]:
    record = options.registry.get(Objective, variant.objective)
    return {
        "objective": variant.objective,
        "settings": {"objective": settings.complete(record, variant.options)},
        "encoder": encoder_variant(options, "gaussian"),
        "seed": seed,
    }


def _figures(context: Context) -> dict[str, float]:
    """Both cycles, what the codes tell of the classes, and the samples' distance and variety."""
    found = evaluate(context, ["reconstruction", "frechet"])
    codes, test_codes = (context.codes(split).numpy() for split in ("train", "test"))
    labels, test_labels = context.class_labels("train"), context.class_labels("test")
    return {
        **{name: found["reconstruction"][name] for name in ("mse", "latent_mse")},
        **accuracies(codes, labels, test_codes, test_labels, context.seed),
        **found["frechet"],
    }


def _grids(context: Context, seed: int) -> Grids:
    return [
        ("samples", sample_grid(context.model, seed)[:LINES]),
        ("originals and reconstructions", reconstruction_grid(context)[:LINES]),
    ]
