"""How many modes a game keeps over several runs that differ in seed and settings (section 4.5)."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from typing import cast

import numpy as np
import torch

from ali_plugin.config.model_config import PARTS
from ali_plugin.datasets import load_split
from ali_plugin.errors import ConfigError
from ali_plugin.evaluation.modes import PAPER_SAMPLES, mode_counts
from ali_plugin.experiments.record import RUNS, Options, Row
from ali_plugin.model import ALI
from ali_plugin.objectives.game import Game
from ali_plugin.support import atomic
from ali_plugin.support.devices import resolve_device, seeded
from ali_plugin.support.limits import MAX_SEED
from ali_plugin.support.progress import track
from ali_plugin.support.strict_json import is_number, read_object
from ali_plugin.training.batches import Batches
from ali_plugin.training.config import TrainConfig
from ali_plugin.training.step import TrainingStep

FIGURES = ("modes", "high_quality", "reverse_kl", "modes_by_responsibility")
WITH_DEVIATION = ("modes", "modes_by_responsibility")  # as published


@dataclass(frozen=True)
class Member:
    """The settings of one run."""

    seed: int
    lr: float = 1e-4
    beta1: float = 0.5
    beta2: float = 0.999
    init_std: float = 0.02
    lr_discriminator: float | None = None
    lr_decay: bool = False
    ema: float | None = None


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
    found = _side_by_side(game, members, steps, options)
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


def _run(game: Callable[[ALI], Game], steps: int, seed: int, device: str, member: Member) -> dict[str, float]:
    """Train one member from its seed and count the modes of its samples.

    Args:
        seed: of the samples, the same for every member.
    """
    split = load_split("mixture", "train", data_dir=None, data_shape=(2,))
    place = resolve_device(device)
    settings = {name: value for name, value in asdict(member).items() if name != "init_std"}
    config = TrainConfig(architecture="mixture", dataset="mixture", steps=steps, device=device, **settings)
    torch.manual_seed(member.seed)
    with place:
        arguments = {kind: {"init_std": member.init_std} for kind in PARTS}
        model = ALI.from_architecture("mixture", arguments=arguments).train()
    batches = Batches(split, config.batch_size, member.seed, place)
    step = TrainingStep(game(model), config)
    for t in range(steps):
        step.schedule(t, steps)
        step(batches.next())
    if step.average is not None:
        model.load_state_dict(step.average.weights)
    samples = model.eval().sample(PAPER_SAMPLES, generator=seeded(seed))
    return {**asdict(member), **mode_counts(samples)}


def _side_by_side(
    game: Callable[[ALI], Game], members: Sequence[Member], steps: int, options: Options
) -> list[dict[str, float]]:
    """``_run`` of every member, a process for each core: nets as small as these gain nothing from a second one."""
    one = partial(_run, game, steps, options.seed, options.device)
    workers = min(torch.get_num_threads(), len(members))
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        return list(track(pool.map(one, members), f"training {len(members)} runs", len(members)))
