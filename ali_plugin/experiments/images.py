"""What the experiments on pictures share: their architecture, data and baselines."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ali_plugin.evaluation.baselines import baselines
from ali_plugin.evaluation.context import Context
from ali_plugin.experiments.record import Options, Row
from ali_plugin.model import ALI
from ali_plugin.pictures.grid import side_by_side
from ali_plugin.support.devices import seeded
from ali_registry import Architecture, Encoder, Objective

DEFAULT, PAPER = "fashion", "ali"  # nets, and the game that every study has
ADAM = {"lr": 1e-4, "lr_discriminator": 1e-4, "beta1": 0.5, "beta2": 0.999}  # of the paper's games
SIDE = 8


def with_defaults(options: Options, nets: str = DEFAULT) -> Options:
    """The options with an architecture, ``nets`` where none is named, and its dataset likewise."""
    architecture = options.architecture or nets
    dataset = options.dataset or options.registry.get(Architecture, architecture).training.dataset
    return replace(options, architecture=architecture, dataset=dataset)


def context_of(model: ALI, options: Options) -> Context:
    """For the metrics of a model."""
    assert options.dataset is not None
    return Context(
        model, options.dataset, options.data_dir, options.seed, background=options.background, registry=options.registry
    )


def baseline_rows(context: Context) -> list[Row]:
    """What needs no model, for the table of a study that shows codes: ``context`` is of any of its models."""
    found = baselines(context)
    size = context.model.config.latent_size
    return [Row("raw pixels", found["raw"]), Row(f"PCA, {size} numbers", found["pca"])]


def own_objective(options: Options) -> Objective | None:
    """That of the architecture's recipe, where it is another than the paper's."""
    name = options.registry.get(Architecture, str(options.architecture)).training.objective
    return None if name == PAPER else options.registry.get(Objective, name)


def papers_game(options: Options) -> dict[str, Any]:
    """Choices of a training by the paper's game: on nets whose recipe is another one's, at the paper's rates."""
    plain = {"objective": PAPER, "encoder": encoder_variant(options, "gaussian")}
    return plain if own_objective(options) is None else {**plain, **ADAM}


def games(options: Options) -> dict[str, dict[str, Any]]:
    """Choices of the trainings of a study: the nets' own game by their recipe, if it is another, and the paper's."""
    own = own_objective(options)
    return {**({} if own is None else {own.name: {}}), "ALI": papers_game(options)}


def encoder_variant(options: Options, posterior: str) -> str | None:
    """The architecture's encoder with another posterior, where it is registered under the usual name; else None."""
    name = f"{options.architecture}-{posterior}"
    known = {entry.record.name for entry in options.registry.entries(Encoder.kind)}
    return name if name in known else None


def grid(pictures: Tensor, columns: int) -> NDArray[np.float32]:
    """(N, C, H, W) as rows of a grid (N / columns, columns, C, H, W)."""
    rows = pictures[: len(pictures) // columns * columns].detach().float().cpu().clamp(0, 1)
    found: NDArray[np.float32] = rows.unflatten(0, (-1, columns)).numpy()
    return found


def sample_grid(model: ALI, seed: int) -> NDArray[np.float32]:
    """Samples of an unconditional model."""
    return grid(model.sample(SIDE * SIDE, generator=seeded(seed)), SIDE)


def reconstruction_grid(context: Context) -> NDArray[np.float32]:
    """Held-out originals in odd columns, their reconstructions through a draw of q(z|x) in even ones."""
    split = context.split("test")
    chosen = np.linspace(0, len(split) - 1, SIDE * SIDE // 2).astype(np.int64)
    x, _ = split.rows(chosen, device=context.model.device)
    return grid(side_by_side(x, context.model.reconstruct(x, generator=context.generator())), SIDE)
