"""Experiments: the ensemble against runs alone, and the commands."""

from __future__ import annotations

import pytest
import torch

from ali_plugin import ALI
from ali_plugin.config import PARTS
from ali_plugin.datasets import load_split
from ali_plugin.experiments.ensemble import EnsembleTraining, Member
from ali_plugin.objectives.ali import ALIGame
from ali_plugin.objectives.game import Game
from ali_plugin.objectives.gan import GANGame
from ali_plugin.training.batches import Batches
from ali_plugin.training.config import TrainConfig
from ali_plugin.training.step import TrainingStep

MEMBERS = (Member(seed=1), Member(seed=2, lr=1e-3, beta1=0.8, init_std=0.05), Member(seed=3, lr=5e-5, beta1=0.1))


@pytest.mark.parametrize("game", [ALIGame, GANGame])
def test_an_ensemble_is_its_runs(game: type[Game]) -> None:
    split = load_split("mixture", "train", data_dir=None, data_shape=(2,))
    training = EnsembleTraining("mixture", game, MEMBERS, split, batch_size=32)
    for _ in range(4):
        training.step()
    for i, member in enumerate(MEMBERS):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(member.seed)
            model = ALI.from_architecture("mixture", arguments={kind: {"init_std": member.init_std} for kind in PARTS})
            batches = Batches(split, 32, member.seed, torch.device("cpu"))
            config = TrainConfig(
                architecture="mixture", dataset="mixture", steps=4, lr=member.lr, beta1=member.beta1, seed=member.seed
            )
            start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
            step = TrainingStep(game(model.train()), config)
            for _ in range(4):
                step(batches.next())
        together = training.run(i).state_dict()
        for name, tensor in model.state_dict().items():
            # Rounding moves a weight whose gradient is all but zero by as much as others, so weights are not
            # compared one by one.
            moved = (tensor - start[name]).float().norm()
            assert (together[name] - tensor).float().norm() <= 0.01 * moved + 1e-6, name
        assert not torch.equal(
            start["decoder.layers.1.operation.weight"], together["decoder.layers.1.operation.weight"]
        )
