"""The layers that the published tables are made of."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from ali_plugin.errors import PartMismatch
from ali_plugin.nets.tables import Activation, Row

BATCH_NORM_MOMENTUM = 0.05  # population = 0.95 old + 0.05 batch, in PyTorch's sense (paper.md section 3)
BATCH_NORM_EPSILON = 1e-4
Kinds = Tensor | tuple[Tensor, ...]  # samples, or several kinds of them that are to be taken as one batch
LEVELS = 1 << 16  # to which a dropout probability is rounded


class LargerOfPair(torch.autograd.Function):
    """The larger of channels 2c and 2c + 1, with a backward that writes each gradient once.

    Autograd's own backward of the two strided views fills and adds whole tensors of zeros: on a CPU it takes
    thirteen times as long.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        first, second = x[:, 0::2], x[:, 1::2]
        ctx.save_for_backward(first >= second)
        return torch.maximum(first, second)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return cast(Tensor, SpreadToPair.apply(gradient, *ctx.saved_tensors))


class SpreadToPair(torch.autograd.Function):
    """The gradient of ``LargerOfPair``: each element goes to the larger one of its pair, 0 to the other.

    It is linear, so that its own gradient picks the elements out again, however often one differentiates.
    """

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, takes_first: Tensor) -> Tensor:
        ctx.save_for_backward(takes_first)
        batch, channels, *space = gradient.shape
        nhwc = gradient.ndim == 4 and gradient.is_contiguous(memory_format=torch.channels_last)
        pairs = torch.empty(
            (batch, 2 * channels, *space),
            dtype=gradient.dtype,
            device=gradient.device,
            memory_format=torch.channels_last if nhwc else torch.contiguous_format,
        )
        torch.mul(gradient, takes_first, out=pairs[:, 0::2])
        torch.mul(gradient, ~takes_first, out=pairs[:, 1::2])
        return pairs

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (takes_first,) = ctx.saved_tensors
        return torch.where(takes_first, gradient[:, 0::2], gradient[:, 1::2]), None


class Maxout(nn.Module):
    """Maximum over groups of adjacent channels: (B, C pieces, ...) -> (B, C, ...)."""

    def __init__(self, pieces: int) -> None:
        super().__init__()
        self.pieces = pieces

    def forward(self, x: Tensor) -> Tensor:
        if self.pieces == 2:
            return cast(Tensor, LargerOfPair.apply(x))
        groups: Tensor = x.unflatten(1, (-1, self.pieces))  # (B, C, pieces, ...)
        return groups.max(2).values

    def extra_repr(self) -> str:
        return f"pieces={self.pieces}"


class CheapMask(torch.autograd.Function):
    """x times a mask of 0 and 1/(1-p) whose bits come four to a 64-bit random number.

    Drawing a float for each element, as dropout on a CPU does, takes several times as long. p is rounded to
    1/65536, and the scale is that of the rounded p.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, p: float) -> Tensor:
        draws = torch.empty((x.numel() + 3) // 4, dtype=torch.int64, device=x.device).random_(-(1 << 63), None)
        dropped = round(p * LEVELS)
        kept = draws.view(torch.int16)[: x.numel()].view(x.shape) >= dropped - LEVELS // 2
        mask = kept.to(x.dtype).mul_(LEVELS / (LEVELS - dropped))
        ctx.save_for_backward(mask)
        return x * mask

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (mask,) = ctx.saved_tensors
        return gradient * mask, None


class Dropout(nn.Module):
    """Ordinary dropout, of elements: zero with probability p, else scaled by 1/(1-p)."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if self.training and x.device.type == "cpu" and not torch.compiler.is_compiling():
            return cast(Tensor, CheapMask.apply(x, self.p))
        return nn.functional.dropout(x, self.p, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p:g}"


class UntiedBias(nn.Module):
    """A bias for every channel and position: (B, C, H, W) + (C, H, W)."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(shape))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias


def activation(spec: Activation) -> nn.Module:
    """The module of a table's nonlinearity."""
    if spec.name == "relu":
        return nn.ReLU(inplace=True)
    if spec.name == "leaky_relu":
        return nn.LeakyReLU(spec.parameter, inplace=True)  # its input is nobody else's
    if spec.name == "maxout":
        return Maxout(int(spec.parameter))
    if spec.name == "sigmoid":
        return nn.Sigmoid()
    if spec.name == "tanh":
        return nn.Tanh()
    return nn.Identity()


class Layer(nn.Sequential):
    """One row of a table: dropout on the input, operation, batch norm or untied bias, nonlinearity.

    Args:
        row: the row.
        shape_in: (channels, height, width), or (features,) where the row is linear.
        maps: filters for a row that leaves them open.
    """

    def __init__(self, row: Row, shape_in: tuple[int, ...], maps: int | None = None) -> None:
        filters = row.maps if row.maps is not None else maps
        if filters is None:
            raise PartMismatch(f"the row {row} leaves its maps open, which only a last row may")
        sizes = tuple(row.size_out(size) for size in shape_in[1:])
        if any(size < 1 for size in sizes):
            raise PartMismatch(
                f"a {row.kernel}x{row.kernel} {row.operation} does not fit a {shape_in[1]}x{shape_in[2]} input"
            )
        self.row = row
        self.shape_in = shape_in
        self.shape_out = (row.maps_out(filters), *sizes)
        layers: dict[str, nn.Module] = {}
        if row.dropout:
            layers["dropout"] = Dropout(row.dropout)
        layers["operation"] = self._operation(row, shape_in[0], filters)
        if row.norm:
            norm = nn.BatchNorm2d if sizes else nn.BatchNorm1d
            layers["norm"] = norm(filters, eps=BATCH_NORM_EPSILON, momentum=BATCH_NORM_MOMENTUM)
        if row.bias == "untied":
            layers["untied"] = UntiedBias(filters, *sizes)
        if row.activation.name != "identity":
            layers["activation"] = activation(row.activation)
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x: Kinds) -> Tensor:
        """The output (B, *shape_out); of several kinds of samples, their outputs concatenated.

        Kinds meet after the operation, before a batch norm, so that each one's gradient is its own work.
        """
        kinds = (x,) if isinstance(x, Tensor) else x
        for name, layer in self.named_children():
            kinds = tuple(layer(kind) for kind in kinds)
            if name == "operation" and len(kinds) > 1:
                kinds = (torch.cat(kinds),)
        return kinds[0]

    @staticmethod
    def _operation(row: Row, maps_in: int, filters: int) -> nn.Module:
        bias = row.bias == "tied"
        if row.operation == "linear":
            return nn.Linear(maps_in, filters, bias=bias)
        operation = nn.Conv2d if row.operation == "conv" else nn.ConvTranspose2d
        return operation(maps_in, filters, row.kernel, row.stride, row.padding, bias=bias)

    def initialise(self, std: float) -> None:
        """Weights N(0, std^2), biases 0; batch norm keeps scale 1 and shift 0 (paper.md section 3)."""
        for name, parameter in self.named_parameters():
            if name == "operation.weight":
                nn.init.normal_(parameter, std=std)
            elif name in ("operation.bias", "untied.bias"):
                nn.init.zeros_(parameter)

    @property
    def output_bias(self) -> nn.Parameter | None:
        """The bias of the operation, tied or untied, None if it has none."""
        parameters = dict(self.named_parameters())
        return parameters.get("untied.bias", parameters.get("operation.bias"))
