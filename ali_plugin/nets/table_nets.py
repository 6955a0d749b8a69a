"""Encoders, decoders and discriminators built from tables of layers."""

from __future__ import annotations

from math import prod
from typing import Any, cast

import torch
from torch import Tensor, nn

from ali_plugin.errors import PartMismatch
from ali_plugin.nets.distribution import DiagonalGaussian, Implicit, Posterior
from ali_plugin.nets.layers import Kinds, Layer
from ali_plugin.nets.packing import packed
from ali_plugin.nets.tables import DecoderTable, DiscriminatorTable, EncoderTable, NetTable, Table

CLIP = 1e-7  # of the mean before its log-odds are taken (paper.md section 3)


def stack(rows: Table, shape: tuple[int, ...], maps: int | None = None) -> nn.Sequential:
    """Chain rows from an input shape; ``maps`` fills the last row's open maps."""
    layers = nn.Sequential()
    for row in rows:
        layers.append(Layer(row, shape, maps))
        shape = cast(Layer, layers[-1]).shape_out
    return layers


def shape_out(layers: nn.Sequential, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Output shape of a stack that is fed ``shape``."""
    return cast(Layer, layers[-1]).shape_out if len(layers) else shape


def joined(layers: nn.Sequential, kinds: tuple[Tensor, ...]) -> Tensor:
    """A stack's output on kinds of samples, concatenated: layers(torch.cat(kinds)).

    Samples do not meet before the first batch norm. Up to there every kind passes alone, so that a gradient
    which only one kind's input asks for costs the work of that kind. Where there is no batch norm, all kinds'
    gradients are asked for in one backward, except that of the first operation's input.
    """
    if not len(layers):
        return torch.cat(kinds)
    meeting = next((i for i, layer in enumerate(layers) if cast(Layer, layer).row.norm), 0)
    for layer in layers[:meeting]:
        kinds = tuple(layer(kind) for kind in kinds)
    together = cast(Tensor, layers[meeting](kinds))
    for layer in layers[meeting + 1 :]:
        together = layer(together)
    return together


def vector_shape(rows: Table, size: int) -> tuple[int, ...]:
    """How a stack takes a vector: as (size,) if it begins with a linear row, else as (size, 1, 1)."""
    return (size,) if not rows or rows[0].operation == "linear" else (size, 1, 1)


def data_shape_in(rows: Table, data_shape: tuple[int, ...]) -> tuple[int, ...]:
    """How a stack takes data: flattened if it begins with a linear row."""
    return (prod(data_shape),) if rows[0].operation == "linear" else data_shape


class TableNet(nn.Module):
    """What the three nets share: the initialisation, and the embedding of a condition (section 4.4)."""

    def __init__(self, condition_size: int, embedding_size: int) -> None:
        super().__init__()
        self.condition_size = condition_size
        self.embedding_size = embedding_size if condition_size else 0
        if condition_size:
            self.embedding = nn.Linear(condition_size, embedding_size, bias=False)

    def embed(self, condition: Tensor | None, like: Tensor) -> list[Tensor]:
        """The embedded condition shaped as features, [(B, E, 1, 1)] or [(B, E)]; [] if unconditional."""
        if not self.condition_size:
            return []
        if condition is None or condition.shape != (len(like), self.condition_size):
            got = None if condition is None else tuple(condition.shape)
            raise PartMismatch(f"the model takes a condition ({len(like)}, {self.condition_size}), got {got}")
        embedded = self.embedding(condition.to(self.embedding.weight.dtype))
        return [embedded.reshape(len(like), -1, *[1] * (like.ndim - 2))]

    def initialise(self, std: float) -> None:
        """Weights N(0, std^2), biases 0 (paper.md section 3)."""
        for module in self.modules():
            if isinstance(module, Layer):
                module.initialise(std)
        if self.condition_size:
            nn.init.normal_(self.embedding.weight, std=std)


class TableEncoder(TableNet):
    """q(z|x) from rows: mu and log sigma, or z itself, or z from x and concatenated noise.

    A condition joins the features before the last row (section 4.4).
    """

    def __init__(
        self,
        table: EncoderTable,
        *,
        data_shape: tuple[int, ...],
        latent_size: int,
        condition_size: int = 0,
        embedding_size: int = 256,
        init_std: float = 0.01,
    ) -> None:
        super().__init__(condition_size, embedding_size)
        self.latent_size, self.posterior, self.noise = latent_size, table.posterior, table.noise
        shape = data_shape_in(table.rows, data_shape)
        self.shape_in = (shape[0] + self.noise, *shape[1:])
        *hidden, last = table.rows
        self.hidden = stack(hidden, self.shape_in)
        channels, *space = shape_out(self.hidden, self.shape_in)
        maps = 2 * latent_size if table.posterior == "gaussian" else latent_size
        self.output = Layer(last, (channels + self.embedding_size, *space), maps)
        if prod(self.output.shape_out[1:]) != 1:
            raise PartMismatch(
                f"the encoder turns {data_shape} into {self.output.shape_out}, which is no single latent"
            )
        self.initialise(init_std)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Posterior | Tensor:
        if self.posterior == "implicit":
            eps = x.new_empty(len(x), self.noise)
            return Implicit(lambda noise: self.parameters_of(x, condition, noise), eps)
        parameters = self.parameters_of(x, condition)
        return DiagonalGaussian.from_parameters(parameters) if self.posterior == "gaussian" else parameters

    def parameters_of(self, x: Tensor, condition: Tensor | None = None, eps: Tensor | None = None) -> Tensor:
        """mu and log sigma (B, 2 L), or z (B, L)."""
        x = x.reshape(len(x), self.shape_in[0] - self.noise, *self.shape_in[1:])
        if eps is not None:
            x = torch.cat([x, eps.reshape(len(x), -1, *[1] * (x.ndim - 2)).expand(-1, -1, *x.shape[2:])], 1)
        features = self.hidden(x)  # (B, M, H, W), or (B, M) after linear rows
        out: Tensor = self.output(torch.cat([features, *self.embed(condition, features)], 1))
        return out.flatten(1)  # (B, 2 L)


class TableDecoder(TableNet):
    """p(x|z) from rows. A condition is concatenated to z (section 4.4).

    A Gaussian likelihood adds one learned deviation per element of x.
    """

    def __init__(
        self,
        table: DecoderTable,
        *,
        data_shape: tuple[int, ...],
        latent_size: int,
        condition_size: int = 0,
        embedding_size: int = 256,
        init_std: float = 0.01,
    ) -> None:
        super().__init__(condition_size, embedding_size)
        self.data_shape = data_shape
        self.z_shape = vector_shape(table.rows, latent_size)
        flat = table.rows[0].operation == "linear"
        self.layers = stack(
            table.rows,
            (latent_size + self.embedding_size, *self.z_shape[1:]),
            prod(data_shape) if flat else data_shape[0],
        )
        made = shape_out(self.layers, self.z_shape)
        if made != ((prod(data_shape),) if flat else data_shape):
            raise PartMismatch(f"the decoder makes {made} from the latent, the data are {data_shape}")
        self.log_stddev: nn.Parameter | None = None
        if table.likelihood == "gaussian":
            self.log_stddev = nn.Parameter(torch.full(data_shape, -3.0))
        self.initialise(init_std)

    def forward(self, z: Tensor, condition: Tensor | None = None) -> Posterior | Tensor:
        maps = z.reshape(len(z), *self.z_shape)  # (B, L, 1, 1), or (B, L) before linear rows
        x: Tensor = self.layers(torch.cat([maps, *self.embed(condition, maps)], 1))
        x = x.reshape(len(z), *self.data_shape)
        return x if self.log_stddev is None else DiagonalGaussian(x, self.log_stddev.expand_as(x))

    @torch.no_grad()
    def initialise_output(self, mean: Tensor) -> None:
        """Set the last bias to the log-odds of the data's mean (paper.md section 3).

        Args:
            mean: per-pixel mean of the data in [0, 1], of the data's shape. Does nothing where the last
                layer is no sigmoid or has no bias.
        """
        last = cast(Layer, self.layers[-1])
        if last.row.activation.name != "sigmoid" or last.output_bias is None:
            return
        bias = last.output_bias
        if bias.numel() != mean.numel():
            mean = mean.flatten(1).mean(1)  # (C,) for a bias that is tied over space
        mean = mean.double().clamp(CLIP, 1 - CLIP)
        bias.copy_((mean / (1 - mean)).log().reshape(bias.shape))


class TableDiscriminator(TableNet):
    """D(x, z) from the rows of D(x), D(z) and the joint net on their concatenation: logits (B, classes).

    A condition is concatenated to [D(x), D(z)] (section 4.4). A batch may come as a tuple of kinds of samples.

    Args:
        symmetric: pictures, which are in [0, 1], go to [-1, 1] first.
        packing: how many pairs m are judged together; see ``packing.packed``.
        unary: it also scores x and z each alone (BigBiGAN, Donahue and Simonyan, 2019); see ``scores``.
    """

    takes_kinds = True

    def __init__(
        self,
        table: DiscriminatorTable,
        *,
        data_shape: tuple[int, ...],
        latent_size: int,
        condition_size: int = 0,
        embedding_size: int = 256,
        classes: int = 1,
        init_std: float = 0.01,
        symmetric: bool = False,
        packing: int = 1,
        unary: bool = False,
    ) -> None:
        super().__init__(packing * condition_size, embedding_size)
        if symmetric and len(data_shape) != 3:
            raise PartMismatch(f"symmetric is for pictures in [0, 1], the data are of shape {data_shape}")
        self.symmetric, self.packing, self.unary = symmetric, packing, unary
        pack = (packing * data_shape[0], *data_shape[1:])
        self.x_shape = data_shape_in(table.x_rows or table.joint_rows, pack)
        self.x_layers = stack(table.x_rows, self.x_shape)
        self.z_shape = vector_shape(table.z_rows or table.joint_rows, packing * latent_size)
        self.z_layers = stack(table.z_rows, self.z_shape)
        x_out, z_out = shape_out(self.x_layers, self.x_shape), shape_out(self.z_layers, self.z_shape)
        if x_out[1:] != z_out[1:]:
            raise PartMismatch(f"D(x) ends in {x_out} and D(z) in {z_out}, which cannot be concatenated")
        self.joint_size = x_out[0] + z_out[0] + self.embedding_size
        self.joint = stack(table.joint_rows, (self.joint_size, *x_out[1:]), classes)
        if unary:
            self.x_score, self.z_score = nn.Linear(prod(x_out), 1), nn.Linear(prod(z_out), 1)
        rows = (*table.x_rows, *table.z_rows, *table.joint_rows)
        self.couples_batch = any(row.norm for row in rows)
        self.initialise(init_std)
        for score in (self.x_score, self.z_score) if unary else ():
            nn.init.normal_(score.weight, std=init_std)
            nn.init.zeros_(score.bias)

    def forward(self, x: Kinds, z: Kinds, condition: Tensor | None = None) -> Tensor:
        return cast(Tensor, self.joint(self.features(x, z, condition))).flatten(1)  # (B, classes)

    def scores(self, x: Kinds, z: Kinds, condition: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """s_x and s_z, (B, 1) each, of x and z alone, and the logits of the pairs (B, classes)."""
        from_x, from_z = self.x_features(x), self.z_features(z)
        joint = self.joint(self._together(from_x, from_z, condition)).flatten(1)
        return self.x_score(from_x.flatten(1)), self.z_score(from_z.flatten(1)), joint

    def features(self, x: Kinds, z: Kinds, condition: Tensor | None = None) -> Tensor:
        """The concatenation [D(x), D(z), condition] that the joint net reads, (B, joint_size, ...)."""
        return self._together(self.x_features(x), self.z_features(z), condition)

    def x_features(self, x: Kinds) -> Tensor:
        """D(x), (B, M, ...)."""
        if self.symmetric:
            x = 2 * x - 1 if isinstance(x, Tensor) else tuple(2 * kind - 1 for kind in x)
        return self._pass(self.x_layers, self.x_shape, x)

    def z_features(self, z: Kinds) -> Tensor:
        """D(z), (B, M, ...)."""
        return self._pass(self.z_layers, self.z_shape, z)

    def _together(self, from_x: Tensor, from_z: Tensor, condition: Tensor | None) -> Tensor:
        if condition is not None and self.packing > 1:
            condition = self._packed(condition, (self.condition_size,))
        return torch.cat([from_x, from_z, *self.embed(condition, from_x)], 1)

    def _pass(self, layers: nn.Sequential, shape: tuple[int, ...], inputs: Kinds) -> Tensor:
        if isinstance(inputs, Tensor):
            return cast(Tensor, layers(self._packed(inputs, shape)))
        return joined(layers, tuple(self._packed(kind, shape) for kind in inputs))

    def _packed(self, samples: Tensor, shape: tuple[int, ...]) -> Tensor:
        return packed(samples, shape, self.packing, self.training)


def build(table: NetTable, **arguments: Any) -> TableNet:
    """The net of a table.

    Raises:
        PartMismatch: the rows do not fit the data, the latent, or each other.
    """
    match table:
        case EncoderTable():
            return TableEncoder(table, **arguments)
        case DecoderTable():
            return TableDecoder(table, **arguments)
        case DiscriminatorTable():
            return TableDiscriminator(table, **arguments)
