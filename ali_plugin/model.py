"""ALI: an encoder, a decoder and a discriminator of pairs, as one module."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from ali_plugin.config.compose import build_parts, compose_by_recipe, without
from ali_plugin.config.conditions import alone
from ali_plugin.config.model_config import PARTS, ModelConfig
from ali_plugin.errors import OptionError, PartMismatch
from ali_plugin.folder import model_folder
from ali_plugin.hub import download as hub
from ali_plugin.nets import latents, state
from ali_plugin.nets.distribution import Posterior, as_posterior, noise_like
from ali_plugin.scoring import DEFAULT, Scoring, Training
from ali_plugin.support.devices import float32_by_default
from ali_plugin.support.memory import needed
from ali_registry import Registry, default_registry

AT_ONCE = 250  # samples that are worked on at once, which bounds the memory of a large number


class ALI(nn.Module):
    """Adversarially learned inference (Dumoulin et al., 2017; BiGAN, Donahue et al., 2017).

    Data x are (B, *data_shape), pictures in [0, 1] with channels first; latents z are (B, latent_size)
    with the prior N(0, I); a condition, where the model has one, is (B, condition_size).

    Attributes:
        encoder, decoder, discriminator: the nets; None for one that was not loaded.
        config: what is needed to build them again.
        registry: where the parts were looked up, None for the default one.
    """

    encoder: nn.Module | None
    decoder: nn.Module | None
    discriminator: nn.Module | None

    def __init__(self, config: ModelConfig, **parts: nn.Module) -> None:
        super().__init__()
        self.registry: Registry | None = None
        self.config = without(config, *(kind for kind in PARTS if kind not in parts))
        for kind in PARTS:
            self.register_module(kind, parts.get(kind))

    @classmethod
    def from_config(cls, config: ModelConfig, registry: Registry | None = None) -> ALI:
        """Build freshly initialised nets, in training mode, on the current default device."""
        model = cls(config, **build_parts(config, registry or default_registry()))
        model.registry = registry
        return model

    @classmethod
    def from_architecture(cls, name: str, *, registry: Registry | None = None, **options: Any) -> ALI:
        """Build an untrained model of a registered architecture.

        Args:
            name: as ``ali list architecture`` shows it.
            options: see ``ali_plugin.config.compose.compose``: ``parts``, ``arguments`` (over those of the recipe),
                ``latent_size``, ...

        Raises:
            UnknownName: nothing registers that name.
            PartMismatch: a replaced part does not fit.
        """
        registry = registry or default_registry()
        return cls.from_config(compose_by_recipe(name, registry=registry, **options), registry)

    def rebuilt(self, parts: Collection[str] = PARTS) -> ALI:
        """The same nets built anew, with this model's weights, device and type, in eval mode.

        Nets may hold what ``copy.deepcopy`` cannot copy, and wrappers that a copy should not have. The caller's random
        numbers stay as they are.

        Args:
            parts: those to build; the others are None.
        """
        with torch.random.fork_rng(devices=[]), torch.device("cpu"), float32_by_default():
            built = build_parts(self.config, self.registry or default_registry(), parts)
        made = ALI(self.config, **built).to(self.device, self.dtype)
        made.registry = self.registry
        own = {name: tensor for name, tensor in state.named(self).items() if name.split(".")[0] in built}
        state.load(made, own, keep_type=True)
        return made.eval()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "registry": None}  # its plugins are modules, which cannot be copied or pickled

    # The methods below keep the names and arguments of huggingface_hub's PyTorchModelHubMixin without being
    # it: it reads the config unchecked, loads weights without strict=True, and knows no separate parts.

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
        force_download: bool = False,
        parts: Collection[str] = PARTS,
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = torch.float32,
        registry: Registry | None = None,
    ) -> ALI:
        """Load a model folder (also one of a diffusers pipeline), a run folder, a released model or one on the Hub.

        Nothing that comes with it is run or unpickled, and the weights' shapes are compared with what the
        config implies before memory is taken for them. The model is in eval mode.

        Args:
            pretrained_model_name_or_path: a folder, else the name of a released model (``ali list model``), else
                ``user/name`` or ``user/name@revision``.
            revision: a branch, tag or commit.
            token: for a private model; None for the one of ``hf auth login`` or HF_TOKEN.
            cache_dir: where downloads are kept, None for the client's own place.
            local_files_only: take it from the cache, without a connection.
            parts: those to read; the others' weights stay on the disk, and their attributes are None.
            dtype: of the weights, None for what the file has.

        Raises:
            HubError: it cannot be had from the Hub.
            FolderError, ConfigError, WeightsError: the folder, its config or its weights are not sound.
            FolderError: a part comes from a plugin that is not installed; the text says which to install.
        """
        folder = hub.locate(
            pretrained_model_name_or_path,
            revision=revision,
            token=token,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            force_download=force_download,
        )
        config, nets = model_folder.read(folder, parts, device=device, dtype=dtype, registry=registry)
        model = cls(config, **nets)
        model.registry = registry
        return model.eval()

    def save_pretrained(self, save_directory: str | Path) -> None:
        """Write config.json and model.safetensors, each replaced as a whole."""
        model_folder.write(Path(save_directory), self.config, self.nets)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        commit_message: str = "Upload an ALI model",
        private: bool | None = None,
        token: str | bool | None = None,
        revision: str | None = None,
        create_pr: bool = False,
        registry: Registry | None = None,
    ) -> str:
        """Publish the model with a card, in one commit, and return the URL of the commit or pull request.

        A folder with pictures, evaluation and training record is published by ``ali push`` instead: what is
        on the Hub of these is of other weights and goes.

        Args:
            private: of a repository that does not exist yet.
            revision: a branch, made if need be.

        Raises:
            HubError: the Hub refuses or cannot be reached; nothing of the commit is there.
        """
        from ali_plugin.folder.checked import check
        from ali_plugin.hub.publish import push

        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder)
            return push(
                check(Path(folder), registry),
                repo_id,
                private=private,
                revision=revision,
                create_pr=create_pr,
                message=commit_message,
                token=token,
            ).commit_url

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The type of the weights, which data, latents and conditions have to have."""
        return next(self.parameters()).dtype

    @property
    def nets(self) -> dict[str, nn.Module]:
        """The parts that were built or loaded, by kind."""
        return {kind: net for kind in PARTS if (net := getattr(self, kind)) is not None}

    def part(self, kind: str) -> nn.Module:
        """The encoder, decoder or discriminator; OptionError if it was not loaded."""
        net = getattr(self, kind)
        if net is None:
            raise OptionError(f"this model has no {kind}; it was exported or loaded without it")
        return cast(nn.Module, net)

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
