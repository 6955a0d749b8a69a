"""The adversarial games against references written from their equations, in float64."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, l1_loss, mse_loss, relu, softplus

import tiny
from ali_plugin import ALI, Discriminator, Objective, hookimpl
from ali_plugin.config.schedule import Schedule
from ali_plugin.config.settings import complete
from ali_plugin.errors import OptionError
from ali_plugin.nets.layers import CheapMask, Dropout, LargerOfPair
from ali_plugin.objectives.adversarial import AdversarialGame
from ali_plugin.objectives.ali import ALIGame
from ali_plugin.objectives.augment import FAMILIES, Augment
from ali_plugin.objectives.contrast import view
from ali_plugin.objectives.game import Batch, Labelled
from ali_plugin.objectives.gan import PostHocGame
from ali_plugin.objectives.penalty import require_second_derivatives, squared_gradients
from ali_plugin.training import checkpoint
from ali_plugin.training.config import TrainConfig
from ali_plugin.training.graph import phase_of
from ali_plugin.training.run import prepare
from ali_plugin.training.step import TrainingStep
from ali_registry import build_registry, default_registry

pytestmark = pytest.mark.usefixtures("float64")

B, CLASSES = 8, 3


def lively(architecture: str, discriminator: dict[str, Any], **options: Any) -> ALI:
    """A model whose gradients are not near nothing, and whose D has no dropout, so that D may be asked twice."""
    torch.manual_seed(0)
    model = ALI.from_architecture(architecture, arguments={"discriminator": discriminator}, **options)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=1.5 / parameter[0].numel() ** 0.5)
    model.double().train()
    for module in model.modules():
        if isinstance(module, Dropout):
            module.eval()
    return model


def game(objective: str, model: ALI, **options: Any) -> AdversarialGame:
    record = default_registry().get(Objective, objective)
    made = record.load()(model, **complete(record, options))
    assert isinstance(made, AdversarialGame)
    return made


def scores(model: ALI, x: Tensor, z: Tensor, condition: Tensor | None, unary: bool) -> list[Tensor]:
    """Each score of D, written down for a fashion discriminator."""
    net = model.part("discriminator")
    outputs = net.scores(x, z, condition) if unary else [net(x, z, *(() if condition is None else (condition,)))]  # type: ignore[operator]
    return [out.logsumexp(1) if out.shape[1] > 1 else out[:, 0] for out in outputs]


LOSSES: dict[str, Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]] = {
    "relativistic": lambda q, p: (softplus(p - q).mean(), softplus(q - p).mean()),
    "hinge": lambda q, p: (relu(1 - q).mean() + relu(1 + p).mean(), q.mean() - p.mean()),
    "alice": lambda q, p: (
        softplus(-q).mean() + softplus(p).mean(),
        softplus(q).mean() + softplus(-p).mean(),
    ),
}


def reference(
    objective: str, model: ALI, batch: Batch, *, gamma: float = 0.0, penalty: str = "both", penalty_every: int = 1,
    penalty_share: float = 1.0, cycle_x: float = 0.0, cycle_features: float = 0.0, cycle_z: float = 0.0,
    cycle_norm: str = "l2", encoder_weight: float = 1.0, contrast: float = 0.0, temperature: float = 0.2,
    packing: int = 1, unary: bool = False, **_: Any,
) -> dict[str, Tensor]:  # fmt: skip
    """Each player's gradient of its own loss, by the parameter's name."""
    x, condition = batch.x, batch.condition
    both = None if condition is None else torch.cat([condition, condition])
    z = torch.randn(len(x), model.config.latent_size)
    z_hat = model.encode(x, condition).sample()
    x_tilde = model.likelihood(z, condition).sample()
    loss_d = loss_g = torch.zeros(())
    seen = encoder_weight * z_hat + (1 - encoder_weight) * z_hat.detach()
    for score in scores(model, torch.cat([x, x_tilde]), torch.cat([seen, z]), both, unary):
        assert len(score) == 2 * len(x) // packing
        d, g = LOSSES[objective](*score.chunk(2))
        loss_d, loss_g = loss_d + d, loss_g + g
    norm = l1_loss if cycle_norm == "l1" else mse_loss
    back = model.decode(z_hat, condition)
    loss_g = loss_g + cycle_x * norm(back, x)
    if cycle_features:
        rows = model.part("discriminator").x_layers
        assert isinstance(rows, nn.Module)
        see = [pictures.reshape(len(x) // packing, -1) for pictures in (back, x)]
        loss_g = loss_g + cycle_features * norm(rows(see[0]), rows(see[1]))
    if cycle_z:
        loss_g = loss_g + cycle_z * (z - model.encode(x_tilde, condition).sample()).square().mean()
    if contrast:
        changed = model.encode(view(x), condition).mean
        codes = model.encode(x, condition).mean
        similar = torch.nn.functional.cosine_similarity(changed[:, None], codes[None], dim=2) / temperature
        loss_g = loss_g - contrast * (similar.diagonal() - similar.logsumexp(1)).mean()
    some = int(penalty_share * len(x) / packing) * packing
    condition = None if condition is None else condition[:some]
    for name, pairs in (("r1", (x[:some], z_hat[:some])), ("r2", (x_tilde[:some], z[:some]))):
        if gamma and penalty in (name, "both"):
            u = (2 * pairs[0].detach() - 1).requires_grad_()  # pictures as if they were in [-1, 1]
            v = pairs[1].detach().requires_grad_()
            f = torch.stack(scores(model, (u + 1) / 2, v, condition, unary)).sum(0)
            of_u, of_v = torch.autograd.grad(f.sum(), (u, v), create_graph=True)
            squares = of_u.reshape(len(f), -1).square().sum(1) + of_v.reshape(len(f), -1).square().sum(1)
            loss_d = loss_d + penalty_every * gamma / 2 * squares.mean()
    if batch.labelled is not None:
        labelled = batch.labelled
        with torch.no_grad():
            z_labelled = model.encode(labelled.x, labelled.condition).sample()
        copies = [one.repeat_interleave(packing, 0) for one in (labelled.x, z_labelled)]
        loss_d = loss_d + cross_entropy(model.part("discriminator")(*copies), labelled.classes)
    named = dict(model.named_parameters())
    of_d = torch.autograd.grad(loss_d, list(named.values()), retain_graph=True, allow_unused=True)
    of_g = torch.autograd.grad(loss_g, list(named.values()), allow_unused=True)
    found = {}
    for name, d, g in zip(named, of_d, of_g, strict=True):
        gradient = d if name.startswith("discriminator.") else g
        assert gradient is not None, name
        found[name] = gradient
    return found


def assert_played(objective: str, model: ALI, batch: Batch, seed: int = 1, **options: Any) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    expected = reference(objective, copy.deepcopy(model), batch, **options)
    played = game(objective, model, **options)
    torch.manual_seed(seed)
    figures = played.gradients(batch)
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        torch.testing.assert_close(parameter.grad, expected[name], rtol=1e-6, atol=1e-10, msg=name)
    return figures


CHOICES: dict[str, dict[str, Any]] = {
    "plain": {},
    "penalties": {"gamma": 0.7},
    "r1": {"gamma": 0.7, "penalty": "r1"},
    "r2": {"gamma": 0.7, "penalty": "r2"},
    "some": {"gamma": 0.7, "penalty_share": 0.6, "packing": 2},
    "lazy": {"gamma": 0.3, "penalty_every": 4},
    "cycle_x": {"cycle_x": 2.0},
    "cycle_l1": {"cycle_x": 2.0, "cycle_norm": "l1"},
    "cycle_features": {"cycle_features": 3.0},
    "cycle_z": {"cycle_z": 0.5},
    "encoder_weight": {"encoder_weight": 0.3, "cycle_x": 2.0, "gamma": 0.7},
    "an encoder of cycles": {"encoder_weight": 0.0, "cycle_x": 2.0, "cycle_z": 0.5, "packing": 2},
    "contrast": {"contrast": 0.7, "temperature": 0.4},
    "packing": {"packing": 2},
    "packed, all": {"packing": 4, "gamma": 0.7, "cycle_x": 2.0, "cycle_features": 1.0, "cycle_z": 0.5, "contrast": 0.3},
    "unary": {"unary": True},
    "unary, all": {"unary": True, "gamma": 0.7, "packing": 2, "cycle_x": 2.0, "cycle_z": 0.5},
    "symmetric": {"symmetric": True, "gamma": 0.7},
}
ALL_OFF: dict[str, Any] = {"gamma": 0.0, "cycle_x": 0.0, "cycle_norm": "l2", "unary": False}


def built(options: dict[str, Any]) -> dict[str, Any]:
    return {name: options[name] for name in ("packing", "unary", "symmetric") if name in options}


@pytest.mark.parametrize("options", CHOICES.values(), ids=CHOICES)
@pytest.mark.parametrize("objective", LOSSES)
def test_gradients_are_those_of_the_equations(objective: str, options: dict[str, Any]) -> None:
    options = {**ALL_OFF, **options}
    model = lively("fashion", built(options))
    assert_played(objective, model, Batch(torch.rand(B, 1, 28, 28)), **options)


@pytest.mark.parametrize("objective", LOSSES)
def test_a_discriminator_with_batch_norm(objective: str) -> None:
    """The general form, of two backwards, with penalties through batch norm."""
    model = lively("svhn", {})
    assert game(objective, model, **ALL_OFF).couples_batch
    assert_played(objective, model, Batch(torch.rand(2, 3, 32, 32)), **dict(ALL_OFF, cycle_x=1.0))


@pytest.mark.parametrize("packing", [1, 2])
@pytest.mark.parametrize("objective", LOSSES)
def test_conditional(objective: str, packing: int) -> None:
    options: dict[str, Any] = {**ALL_OFF, "gamma": 0.7, "cycle_x": 1.0, "cycle_z": 1.0, "packing": packing}
    model = lively("fashion", built(options), condition_size=CLASSES)
    condition = torch.eye(CLASSES)[torch.arange(B) % CLASSES]
    assert_played(objective, model, Batch(torch.rand(B, 1, 28, 28), condition), **options)


@pytest.mark.parametrize("packing", [1, 2])
@pytest.mark.parametrize("objective", LOSSES)
def test_semi_supervised(objective: str, packing: int) -> None:
    options: dict[str, Any] = {**ALL_OFF, "gamma": 0.7, "packing": packing}
    model = lively("fashion", built(options), classes=CLASSES)
    labelled = Labelled(torch.rand(4, 1, 28, 28), torch.arange(4) % CLASSES)
    figures = assert_played(objective, model, Batch(torch.rand(B, 1, 28, 28), None, labelled), **options)
    assert {"loss_class", "penalty"} <= set(figures)


def test_alice_without_its_cycle_is_the_paper_s_game() -> None:
    model = lively("fashion", {})
    other, batch = copy.deepcopy(model), Batch(torch.rand(B, 1, 28, 28))
    torch.manual_seed(1)
    ALIGame(other).gradients(batch)
    torch.manual_seed(1)
    game("alice", model, cycle_x=0.0).gradients(batch)
    for (name, here), there in zip(model.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(here.grad, there.grad, rtol=1e-6, atol=1e-10, msg=name)


@pytest.mark.parametrize("architecture", ["fashion", "svhn", "mixture", "mnist-mlp", "cifar10"])
def test_penalties_differ_with_gamma_everywhere(architecture: str) -> None:
    """Also through maxout, dropout and batch norm."""
    torch.manual_seed(0)
    model = ALI.from_architecture(architecture).double().train()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=1 / parameter[0].numel() ** 0.5)
    x = torch.rand(2, *model.config.data_shape)
    found = []
    for gamma in (0.0, 1.0, 2.0):
        own = copy.deepcopy(model)
        torch.manual_seed(1)
        game("relativistic", own, gamma=gamma).gradients(Batch(x))
        found.append(flat_gradient(own))
    assert (found[1] - found[0]).norm() > 1e-6 * found[0].norm()
    torch.testing.assert_close(found[2] - found[0], 2 * (found[1] - found[0]), rtol=1e-6, atol=1e-9)


def flat_gradient(model: ALI) -> Tensor:
    gradients = [parameter.grad for parameter in model.part("discriminator").parameters()]
    return torch.cat([gradient.flatten() for gradient in gradients if gradient is not None])


def penalised(gamma: float, device: str = "cpu", **options: Any) -> Tensor:
    """D's gradient in float32 after a whole training step."""
    torch.set_default_dtype(torch.float32)
    torch.manual_seed(0)
    with torch.device(device):
        model = ALI.from_architecture("mixture").train()
        for parameter in model.parameters():
            if parameter.ndim > 1:
                nn.init.normal_(parameter, std=1 / parameter[0].numel() ** 0.5)
        made = game("relativistic", model, gamma=gamma)
        config = TrainConfig(architecture="mixture", dataset="mixture", steps=9, lr=1e-9, **options)
        step = TrainingStep(made, config)
        batch = Batch(torch.rand(16, 2))
        for i in range(5):  # a graph is captured in the fourth
            step.schedule(i, 9)
            torch.manual_seed(1)
            step(batch)
    return flat_gradient(model)


@pytest.mark.slow
def test_penalties_survive_compile() -> None:
    plain, compiled = ([penalised(gamma, compile=way) for gamma in (0.0, 1.0)] for way in (False, True))
    assert (plain[1] - plain[0]).norm() > 0.01 * plain[0].norm()
    torch.testing.assert_close(compiled[1] - compiled[0], plain[1] - plain[0], rtol=1e-3, atol=1e-5)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
@pytest.mark.gpu
@pytest.mark.parametrize("compile", [False, True])
def test_penalties_survive_cuda_graphs(compile: bool) -> None:
    changed = [penalised(1.0, "cuda", **way) - penalised(0.0, "cuda", **way)
               for way in ({"cuda_graphs": True, "compile": compile}, {})]  # fmt: skip
    assert changed[1].norm() > 0
    torch.testing.assert_close(changed[0].norm(), changed[1].norm(), rtol=0.5, atol=0)  # other random numbers


def test_maxout_and_dropout_can_be_differentiated_again() -> None:
    x = torch.randn(3, 6, 2, 2, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda t: LargerOfPair.apply(t * t) ** 2, (x,))

    def masked(t: Tensor) -> Tensor:
        torch.manual_seed(0)
        out: Tensor = CheapMask.apply(t * t, 0.5)
        return out**2

    assert torch.autograd.gradgradcheck(masked, (x,))


class Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


def forbidding(**options: Any) -> nn.Module:
    net = default_registry().get(Discriminator, "mixture").call(**options)
    assert isinstance(net, nn.Module)
    net.get_submodule("joint.0").register_forward_hook(lambda net, given, out: Once.apply(out))
    return net


class Forbidding:
    @hookimpl
    @staticmethod
    def register_discriminators(register: Callable[[Discriminator], None]) -> None:
        register(Discriminator(name="forbidding", build=forbidding))


def test_a_net_that_cannot_be_differentiated_twice() -> None:
    require_second_derivatives(lively("fashion", {}))
    registry = build_registry([], [tiny, Forbidding])
    model = ALI.from_architecture("mixture", parts={"discriminator": "forbidding"}, registry=registry)
    with pytest.raises(OptionError, match=r"'forbidding' cannot be differentiated twice.*objective\.gamma=0"):
        require_second_derivatives(model)


def test_the_penalty_is_in_float32_under_autocast() -> None:
    torch.set_default_dtype(torch.float32)
    torch.manual_seed(0)
    model = ALI.from_architecture("mixture").train()
    seen = []
    model.part("discriminator").register_forward_hook(lambda net, given, out: seen.append(out.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        game("relativistic", model, cycle_x=1.0).gradients(Batch(torch.rand(4, 2)))
    assert seen == [torch.bfloat16, torch.float32]


@pytest.mark.parametrize("name", FAMILIES)
def test_augmentation_passes_gradients_and_stays_deterministic_by_seed(name: str) -> None:
    augment, x = Augment(name, (3, 16, 16)), torch.rand(6, 3, 16, 16)

    def seeded(x: Tensor) -> Tensor:
        torch.manual_seed(3)
        return augment(x)

    assert not torch.equal(seeded(x), x)
    assert torch.equal(seeded(x), seeded(x))
    assert torch.autograd.gradcheck(seeded, (x[:2].requires_grad_(),))


def test_translation_moves_pictures_whole() -> None:
    x = torch.ones(50, 1, 16, 16)
    moved = FAMILIES["translation"](x)
    for picture in moved[:, 0]:
        rows, columns = picture.any(1), picture.any(0)
        assert rows.sum() >= 14
        assert columns.sum() >= 14
        assert torch.equal(picture, (rows[:, None] & columns[None, :]).to(picture.dtype))
    assert len({tuple(picture.flatten().tolist()) for picture in moved}) > 10


def test_augmentation_and_noise_are_of_data_and_samples() -> None:
    model = lively("fashion", {})
    plain = game("alice", model, cycle_x=0.0)
    x = torch.rand(B, 1, 28, 28)
    assert torch.equal(plain._seen(x), x)
    seen: list[Tensor] = []
    noisy = game("alice", model, cycle_x=0.0, augment="colour,cutout", noise="linear:0.2->0@0.5")
    model.part("discriminator").register_forward_pre_hook(lambda net, given: seen.extend(given[0]))
    noisy.gradients(Batch(x))
    assert [len(kind) for kind in seen] == [B, B]
    assert not torch.equal(seen[0], x)
    noisy.schedule(60, 100)
    assert noisy.now["noise"] == 0


def test_contrast_is_for_pictures_and_changes_little() -> None:
    with pytest.raises(OptionError, match="contrast is for pictures"):
        game("relativistic", lively("mixture", {}), contrast=0.5)
    x = torch.rand(20, 3, 24, 32)
    changed = view(x)
    assert changed.shape == x.shape
    assert 0 <= changed.min() <= changed.max() <= 1
    assert all(not torch.equal(one, other) for one, other in zip(changed, x, strict=True))
    temperatures = [game("relativistic", lively("fashion", {}), contrast=0.5, temperature=tau) for tau in (0.1, 1.0)]
    codes = torch.randn(20, 16)
    small, large = (made.contrast.term(torch.rand(20, 1, 28, 28), codes, None).item() for made in temperatures)  # type: ignore[union-attr]
    assert small != large


def test_the_accuracy_of_relativistic_pairs_is_that_of_the_differences() -> None:
    q, p = torch.tensor([5.0, 5.0, -2.0, -2.0]), torch.tensor([4.0, 6.0, -3.0, -1.0])
    assert game("relativistic", lively("fashion", {})).accuracy(q, p) == 0.5
    assert game("alice", lively("fashion", {})).accuracy(q, p) == 0.5
    assert game("relativistic", lively("fashion", {})).accuracy(q, q - 1) == 1


def test_lazy_terms_and_kinds_of_steps() -> None:
    made = game("relativistic", lively("mixture", {}), gamma="cosine:1->0@0.5", penalty_every=3)
    kinds = []
    for step in range(200):
        made.schedule(step, 200)
        assert made.penalised == (step % 3 == 0 and step < 100)
        kinds.append(phase_of(made))
    assert len(set(kinds[100:])) == 1
    assert made.now["gamma"] == 0
    assert made.needs_second_derivatives


@pytest.mark.parametrize("objective", LOSSES)
def test_an_encoder_that_settles_moves_alone(objective: str) -> None:
    options: dict[str, Any] = {**ALL_OFF, "gamma": 0.7, "cycle_x": 2.0, "cycle_z": 0.5, "contrast": 0.3}
    model, x = lively("fashion", {}), torch.rand(B, 1, 28, 28)
    torch.manual_seed(1)
    z, posterior = model.prior(B), model.encode(x)
    z_hat = posterior.sample()
    x_tilde = model.likelihood(z).sample().detach()
    loss = 2 * mse_loss(model.decode(z_hat), x) + 0.5 * (z - model.encode(x_tilde).sample()).square().mean()
    similar = (
        torch.nn.functional.cosine_similarity(model.encode(view(x)).mean[:, None], posterior.mean[None], dim=2) / 0.2
    )
    loss = loss - 0.3 * (similar.diagonal() - similar.logsumexp(1)).mean()
    expected = torch.autograd.grad(loss, list(model.part("encoder").parameters()))
    played = game(objective, model, **options, settle=0.2)
    played.schedule(80, 100)
    torch.manual_seed(1)
    assert set(played.gradients(Batch(x))) == {"cycle_x", "cycle_z", "contrast"}
    for parameter, gradient in zip(model.part("encoder").parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-6, atol=1e-10)
    assert all(
        parameter.grad is None for net in ("decoder", "discriminator") for parameter in model.part(net).parameters()
    )


def test_settling_is_the_end_of_a_run_and_needs_a_cycle() -> None:
    made = game("relativistic", lively("fashion", {}), cycle_z=1.0, settle=0.2)
    settling = []
    for step in range(50):
        made.schedule(step, 50)
        settling.append(made.settling)
    assert settling == [False] * 40 + [True] * 10
    for options in ({}, {"cycle_x": "cosine:1->0"}, {"contrast": 0.5}):
        with pytest.raises(OptionError, match=r"settle is 0\.2, but no cycle is left"):
            game("relativistic", lively("fashion", {}), settle=0.2, **options)
        with pytest.raises(OptionError, match=r"encoder_weight is 0, but no cycle is left"):
            game("relativistic", lively("fashion", {}), encoder_weight=0.0, **options)
    late = {"cycle_x": "step:1->0@0.85", "cycle_z": "step:0->1@0.9"}
    with pytest.raises(OptionError, match=r"settle is 0\.2, but no cycle has a weight yet after 0\.85 of the run"):
        game("relativistic", lively("fashion", {}), settle=0.2, **late)
    assert game("relativistic", lively("fashion", {}), settle=0.1, **late).settle == 0.1


def test_a_short_settling_takes_place() -> None:
    made = game("relativistic", lively("fashion", {}), cycle_z=1.0, settle=0.004)
    settling = []
    for step in range(1000):
        made.schedule(step, 1000)
        settling.append(made.settling)
    assert settling == [False] * 996 + [True] * 4


def test_what_holds_still_stands_at_its_averages(tmp_path: Path) -> None:
    torch.set_default_dtype(torch.float32)
    options = {"architecture": "fashion", "objective": "relativistic", "steps": 20, "batch_size": 10, "device": "cpu",
               "ema_half_life": 50, "checkpoint_every": 5, "keep": 9, "lr": 1e-3, "sample_every": 100,
               "settings": {"objective": {"gamma": 0.0, "cycle_x": 5.0, "settle": 0.5}}}  # fmt: skip
    prepare(options, tmp_path / "run").run()
    kept = {step: load_file(checkpoint.found(tmp_path / "run")[-1 - (20 - step) // 5] / checkpoint.TENSORS)
            for step in (10, 15, 20)}  # fmt: skip
    before, first, last = kept.values()
    still = [f"model.{kind}.{name}" for kind in ("decoder", "discriminator")
             for name, _ in ALI.from_architecture("fashion").part(kind).named_parameters()]  # fmt: skip
    moving = [name for name in first if name.startswith("model.encoder.")]
    assert still
    for name in still:
        torch.testing.assert_close(last[name], before[name.replace("model.", "average.")], msg=name)
    assert any(not torch.equal(before[name], first[name]) for name in still)
    assert all(not torch.equal(first[name], last[name]) for name in moving if name.endswith("weight"))


def test_phases_of_the_post_hoc_game_are_kinds_of_steps() -> None:
    played = PostHocGame(lively("mixture", {}))
    kinds = []
    for step in range(6):
        played.schedule(step, 6)
        kinds.append(phase_of(played))
    assert len(set(kinds[:3])) == len(set(kinds[3:])) == 1
    assert kinds[0] != kinds[3]


def test_schedules() -> None:
    cosine = Schedule.of("cosine:1->0.1")
    assert [round(cosine.at(share), 4) for share in (0, 0.5, 1)] == [1, 0.55, 0.1]
    burn_in = Schedule.of("linear:0.9->0.99@0.2")
    assert [round(burn_in.at(share), 4) for share in (0, 0.1, 0.2, 0.9)] == [0.9, 0.945, 0.99, 0.99]
    assert Schedule.of(3).at(0.7) == 3
    step = Schedule.of("step:2->6@0.75")
    assert [step.at(share) for share in (0, 0.74, 0.75, 0.99)] == [2, 2, 6, 6]


@pytest.mark.parametrize(
    "text", ["", "x", "cosine", "cosine:1", "step:1->2", "cosine:1->", "cosine:1->2@0", "cosine:1->2@1.5",
             "cosine:1->nan", "cosine:1->1e999", "linear:1->2@", "cosine:1->2->3"],
)  # fmt: skip
def test_no_schedules(text: str) -> None:
    with pytest.raises(ValueError, match="schedule"):
        Schedule.of(text)


def test_a_packed_discriminator_gives_each_pair_a_logit_in_evaluation() -> None:
    model = lively("fashion", {"packing": 4})
    x, z = torch.rand(4, 1, 28, 28), torch.randn(4, 16)
    assert model.discriminate(x, z).shape == (1,)
    model.eval()
    logits = model.discriminate(x, z)
    assert logits.shape == (4,)
    model.part("discriminator").training = True
    alone = model.discriminate(x[2:3].expand(4, -1, -1, -1), z[2:3].expand(4, -1))
    torch.testing.assert_close(logits[2:3], alone)


def test_squared_gradients_of_a_known_function() -> None:
    x, z = torch.randn(5, 3), torch.randn(5, 2)
    found = squared_gradients(lambda x, z: (x**2).sum(1) + 3 * z.sum(1), x, z)
    torch.testing.assert_close(found, (4 * x.square().sum() + 18 * 5) / 5)
