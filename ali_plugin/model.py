"""ALI: an encoder, a decoder and a discriminator of pairs, as one module."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor

from ali_plugin.config.conditions import alone
from ali_plugin.errors import OptionError, PartMismatch
from ali_plugin.nets import latents
from ali_plugin.nets.distribution import Posterior, as_posterior, noise_like
from ali_plugin.parts import Parts
from ali_plugin.scoring import DEFAULT, Scoring, Training
from ali_plugin.support.memory import needed

AT_ONCE = 250  # samples that are worked on at once, which bounds the memory of a large number


class ALI(Parts):
    """Adversarially learned inference (Dumoulin et al., 2017; BiGAN, Donahue et al., 2017).

    Data x are (B, *data_shape), pictures in [0, 1] with channels first; latents z are (B, latent_size)
    with the prior N(0, I); a condition, where the model has one, is (B, condition_size). ``Parts`` is how a model
    is built, loaded, saved and published.
    """

    def encode(self, x: Tensor, condition: Tensor | None = None) -> Posterior:
        """q(z|x) for x (B, *data_shape): a distribution over (B, latent_size) (section 2)."""
        self._check(x, self.config.data_shape, "data")
        return as_posterior(self.part("encoder")(x, *self._optional(condition)))

    def likelihood(self, z: Tensor, condition: Tensor | None = None) -> Posterior:
        """p(x|z) for z (B, latent_size): a distribution over (B, *data_shape), usually a point mass."""
        self._check(z, (self.config.latent_size,), "latents")
        return as_posterior(self.part("decoder")(z, *self._optional(condition)))

    def decode(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """The mean of p(x|z): data (B, *data_shape) for z (B, latent_size)."""
        return self.likelihood(z, condition).mean

    def class_logits(self, x: Tensor, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """The discriminator's outputs (B, classes) on pairs (section 4.3; one class in the usual game)."""
        self._check(x, self.config.data_shape, "data")
        self._check(z, (self.config.latent_size,), "latents")
        return cast(Tensor, self.part("discriminator")(x, z, *self._optional(condition)))

    def discriminate(self, x: Tensor, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """The logit (B,) of D(x, z); positive: looks like a pair of the encoder (section 2)."""
        return pair_logit(self.class_logits(x, z, condition))

    @torch.no_grad()
    def classify(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """The class (B,) that a semi-supervised model gives each x, from D's logits at the posterior mean.

        Raises:
            OptionError: the discriminator does not tell classes apart.
        """
        if self.config.classes < 2:
            raise OptionError("this model's discriminator does not tell classes apart")
        return self.class_logits(x, self.encode(x, condition).mean, condition).argmax(1)

    def score(
        self,
        x: Tensor,
        scorer: str = DEFAULT,
        condition: Tensor | None = None,
        *,
        training: Training | Tensor | None = None,
        **options: Any,
    ) -> Tensor:
        """How strange each of x (B, *data_shape) is: (B,), higher is stranger.

        Args:
            scorer: as ``ali list scorer`` shows it; options: its own, as ``ali show`` does.
            training: of a scorer that compares with training data: x (N, *data_shape), or batches of x and condition.
                ``ali_plugin.scoring.Scoring`` looks at them once for many calls.

        Raises:
            UnknownName: nothing registers the scorer.
            OptionError: it has no such option, or compares with training data and is given none.
            DataError: x has numbers that are NaN or infinite.
        """
        scoring = Scoring(self, scorer, options, self.registry)
        if training is not None:
            scoring.fit(training)
        return scoring(x, condition)

    @torch.no_grad()
    @needed("the reconstructions")
    def reconstruct(
        self, x: Tensor, condition: Tensor | None = None, *, generator: torch.Generator | None = None
    ) -> Tensor:
        """x -> mean of q(z|x) -> x, or through a draw of q(z|x), as in the paper, given a generator."""
        posterior = self.encode(x, condition)
        z = posterior.mean if generator is None else posterior.sample(generator)
        return self.decode(z, condition)

    @torch.no_grad()
    @needed("the samples")
    def sample(
        self,
        n: int,
        condition: Tensor | None = None,
        *,
        truncation: float | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """n draws (n, *data_shape) of the model, with z from the prior.

        Args:
            truncation, generator: see ``prior``.
        """
        if n < 1:
            raise OptionError(f"cannot draw {n} samples, at least 1")
        return self.decode(self.prior(n, generator, truncation), condition)

    @torch.no_grad()
    def vary_condition(self, z: Tensor, columns: Tensor | None = None) -> Tensor:
        """Decode each z (N, L) with each of K conditions, in parts: (N K, *data_shape) on the CPU, z by z.

        Args:
            columns: the conditions (K, condition_size); None for each element of the condition alone, which are
                made as they are needed, as all of a large condition would be a square of its size.
        """
        count = self.config.condition_size if columns is None else len(columns)
        made = []
        with needed(f"{len(z)} samples under {count} conditions"):
            for start in range(0, len(z) * count, AT_ONCE):
                pairs = torch.arange(start, min(start + AT_ONCE, len(z) * count))
                number = pairs % count
                condition = alone(number, self.config) if columns is None else columns[number.to(columns.device)]
                made.append(self.decode(z[(pairs // count).to(z.device)], condition.to(z.device, z.dtype)).cpu())
            return torch.cat(made)

    @torch.no_grad()
    @needed("the paths")
    def interpolate(self, a: Tensor, b: Tensor, steps: int, condition: Tensor | None = None) -> Tensor:
        """Decode ``steps`` points on the line between the codes of a and b (section 4.2).

        Args:
            a, b: (B, *data_shape).

        Returns:
            (B, steps, *data_shape); the first and last are the reconstructions of a and b.
        """
        z = latents.lines(self.encode(a, condition).mean, self.encode(b, condition).mean, steps)
        repeated = None if condition is None else condition.repeat_interleave(steps, 0)
        paths = self.decode(z.flatten(0, 1), repeated)
        return paths.reshape(len(a), steps, *paths.shape[1:])

    @torch.no_grad()
    @needed("the traversals")
    def traverse(
        self,
        directions: int | Sequence[int] = 8,
        steps: int = 9,
        reach: float = 3.0,
        *,
        z: Tensor | None = None,
        condition: Tensor | None = None,
    ) -> tuple[Tensor, list[int]]:
        """Decode z while one of its elements at a time goes from -reach to reach; see ``latents.traversal``.

        Args:
            z: where the other elements stay, (1, latent_size); the prior's mean if None.
            condition: (1, condition_size).

        Returns:
            (directions, steps, *data_shape) on the CPU, and which element each of the directions is.
        """
        start = torch.zeros(1, self.config.latent_size, device=self.device, dtype=self.dtype) if z is None else z
        self._check(start, (self.config.latent_size,), "latents")

        def decode(points: Tensor) -> Tensor:
            return self.decode(points, None if condition is None else condition.expand(len(points), -1)).cpu()

        return latents.traversal(decode, start, directions, steps, reach)

    @torch.no_grad()
    def neighbours(
        self,
        x: Tensor,
        among: Tensor,
        count: int = 8,
        condition: Tensor | None = None,
        among_condition: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The nearest of ``among`` (N, *data_shape) to each of x (B, *data_shape), by the means of q(z|x).

        Returns:
            Euclidean distances and indices, (B, count) each, nearest first; (B, N) where N is less.
        """
        return latents.nearest(self.encode(x, condition).mean, self.encode(among, among_condition).mean, count)

    def prior(self, n: int, generator: torch.Generator | None = None, truncation: float | None = None) -> Tensor:
        """n draws (n, latent_size) of N(0, I) on the model's device.

        Args:
            generator: drawn from on its own device: a CPU generator's seed gives one z whatever the model's device.
            truncation: the largest size of an element, as ``latents.truncated`` has it; None for no end.
        """
        z = noise_like(torch.empty(n, self.config.latent_size, device=self.device, dtype=self.dtype), generator)
        return z if truncation is None else latents.truncated(z, truncation)

    def _optional(self, condition: Tensor | None) -> tuple[Tensor, ...]:
        # An unconditional net of a plugin need not have the argument at all.
        if not self.config.condition_size and condition is None:
            return ()
        if condition is None or condition.shape[1:] != (self.config.condition_size,):
            got = "none" if condition is None else f"one of shape {tuple(condition.shape)}"
            raise PartMismatch(f"the model takes a condition (B, {self.config.condition_size}), got {got}")
        return (condition.to(self.dtype),)

    def _check(self, tensor: Tensor, shape: tuple[int, ...], what: str) -> None:
        if tuple(tensor.shape[1:]) != shape:
            raise PartMismatch(f"the model takes {what} (B, {', '.join(map(str, shape))}), got {tuple(tensor.shape)}")


def pair_logit(class_logits: Tensor) -> Tensor:
    """The logit of D = Z / (Z + 1), Z = sum of exp of the class logits: (B, K) -> (B,) (section 4.3)."""
    return class_logits.squeeze(1) if class_logits.shape[1] == 1 else class_logits.logsumexp(1)
