"""How many modes a game keeps over several runs that differ in seed and settings (section 4.5)."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import cast

import numpy as np
import torch

from ali_plugin.datasets import load_split
from ali_plugin.errors import ConfigError
from ali_plugin.evaluation.modes import PAPER_SAMPLES, mode_counts
from ali_plugin.experiments.ensemble import EnsembleTraining, Member
from ali_plugin.experiments.record import RUNS, Options, Row
from ali_plugin.model import ALI
from ali_plugin.objectives.game import Game
from ali_plugin.support import atomic
from ali_plugin.support.devices import resolve_device, seeded
from ali_plugin.support.limits import MAX_SEED
from ali_plugin.support.progress import track
from ali_plugin.support.strict_json import is_number, read_object

FIGURES = ("modes", "high_quality", "reverse_kl", "modes_by_responsibility")
WITH_DEVIATION = ("modes", "modes_by_responsibility")  # as published


def random_members(count: int, seed: int) -> list[Member]:
    """Settings drawn anew for each run, as in the paper's study, which does not give its ranges: lr log-uniform in
    [1e-4, 3e-3], beta1 uniform in [0.1, 0.9], initial deviation log-uniform in [0.005, 0.1]."""
    random = np.random.default_rng([seed, 25])

    def log_uniform(low: float, high: float) -> float:
        return float(np.exp(random.uniform(math.log(low), math.log(high))))

    return [
        Member(
            seed=(seed + i) % (MAX_SEED + 1),
            lr=log_uniform(1e-4, 3e-3),
            beta1=float(random.uniform(0.1, 0.9)),
            init_std=log_uniform(0.005, 0.1),
        )
        for i in range(count)
    ]


def study(
    name: str, game: Callable[[ALI], Game], members: Sequence[Member], steps: int, options: Options
) -> list[dict[str, float]]:
    """Settings and mode counts of each run, kept in ``out/runs/study-NAME.json`` for an experiment that goes on."""
    saved = options.out / RUNS / f"study-{name}.json"
    asked = {"steps": steps, "members": [asdict(member) for member in members]}
    if options.resume and saved.exists() and (kept := read_object(saved)).get("asked") == asked:
        if not _are_figures(kept.get("found"), len(members)):
            raise ConfigError(f"{saved} holds no figures of {len(members)} runs; remove it to have them made again")
        return cast(list[dict[str, float]], kept["found"])
    found = []
    for member, model in zip(members, _trained(game, members, steps, options), strict=True):
        samples = model.sample(PAPER_SAMPLES, generator=seeded(options.seed))
        found.append({**asdict(member), **mode_counts(samples)})
    atomic.write(saved, json.dumps({"asked": asked, "found": found}, indent=2) + "\n")
    return found


def _are_figures(found: object, count: int) -> bool:
    return (
        isinstance(found, list)
        and len(found) == count
        and all(isinstance(run, dict) and all(is_number(run.get(key)) for key in FIGURES) for run in found)
    )


def study_row(name: str, found: Sequence[Mapping[str, float]]) -> Row:
    """Means over the runs, with the deviations of what is published with them."""
    values = {key: np.array([run[key] for run in found]) for key in FIGURES}
    figures = {key: float(value.mean()) for key, value in values.items()}
    for key in WITH_DEVIATION:
        figures[f"{key}_deviation"] = float(values[key].std())
        figures[f"{key}_least"], figures[f"{key}_most"] = float(values[key].min()), float(values[key].max())
    return Row(name, figures)


def _trained(game: Callable[[ALI], Game], members: Sequence[Member], steps: int, options: Options) -> list[ALI]:
    """The members' models: one ensemble on a GPU, on a CPU one for each core.

    Matrix products as small as these gain little from a second core: four runs on two cores take 80 ms a step as one
    ensemble, 50 ms as two.
    """
    split = load_split("mixture", "train", data_dir=None, data_shape=(2,), registry=options.registry)
    device = resolve_device(options.device)
    cores = torch.get_num_threads()
    count = min(cores, len(members)) if device.type == "cpu" else 1
    ensembles = [
        EnsembleTraining(
            "mixture", game, members[i::count], split, total_steps=steps, device=device, registry=options.registry
        )
        for i in range(count)
    ]
    try:
        with ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(max(cores // count, 1),)) as pool:
            for _ in track(range(steps), f"training {len(members)} runs", steps):
                list(pool.map(EnsembleTraining.step, ensembles))
    finally:
        torch.set_num_threads(cores)
    return [ensembles[i % count].run(i // count) for i in range(len(members))]
