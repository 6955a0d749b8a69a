"""What adversarial games of pairs share: predictions, judgement, penalties, cycles; a game adds its two losses."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from ali_plugin.config.schedule import LEVELS, Schedule, progress
from ali_plugin.errors import OptionError
from ali_plugin.model import ALI, pair_logit
from ali_plugin.nets.distribution import Posterior
from ali_plugin.nets.protocol import offers
from ali_plugin.objectives.augment import Augment
from ali_plugin.objectives.contrast import Contrast
from ali_plugin.objectives.cycle import Cycle, Norm, Through, Weights
from ali_plugin.objectives.game import Batch, Game, parameters
from ali_plugin.objectives.known import backward, gradient_of
from ali_plugin.objectives.penalty import squared_gradients
from ali_plugin.objectives.semi_supervised import class_gradients

SMALLEST_WEIGHT = 1e-12  # of a judgement in D's backward: its gradient is negligible, the ratio stays finite
Pairs = tuple[Tensor, Tensor]


class AdversarialGame(Game):
    """A game of D against E and G on encoder pairs q = (x, E(x)) and decoder pairs p = (G(z), z).

    A subclass says the losses of both sides, functions of the scores of q and p; with ``unary`` there are three
    scores, s_x, s_z and s_xz, and the losses of all are summed. Beside its loss,

    - D minimises gamma/2 |grad f(q)|^2 (R1) + gamma/2 |grad f(p)|^2 (R2) for the sum f of its scores, every
      ``penalty_every`` steps and as many times as strongly,
    - E and G minimise the cycles of ``Cycle``, E also ``Contrast``, with their weights,
    - E takes ``encoder_weight`` times the gradient of the game's loss, G all of it,
    - with labels, a K-class D also minimises the cross-entropy of labelled encoder pairs.

    In the last ``settle`` of the run D and G hold still, at their averaged weights where there are any, and E alone
    follows its terms: what a moving generator keeps it from (in-domain inversion, Zhu et al., 2020, begins there).

    Args:
        gamma, cycle_x, cycle_features, cycle_z, contrast, noise: numbers or schedules over the run.
        penalty: R1, R2 or both.
        penalty_share: of the batch that is penalised, the first of its pairs.
        cycle_norm, cycle_through: see ``Cycle``; temperature: see ``Contrast``.
        packing, symmetric, unary: what D has to be built with; see ``TableDiscriminator``.
        augment: families of transformations of what D sees; see ``Augment``.
        noise: deviation of Gaussian noise on the x that D sees, in x's own units.
        settle: share of the run, its last.

    Raises:
        OptionError: the discriminator does not have what is asked of it, or nothing is left for E to follow.
    """

    def __init__(
        self,
        model: ALI,
        *,
        gamma: float | str = 0.0,
        penalty: Literal["r1", "r2", "both"] = "both",
        penalty_every: int = 1,
        penalty_share: float = 1.0,
        cycle_x: float | str = 0.0,
        cycle_features: float | str = 0.0,
        cycle_z: float | str = 0.0,
        cycle_norm: Norm = "l2",
        cycle_through: Through = "draw",
        encoder_weight: float = 1.0,
        contrast: float | str = 0.0,
        temperature: float = 0.2,
        packing: int = 1,
        symmetric: bool = False,
        unary: bool = False,
        augment: str = "",
        noise: float | str = 0.0,
        settle: float = 0.0,
    ) -> None:
        super().__init__(model)
        self.encoder, self.decoder = model.part("encoder"), model.part("decoder")
        self.discriminator = model.part("discriminator")
        offered = offers(self.discriminator)
        self.couples_batch, self.takes_kinds = offered.couples_batch, offered.takes_kinds
        self.packing, self.unary = packing, unary
        self._refuse_unlike_discriminator(packing=packing, symmetric=symmetric, unary=unary)
        given = {"gamma": gamma, "cycle_x": cycle_x, "cycle_features": cycle_features, "cycle_z": cycle_z,
                 "contrast": contrast, "noise": noise}  # fmt: skip
        self._schedules = {name: Schedule.of(value) for name, value in given.items()}
        self.needs_second_derivatives = any(self._schedules["gamma"].ends)
        self.penalty, self.penalty_every, self.penalty_share = penalty, penalty_every, penalty_share
        self.augment = Augment(augment, model.config.data_shape)
        features = self._features(any(self._schedules["cycle_features"].ends))
        self.cycle = Cycle(model, cycle_norm, cycle_through, features)
        self.contrast = Contrast(model, temperature) if any(self._schedules["contrast"].ends) else None
        self.encoder_weight, self.settle = encoder_weight, settle
        self._refuse_idle_encoder()
        self.schedule(0, 1)

    @abstractmethod
    def losses(self, q: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
        """The losses of D and of E and G, scalars, from the scores (N,) of encoder pairs and of decoder pairs."""

    def accuracy(self, q: Tensor, p: Tensor) -> Tensor:
        """The share of judgements in which D is right, from the same scores."""
        return ((q > 0).float().mean() + (p < 0).float().mean()) / 2

    def players(self) -> dict[str, list[torch.nn.Parameter]]:
        return {
            "discriminator": parameters(self.discriminator),
            "generator": parameters(self.encoder, self.decoder),
        }

    def schedule(self, step: int, total_steps: int) -> None:
        share = progress(step, total_steps)
        self.now = {name: schedule.at(share) for name, schedule in self._schedules.items()}
        self.penalised = self.now["gamma"] > 0 and step % self.penalty_every == 0
        self.settling = step >= (1 - self.settle) * total_steps
        self.still = ("decoder", "discriminator") if self.settling else ()

    def check(self, batch_size: int) -> None:
        if batch_size % self.packing:
            raise OptionError(
                f"objective.packing is {self.packing}, which does not divide the {batch_size} samples of a step; take "
                f"another --batch-size, such as {-(-batch_size // self.packing) * self.packing}"
            )

    def gradients(self, batch: Batch) -> dict[str, Tensor]:
        model, x, condition = self.model, batch.x, batch.condition
        z = model.prior(len(x))
        posterior = model.encode(x, condition)
        z_hat = posterior.sample()
        with torch.set_grad_enabled(not self.settling):
            x_tilde = model.likelihood(z, condition).sample()
        figures: dict[str, Tensor] = {}
        ends: list[Tensor] = []
        outward: list[Tensor] = []
        if not self.settling:
            x_leaf, z_leaf = (fake.detach().requires_grad_() for fake in (x_tilde, z_hat))
            figures = self._judge(batch, (x_leaf, z_leaf), z)
            ends, outward = [x_tilde, z_hat], [gradient_of(x_leaf), self.encoder_weight * gradient_of(z_leaf)]
        for name, (weight, term) in self._terms((x, z), (posterior, z_hat), x_tilde, condition).items():
            ends.append(term)
            outward.append(torch.full_like(term, weight))
            figures[name] = term.detach()
        moving = (self.encoder,) if self.settling else (self.encoder, self.decoder)
        backward(ends, outward, parameters(*moving))
        return figures

    def _judge(self, batch: Batch, leaves: Pairs, z: Tensor) -> dict[str, Tensor]:
        """Put D's whole gradient into its parameters, and that of E's and G's loss into the leaves x~ and z^."""
        x_leaf, z_leaf = leaves
        # What D sees: one family of transformations for data and samples.
        seen, pairs_z = (self._seen(batch.x), self._seen(x_leaf)), (z_leaf, z)
        figures = self._follow(self._scores(seen, pairs_z, batch.condition), leaves)
        if self.penalised:
            figures["penalty"] = self._penalise(seen, pairs_z, batch.condition)
        if self.model.config.classes > 1:
            figures |= class_gradients(self.model, batch.labelled)
        return figures

    def _seen(self, x: Tensor) -> Tensor:
        x = self.augment(x)
        return x + self.now["noise"] * torch.randn_like(x) if self.now["noise"] else x

    def _scores(self, x: Pairs, z: Pairs, condition: Tensor | None) -> list[Tensor]:
        """D's scores (2N,), those of q first, in float32 at least; one of them, or with ``unary`` three."""
        both = None if condition is None else torch.cat([condition, condition])
        pairs = (x, z) if self.takes_kinds else (torch.cat(x), torch.cat(z))
        judge = self.discriminator.scores if self.unary else self.discriminator
        found = judge(*pairs) if both is None else judge(*pairs, both)  # type: ignore[operator]
        outputs: tuple[Tensor, ...] = found if self.unary else (found,)
        # Under autocast they come in half precision; losses are never taken there.
        return [pair_logit(one.to(torch.promote_types(one.dtype, torch.float32))) for one in outputs]

    def _follow(self, scores: list[Tensor], leaves: Pairs) -> dict[str, Tensor]:
        """Put D's gradient of its loss into its parameters, and that of E's and G's loss into the leaves."""
        apart = [one.detach().requires_grad_() for one in scores]
        losses = [self.losses(*one.chunk(2)) for one in apart]
        loss_d, loss_g = (torch.stack(side).sum() for side in zip(*losses, strict=True))
        of_d, of_g = torch.autograd.grad(loss_d, apart), torch.autograd.grad(loss_g, apart)
        own = parameters(self.discriminator)
        if self.couples_batch or len(scores) > 1:
            backward(scores, of_g, leaves, retain_graph=True)
            backward(scores, of_d, own)
        else:
            # Both losses reach the input of a judgement through one Jacobian, so that one backward gives both
            # gradients: the second is the first times the ratio (one-stage GANs, Shen et al., 2021).
            smallest = torch.full_like(of_d[0], SMALLEST_WEIGHT).copysign(of_d[0])
            weights = torch.where(of_d[0].abs() < SMALLEST_WEIGHT, smallest, of_d[0])
            backward(scores, [weights], [*leaves, *own])
            of_q, of_p = (of_g[0] / weights).repeat_interleave(self.packing).chunk(2)
            for leaf, ratio in zip(leaves, (of_p, of_q), strict=True):
                gradient_of(leaf).mul_(ratio.reshape(-1, *[1] * (leaf.ndim - 1)).to(leaf.dtype))
        q, p = apart[-1].detach().chunk(2)
        return {
            "loss_discriminator": loss_d.detach(),
            "loss_generator": loss_g.detach(),
            "accuracy_discriminator": self.accuracy(q, p),
        }

    def _penalise(self, x: Pairs, z: Pairs, condition: Tensor | None) -> Tensor:
        """Add the gradient of the penalties to D's parameters; returns the mean of the squared norms."""
        sides = {"r1": (0,), "r2": (1,), "both": (0, 1)}[self.penalty]
        rows = max(1, int(self.penalty_share * len(x[0]) / self.packing)) * self.packing
        both = None if condition is None else torch.cat([condition[:rows]] * len(sides))
        # The mean over the judgements of all sides, and a penalty for each of them.
        some_x, some_z = (torch.cat([kind[i][:rows] for i in sides]) for kind in (x, z))
        found = squared_gradients(partial(self._summed, condition=both), some_x, some_z)
        weight = len(sides) * self.penalty_every * self.now["gamma"] / 2
        (weight * found).backward(inputs=parameters(self.discriminator))
        return found.detach()

    def _summed(self, x: Tensor, z: Tensor, condition: Tensor | None) -> Tensor:
        """f, the sum of D's scores: (N,)."""
        if not self.unary:
            return self.model.discriminate(x, z, condition)
        outputs: tuple[Tensor, ...] = self.discriminator.scores(x, z, condition)  # type: ignore[operator]
        return torch.stack([pair_logit(one) for one in outputs]).sum(0)

    def _terms(
        self, batch: Pairs, q: tuple[Posterior, Tensor], x_tilde: Tensor, condition: Tensor | None
    ) -> dict[str, tuple[float, Tensor]]:
        """What E and G, or E alone, minimise beside the game's loss, with the weights of now."""
        weights = Weights(self.now["cycle_x"], self.now["cycle_features"], self.now["cycle_z"])
        terms = self.cycle.terms(weights, batch, q, x_tilde, condition)
        if self.contrast is not None and self.now["contrast"]:
            terms["contrast"] = (self.now["contrast"], self.contrast.term(batch[0], q[0].mean, condition))
        return terms

    def _features(self, asked: bool) -> Callable[[Tensor], Tensor] | None:
        features = offers(self.discriminator).x_features
        if asked and features is None:
            raise OptionError(f"{self._named()} gives no features of x; leave objective.cycle_features at 0")
        return features

    def _refuse_idle_encoder(self) -> None:
        cycles = [self._schedules[name] for name in ("cycle_x", "cycle_features", "cycle_z")]
        if any(cycle.end for cycle in cycles):
            self._refuse_idle_while_settling(cycles)
            return
        for name, value, usual in (("settle", self.settle, 0), ("encoder_weight", self.encoder_weight, 1)):
            if bool(value) != bool(usual):
                raise OptionError(
                    f"objective.{name} is {value:g}, but no cycle is left at the end of the run that the encoder could "
                    f"follow alone; set objective.cycle_x or objective.cycle_z, or leave it at {usual}"
                )

    def _refuse_idle_while_settling(self, cycles: list[Schedule]) -> None:
        """Of cycles that end above 0: they may begin too late."""
        first = math.floor(round((1 - self.settle) * LEVELS, 6))
        for share in (level / LEVELS for level in range(first, LEVELS)):
            if not any(cycle.at(share) for cycle in cycles):
                raise OptionError(
                    f"objective.settle is {self.settle:g}, but no cycle has a weight yet after {share:g} of the run, "
                    "where the encoder would move alone; let one begin earlier, or settle later"
                )

    def _refuse_unlike_discriminator(self, **asked: int) -> None:
        for name, value in asked.items():
            built = getattr(offers(self.discriminator), name)
            if built != value:
                raise OptionError(
                    f"objective.{name} is {str(value).lower()}, but {self._named()} is built with {str(built).lower()}"
                )

    def _named(self) -> str:
        part = self.model.config.discriminator
        return f"discriminator {part.name if part else ''!r}"
