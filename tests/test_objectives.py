"""Conditional and semi-supervised ALI, and the other models of figure 5."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, softplus

from ali_plugin import ALI, DiagonalGaussian, Objective
from ali_plugin.config.conditions import from_labels
from ali_plugin.datasets.fashion_mini import fashion_mini
from ali_plugin.datasets.split import balanced_subset
from ali_plugin.nets.distribution import Implicit
from ali_plugin.objectives.game import Batch, Game, Labelled, players_of
from ali_plugin.objectives.vae import VAEGame, kl_from_prior
from ali_plugin.training.batches import Batches
from ali_registry import default_registry
from conftest import TINY, Ali


def game(objective: str, model: ALI) -> Game:
    made: Game = default_registry().get(Objective, objective).load()(model)
    return made


def gradients(net: nn.Module) -> list[Tensor | None]:
    return [parameter.grad for parameter in net.parameters()]


def small(**options: Any) -> ALI:
    torch.manual_seed(0)
    return ALI.from_architecture("fashion", **options)


X = torch.rand(8, 1, 28, 28, generator=torch.Generator().manual_seed(0))
CLASSES = torch.arange(8)


def test_conditions_come_from_labels() -> None:
    assert from_labels(torch.tensor([2, 0]), 3).tolist() == [[0, 0, 1], [1, 0, 0]]
    assert from_labels(torch.tensor([[1, 0, 1]]), 3).tolist() == [[1, 0, 1]]
    batch = Batches(fashion_mini("train"), 50, 0, torch.device("cpu"), condition_size=10).next()
    assert batch.condition is not None
    assert batch.condition.sum(1).tolist() == [1.0] * 50


def test_condition_reaches_every_net() -> None:
    model = small(condition_size=10)
    one, other = from_labels(CLASSES, 10), from_labels(CLASSES.flip(0), 10)
    z = torch.randn(8, 16)
    model.eval()
    for parameter in model.parameters():
        if parameter.ndim == 2:
            nn.init.normal_(parameter, std=0.1)
    assert not torch.equal(model.encode(X, one).mean, model.encode(X, other).mean)
    assert not torch.equal(model.decode(z, one), model.decode(z, other))
    assert not torch.equal(model.discriminate(X, z, one), model.discriminate(X, z, other))
    model.train()
    game("ali", model).gradients(Batch(X, one))
    for part in ("encoder", "decoder", "discriminator"):
        gradient = model.part(part).get_parameter("embedding.weight").grad
        assert gradient is not None
        assert gradient.abs().sum() > 0


def test_conditional_run(tmp_path: Path, ali: Ali) -> None:
    run = tmp_path / "run"
    assert ali("train", "--condition", "--steps", 10, *TINY, "--out", run).code == 0
    config = json.loads((run / "config.json").read_text())
    assert config["condition_size"] == 10
    assert config["condition_names"][8] == "bag"
    shown = json.loads(ali("sample", run, "-n", 3, "--out", tmp_path / "all.png", "--json").out)
    assert shown["samples"] == 30
    two = ("--condition", "bag", "--condition", "1", "--out", tmp_path / "two.safetensors")
    assert json.loads(ali("sample", run, "-n", 3, *two, "--json").out)["samples"] == 6
    wrong = ali("sample", run, "--condition", "horse", "--out", tmp_path / "x.png")
    assert "no element 'horse'; it has T-shirt, trouser" in wrong.err
    assert "no element '10'" in ali("sample", run, "--condition", "10", "--out", tmp_path / "x.png").err
    for command in (["reconstruct"], ["interpolate", "--rows", "2"], ["encode"]):
        out = tmp_path / f"{command[0]}.safetensors"
        assert ali(command[0], run, *command[1:], "--out", out).code == 0
    from PIL import Image

    Image.new("L", (28, 28), 90).save(tmp_path / "mine.png")
    missing = ali("reconstruct", run, tmp_path / "mine.png", "--out", tmp_path / "x.png")
    assert "say with --condition what the pictures are" in missing.err
    given = ("--condition", "coat", "--out", tmp_path / "x.png")
    assert ali("reconstruct", run, tmp_path / "mine.png", *given).code == 0
    assert ali("evaluate", run, "--metric", "reconstruction").code == 0


def test_z_is_fixed_along_a_row(tmp_path: Path) -> None:
    from ali_plugin.tasks.generate import sample

    model = small(condition_size=10).eval()
    for parameter in model.parameters():
        if parameter.ndim == 2:
            nn.init.normal_(parameter, std=0.05)
    images, columns = sample(model, 2, seed=0)
    assert columns == 10
    rows = images.unflatten(0, (2, 10))
    z = torch.randn(2, 16, generator=torch.Generator().manual_seed(0))
    expected = model.decode(z[1].expand(10, -1), torch.eye(10))
    torch.testing.assert_close(rows[1], expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--arch", "celeba-conditional", "--dataset", "image-folder", "--data-dir", "DIR"], "has no labels"),
        (["--condition", "--dataset", "image-folder", "--data-dir", "DIR"], "has no labels"),
        (["--objective", "semi-supervised", "--labels", "20", "--dataset", "image-folder", "--data-dir", "DIR"],
         "has no labels"),
        (["--objective", "semi-supervised"], "say how many with --labels N"),
        (["--labels", "100"], "objective 'ali' uses no labels"),
        (["--objective", "semi-supervised", "--labels", "5"], "there are 10 classes"),
        (["--objective", "semi-supervised", "--labels", "3000"], "which has 200 samples"),
        (["--objective", "semi-supervised", "--labels", "0"], "--labels is 0, it has to be positive"),
    ],
)  # fmt: skip
def test_bad_labels(arguments: list[str], message: str, tmp_path: Path, ali: Ali) -> None:
    from PIL import Image

    (tmp_path / "pictures").mkdir()
    for i in range(8):
        Image.new("RGB", (64, 64), (i, i, i)).save(tmp_path / "pictures" / f"{i}.png")
    words = [str(tmp_path / "pictures") if word == "DIR" else word for word in arguments]
    result = ali("train", *words, "--batch-size", 4, "--steps", 1, "--out", tmp_path / "run")
    assert result.code == 1
    assert message in result.err
    assert result.err.count("\n") == 1


def test_condition_of_the_wrong_size(tmp_path: Path, ali: Ali) -> None:
    from PIL import Image

    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(5):
            Image.new("RGB", (64, 64)).save(tmp_path / name / f"{i}.png")
    arguments = ("--arch", "celeba-conditional", "--dataset", "image-folder", "--data-dir", tmp_path)
    result = ali("train", *arguments, "--batch-size", 4, "--out", tmp_path / "run")
    assert "takes a condition of 40, dataset 'image-folder' has 2 classes" in result.err


def test_labels_are_balanced_and_chosen_by_the_seed() -> None:
    labels = fashion_mini("train").labels
    assert labels is not None
    chosen = balanced_subset(labels, 10, 105, seed=1)
    assert np.bincount(labels[chosen]).tolist() == [11] * 5 + [10] * 5
    assert np.array_equal(chosen, balanced_subset(labels, 10, 105, seed=1))
    assert not np.array_equal(chosen, balanced_subset(labels, 10, 105, seed=2))


def test_only_the_chosen_labels_are_seen() -> None:
    split = fashion_mini("train")
    batches = Batches(split, 20, 0, torch.device("cpu"), labelled=30)
    assert batches.subset is not None
    allowed = {split.data[i].tobytes() for i in batches.subset}
    for _ in range(20):
        labelled = batches.next().labelled
        assert labelled is not None
        pictures = (labelled.x * 255).round().to(torch.uint8).numpy()
        assert {picture.tobytes() for picture in pictures} <= allowed


def test_k_class_discriminator_is_z_over_z_plus_one() -> None:
    model = small(classes=10).eval()
    z = torch.randn(8, 16)
    logits = model.class_logits(X, z)
    assert logits.shape == (8, 10)
    total = logits.exp().sum(1)
    torch.testing.assert_close(torch.sigmoid(model.discriminate(X, z)), total / (total + 1))
    assert model.classify(X).shape == (8,)


def test_semi_supervised_gradient_is_the_sum_of_both_losses(float64: None) -> None:
    model = small(classes=10).double()
    x = X.double()
    torch.manual_seed(1)
    game("semi-supervised", model).gradients(Batch(x, labelled=Labelled(x, CLASSES)))
    found = [g.clone() for g in gradients(model.part("discriminator")) if g is not None]
    model.zero_grad()
    torch.manual_seed(1)
    z = torch.randn(8, 16)
    with torch.no_grad():
        z_hat = model.encode(x).sample()
        x_tilde = model.decode(z)
    l_q, l_p = model.discriminate(torch.cat([x, x_tilde]), torch.cat([z_hat, z])).chunk(2)
    loss = softplus(-l_q).mean() + softplus(l_p).mean()
    with torch.no_grad():
        z_labelled = model.encode(x).sample()
    loss = loss + cross_entropy(model.class_logits(x, z_labelled), CLASSES)
    expected = torch.autograd.grad(loss, list(model.part("discriminator").parameters()))
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-10)


def test_semi_supervised_run_reports_its_error(tmp_path: Path, ali: Ali) -> None:
    arguments = ("--objective", "semi-supervised", "--labels", 100, "--steps", 20, *TINY, "--out", tmp_path / "run")
    assert ali("train", *arguments).code == 0
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    errors = [line["error_held_out"] for line in lines if "error_held_out" in line]
    model = ALI.from_pretrained(tmp_path / "run")
    assert model.config.classes == 10
    held_out = fashion_mini("validation")
    x, _ = held_out.rows(slice(None))
    assert held_out.labels is not None
    wrong = model.classify(x) != torch.from_numpy(held_out.labels)
    assert errors[-1] == pytest.approx(wrong.float().mean().item(), abs=0.002)  # one sample of 500


def test_inverse_mapping_moves_all_but_mixes_nothing() -> None:
    model = small()
    played = game("gan-inverse", model)
    figures = played.gradients(Batch(X))
    assert {"loss_discriminator", "loss_generator", "loss_inverse"} <= figures.keys()
    assert all(g is not None for part in ("encoder", "decoder", "discriminator") for g in gradients(model.part(part)))
    decoder_before = [g.clone() for g in gradients(model.part("decoder")) if g is not None]
    model.zero_grad()
    torch.manual_seed(3)
    game("gan-inverse", small()).gradients(Batch(X))
    assert decoder_before  # the squared error of z reaches the encoder alone: players do not overlap
    names = [set(map(id, player.parameters)) for player in players_of(played).values()]
    assert not names[0] & names[1]
    assert not names[1] & names[2]


def test_post_hoc_trains_a_gan_then_an_encoder_for_its_frozen_decoder() -> None:
    model = small()
    played = game("gan-posthoc", model)
    played.schedule(4, 10)
    played.gradients(Batch(X))
    assert all(g is None for g in gradients(model.part("encoder")))
    assert all(g is not None for g in gradients(model.part("decoder")))
    model.zero_grad()
    buffers = {name: buffer.clone() for name, buffer in model.part("decoder").named_buffers()}
    played.schedule(5, 10)
    played.gradients(Batch(X))
    assert all(g is not None for g in gradients(model.part("encoder")))
    assert all(g is None for g in gradients(model.part("decoder")))
    for name, buffer in model.part("decoder").named_buffers():
        assert torch.equal(buffer, buffers[name]), name
    assert played.modules().keys() == {"gan_discriminator"}


def test_vae_terms() -> None:
    posterior = DiagonalGaussian(torch.randn(5, 3), torch.randn(5, 3) * 0.3)
    normal = torch.distributions.Normal(posterior.mean, posterior.stddev)
    expected = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0, 1)).sum(1)
    torch.testing.assert_close(kl_from_prior(posterior), expected)
    model = small(parts={"decoder": "fashion-gaussian"})
    vae = VAEGame(model)
    likelihood = model.likelihood(torch.randn(8, 16))
    found = vae.negative_log_likelihood(likelihood, X)
    expected = -torch.distributions.Normal(likelihood.mean, likelihood.stddev).log_prob(X).flatten(1).sum(1)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("objective", ["gan-inverse", "gan-posthoc", "vae"])
def test_other_models_train_and_continue(objective: str, tmp_path: Path, ali: Ali) -> None:
    common = ("--objective", objective, *TINY)
    assert ali("train", *common, "--steps", 24, "--out", tmp_path / "whole").code == 0
    assert ali("train", *common, "--steps", 24, "--out", tmp_path / "parts").code == 0
    import shutil

    shutil.rmtree(tmp_path / "parts" / "checkpoints" / "step-000000024")
    assert ali("train", "--resume", "--out", tmp_path / "parts").code == 0
    whole, parts = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "parts"))
    assert whole == parts


@pytest.mark.parametrize("objective", ["ali", "gan-inverse", "gan-posthoc", "vae"])
def test_mixture_models_of_figure_5(objective: str, tmp_path: Path, ali: Ali) -> None:
    parts = ("--encoder", "mixture-gaussian", "--decoder", "mixture-gaussian") if objective == "vae" else ()
    arguments = ("--arch", "mixture", "--objective", objective, *parts, "--steps", 12, *TINY)
    result = ali("train", *arguments, "--out", tmp_path / "run")
    assert result.code == 0, result.err
    model = ALI.from_pretrained(tmp_path / "run")
    assert model.sample(5).shape == (5, 2)
    assert (tmp_path / "run" / "samples.png").exists()


def test_vae_refuses_nets_without_densities(tmp_path: Path, ali: Ali) -> None:
    result = ali("train", "--arch", "mixture", "--objective", "vae", *TINY, "--steps", 2, "--out", tmp_path / "run")
    assert "a VAE needs an encoder with mu and sigma" in result.err


def test_kinds_of_conditionals() -> None:
    torch.manual_seed(0)
    x = torch.randn(6, 2)
    implicit = ALI.from_architecture("mixture").eval()
    posterior = implicit.encode(x)
    assert isinstance(posterior, Implicit)
    assert posterior.sample().shape == (6, 2)
    assert not torch.equal(posterior.sample(), posterior.sample())
    deterministic = small(parts={"encoder": "fashion-deterministic"}).eval()
    assert torch.equal(deterministic.encode(X).sample(), deterministic.encode(X).mean)
    assert not deterministic.encode(X).stddev.any()
    noisy = small(parts={"decoder": "fashion-gaussian"}).eval()
    likelihood = noisy.likelihood(torch.zeros(2, 16))
    assert not torch.equal(likelihood.sample(), likelihood.sample())
    assert torch.equal(noisy.decode(torch.zeros(2, 16)), likelihood.mean)
