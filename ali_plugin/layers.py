"""The layers that the published tables are made of."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ali_plugin.errors import PartMismatch
from ali_plugin.tables import Activation, Row

BATCH_NORM_MOMENTUM = 0.05  # population = 0.95 old + 0.05 batch, in PyTorch's sense (paper.md section 3)
BATCH_NORM_EPSILON = 1e-4


class Maxout(nn.Module):
    """Maximum over groups of adjacent channels: (B, C pieces, ...) -> (B, C, ...)."""

    def __init__(self, pieces: int) -> None:
        super().__init__()
        self.pieces = pieces

    def forward(self, x: Tensor) -> Tensor:
        if self.pieces == 2:
            return torch.maximum(x[:, 0::2], x[:, 1::2])
        groups: Tensor = x.unflatten(1, (-1, self.pieces))  # (B, C, pieces, ...)
        return groups.amax(2)

    def extra_repr(self) -> str:
        return f"pieces={self.pieces}"


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
        return nn.ReLU()
    if spec.name == "leaky_relu":
        return nn.LeakyReLU(spec.parameter)
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
            layers["dropout"] = nn.Dropout(row.dropout)
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
