"""The mixture of 25 Gaussians (section 4.5): figure 5, and how many modes are kept over many settings."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, cast

import numpy as np
import torch

from ali_plugin import atomic
from ali_plugin.datasets import load_split
from ali_plugin.devices import resolve_device
from ali_plugin.errors import OptionError
from ali_plugin.evaluation.context import Context
from ali_plugin.evaluation.evaluate import evaluate
from ali_plugin.evaluation.modes import PAPER_SAMPLES, mode_counts
from ali_plugin.experiments import published
from ali_plugin.experiments.ensemble import EnsembleTraining, Member
from ali_plugin.experiments.figures import plots, save, scatter
from ali_plugin.experiments.record import PICTURE_NAME, RUNS, Options, Result, Row
from ali_plugin.experiments.training import Length, Trained, train
from ali_plugin.model import ALI
from ali_plugin.objectives.ali import ALIGame
from ali_plugin.objectives.game import Game
from ali_plugin.objectives.gan import GANGame
from ali_plugin.progress import track
from ali_plugin.strict_json import read_object

FULL, QUICK = (200_000, 10), (1000, 3)  # steps (200 epochs of 1,000) and runs of the study
# Of twelve, after 10,000 steps: at constant rates samples stay blurred, at equal ones modes are lost as they sharpen.
TUNED = Member(seed=0, lr=2e-4, lr_discriminator=1e-3, lr_decay=True)
MODELS: dict[str, dict[str, Any]] = {
    "ALI": {"objective": "ali"},
    "GAN, inverse mapping": {"objective": "gan-inverse"},
    "GAN, post-hoc inference": {"objective": "gan-posthoc"},
    "VAE": {"objective": "vae", "encoder": "mixture-gaussian", "decoder": "mixture-gaussian"},
}
MODE_FIGURES = ("modes", "high_quality", "reverse_kl", "modes_by_responsibility")
SHOWN, REACH, LATENT_REACH = 5000, 5.0, 3.5  # points in a panel, and the range that they show


def mixture(options: Options) -> Result:
    """Train figure 5's four models with tuned settings, then the study: ALI and a GAN with random settings, and ALI
    with the tuned ones, each some runs as one ensemble.

    Raises:
        OptionError: an option that the experiment does not have.
    """
    for name in ("minutes", "architecture", "dataset"):
        if getattr(options, name) is not None:
            raise OptionError(f"experiment 'mixture' has its own nets and data, and a length in --steps; not --{name}")
    options = replace(options, architecture="mixture")
    steps, runs = QUICK if options.quick else FULL
    length, runs = Length.of(options, steps, steps), options.runs or runs
    settings = {name: getattr(TUNED, name) for name in ("lr", "lr_discriminator", "lr_decay", "beta1", "beta2")}
    models = {name: train(options, name, length, **settings, **choices) for name, choices in MODELS.items()}
    rows = [_model_row(name, trained, options) for name, trained in models.items()]
    _draw(models, options)
    random, tuned = random_members(runs, options.seed), [replace(TUNED, seed=options.seed + i) for i in range(runs)]
    studies = {
        f"ALI, {runs} random settings": _study("ali-random", ALIGame, random, length, options),
        f"GAN, {runs} random settings": _study("gan-random", GANGame, random, length, options),
        f"ALI, {runs} seeds of the tuned setting": _study("ali-tuned", ALIGame, tuned, length, options),
    }
    rows += [_study_row(name, found) for name, found in studies.items()]
    return Result(
        experiment="mixture",
        rows=rows,
        published=published.MIXTURE,
        settings={"steps": length.steps, "batch_size": 100, "tuned": asdict(TUNED), "runs": studies},
        notes=_notes(length.steps or 0),
    )


def random_members(count: int, seed: int) -> list[Member]:
    """Settings drawn anew for each run, as in the paper's study, which does not give its ranges: lr log-uniform in
    [1e-4, 3e-3], beta1 uniform in [0.1, 0.9], initial deviation log-uniform in [0.005, 0.1]."""
    random = np.random.default_rng([seed, 25])

    def log_uniform(low: float, high: float) -> float:
        return float(np.exp(random.uniform(math.log(low), math.log(high))))

    return [
        Member(
            seed=seed + i,
            lr=log_uniform(1e-4, 3e-3),
            beta1=float(random.uniform(0.1, 0.9)),
            init_std=log_uniform(0.005, 0.1),
        )
        for i in range(count)
    ]


def _model_row(name: str, trained: Trained, options: Options) -> Row:
    context = Context(trained.model, "mixture", seed=options.seed)
    found = evaluate(context, ["modes"])["modes"]
    x = torch.from_numpy(context.split("test").data[:SHOWN]).to(next(trained.model.parameters()).device)
    again = trained.model.reconstruct(x, generator=context.generator())
    return Row(name, {**found, "mse": (again - x).square().mean().item(), **trained.figures})


def _study(
    name: str, game: Callable[[ALI], Game], members: Sequence[Member], length: Length, options: Options
) -> list[dict[str, float]]:
    """Settings and mode counts of each run, kept in ``out/runs/study-NAME.json`` for an experiment that goes on."""
    saved = options.out / RUNS / f"study-{name}.json"
    asked = {"steps": length.steps, "members": [asdict(member) for member in members]}
    if options.resume and saved.exists() and (kept := read_object(saved)).get("asked") == asked:
        return cast(list[dict[str, float]], kept["found"])
    found = _train_study(game, members, length, options)
    atomic.write(saved, json.dumps({"asked": asked, "found": found}, indent=2) + "\n")
    return found


def _train_study(
    game: Callable[[ALI], Game], members: Sequence[Member], length: Length, options: Options
) -> list[dict[str, float]]:
    split = load_split("mixture", "train", data_dir=None, data_shape=(2,), registry=options.registry)
    device = resolve_device(options.device)
    steps = length.steps or 0
    training = EnsembleTraining(
        "mixture", game, members, split, total_steps=steps, device=device, registry=options.registry
    )
    for _ in track(range(steps), f"training {len(members)} runs", steps):
        training.step()
    found = []
    for i, member in enumerate(members):
        samples = training.run(i).sample(PAPER_SAMPLES, generator=torch.Generator().manual_seed(options.seed))
        found.append({**asdict(member), **mode_counts(samples)})
    return found


def _study_row(name: str, found: Sequence[Mapping[str, float]]) -> Row:
    """Means over the runs, with the deviations of what is published with them."""
    values = {key: np.array([run[key] for run in found]) for key in MODE_FIGURES}
    figures = {key: float(value.mean()) for key, value in values.items()}
    for key in ("modes", "modes_by_responsibility"):
        figures[f"{key}_deviation"] = float(values[key].std())
        figures[f"{key}_least"], figures[f"{key}_most"] = float(values[key].min()), float(values[key].max())
    return Row(name, figures)


def _notes(steps: int) -> list[str]:
    notes = ["High quality: within 3 sigma. Counts are of 25 modes; means over the runs of a study."]
    if steps < FULL[0]:
        notes.append(f"Trained for {steps:,} of the published {FULL[0]:,} steps, so the figures fall short of it.")
    return notes


@torch.no_grad()
def _draw(models: Mapping[str, Trained], options: Options) -> None:
    """Figure 5: for each model the encoded data, coloured by mode, their reconstructions, and samples."""
    split = load_split("mixture", "test", data_dir=None, data_shape=(2,), registry=options.registry)
    assert split.labels is not None
    x, modes = torch.from_numpy(split.data[:SHOWN]).float(), split.labels[:SHOWN]
    generator = torch.Generator().manual_seed(options.seed)
    figure, axes = plots(len(models), 4)
    for (name, trained), line in zip(models.items(), axes, strict=True):
        model = trained.model
        place = next(model.parameters()).device
        codes = model.encode(x.to(place)).sample(generator)
        again, samples = model.decode(codes), model.sample(SHOWN, generator=generator)
        scatter(line[0], x.numpy(), modes, REACH, "data")
        scatter(line[1], codes.cpu().numpy(), modes, LATENT_REACH, "q(z), draws for the data")
        scatter(line[2], again.cpu().numpy(), modes, REACH, "reconstructions")
        scatter(line[3], samples.cpu().numpy(), None, REACH, "samples")
        line[0].set_ylabel(name)
    save(figure, options.out / PICTURE_NAME)
