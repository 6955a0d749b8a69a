"""The mixture of 25 Gaussians (section 4.5): figure 5, and how many modes are kept over many settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import torch

from ali_plugin.datasets import load_split
from ali_plugin.errors import OptionError
from ali_plugin.evaluation.context import Context
from ali_plugin.evaluation.evaluate import evaluate
from ali_plugin.experiments import published
from ali_plugin.experiments.figures import plots, save, scatter
from ali_plugin.experiments.record import PICTURE_NAME, Options, Result, Row
from ali_plugin.experiments.study import Member, random_members, study, study_row
from ali_plugin.experiments.training import Length, Trained, train
from ali_plugin.objectives.ali import ALIGame
from ali_plugin.objectives.gan import GANGame
from ali_plugin.support.devices import seeded

FULL, QUICK = (200_000, 10), (1000, 3)  # steps (200 epochs of 1,000) and runs of the study
# By runs of 12,000 steps from two seeds: a discriminator five times as fast as the generator keeps all modes, ten times
# as fast it drops a third of them, as fast it gets nowhere in 8,000 steps; falling rates sharpen less than averaged
# weights at constant ones, and larger initial weights lose modes.
TUNED = Member(seed=0, lr=1e-4, lr_discriminator=5e-4, ema=0.999)
MODELS: dict[str, dict[str, Any]] = {
    "ALI": {"objective": "ali"},
    "GAN, inverse mapping": {"objective": "gan-inverse"},
    "GAN, post-hoc inference": {"objective": "gan-posthoc"},
    # A likelihood has no discriminator to stay behind.
    "VAE": {"objective": "vae", "encoder": "mixture-gaussian", "decoder": "mixture-gaussian", "lr": 1e-3},
}
SHOWN, REACH, LATENT_REACH = 5000, 5.0, 3.5  # points in a panel, and the range that they show


def mixture(options: Options) -> Result:
    """Train figure 5's four models with tuned settings, then the study: ALI and a GAN with random settings, and ALI
    with the tuned ones.

    Raises:
        OptionError: an option that the experiment does not have.
    """
    for name in ("minutes", "architecture", "dataset"):
        if getattr(options, name) is not None:
            raise OptionError(f"experiment 'mixture' has its own nets and data, and a length in --steps; not --{name}")
    options = replace(options, architecture="mixture")
    steps, runs = QUICK if options.quick else FULL
    steps, runs = options.steps or steps, options.runs or runs
    settings = {name: getattr(TUNED, name) for name in ("lr", "lr_discriminator", "lr_decay", "beta1", "beta2", "ema")}
    models = {name: train(options, name, Length(steps), **settings | choices) for name, choices in MODELS.items()}
    rows = [_model_row(name, trained, options) for name, trained in models.items()]
    _draw(models, options)
    random, tuned = (
        random_members(runs, options.seed),
        [replace(TUNED, seed=seed) for seed in options.seeds(runs)],
    )
    studies = {
        f"ALI, {runs} random settings": study("ali-random", ALIGame, random, steps, options),
        f"GAN, {runs} random settings": study("gan-random", GANGame, random, steps, options),
        f"ALI, {runs} seeds of the tuned setting": study("ali-tuned", ALIGame, tuned, steps, options),
    }
    rows += [study_row(name, found) for name, found in studies.items()]
    return Result(
        experiment="mixture",
        rows=rows,
        published=published.MIXTURE,
        settings={"steps": steps, "batch_size": 100, "tuned": asdict(TUNED), "models": MODELS, "runs": studies},
        notes=_notes(steps),
    )


def _model_row(name: str, trained: Trained, options: Options) -> Row:
    context = Context(trained.model, "mixture", seed=options.seed)
    found = evaluate(context, ["modes"])["modes"]
    x, _ = context.rows("test", slice(SHOWN))
    again = trained.model.reconstruct(x, generator=context.generator())
    return Row(name, {**found, "mse": (again - x).square().mean().item(), **trained.figures})


def _notes(steps: int) -> list[str]:
    notes = ["High quality: within 3 sigma. Counts are of 25 modes; means over the runs of a study."]
    if steps < FULL[0]:
        notes.append(f"Trained for {steps:,} of the published {FULL[0]:,} steps.")
    return notes


@torch.no_grad()
def _draw(models: Mapping[str, Trained], options: Options) -> None:
    """Figure 5: for each model the encoded data, coloured by mode, their reconstructions, and samples."""
    split = load_split("mixture", "test", data_dir=None, data_shape=(2,), registry=options.registry)
    assert split.labels is not None
    (x, _), modes = split.rows(slice(SHOWN)), split.labels[:SHOWN]
    generator = seeded(options.seed)
    figure, axes = plots(len(models), 4)
    for (name, trained), line in zip(models.items(), axes, strict=True):
        model = trained.model
        codes = model.encode(x.to(model.device)).sample(generator)
        again, samples = model.decode(codes), model.sample(SHOWN, generator=generator)
        scatter(line[0], x.numpy(), modes, REACH, "data")
        scatter(line[1], codes.cpu().numpy(), modes, LATENT_REACH, "q(z), draws for the data")
        scatter(line[2], again.cpu().numpy(), modes, REACH, "reconstructions")
        scatter(line[3], samples.cpu().numpy(), None, REACH, "samples")
        line[0].set_ylabel(name)
    save(figure, options.out / PICTURE_NAME)
