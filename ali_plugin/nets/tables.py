"""Layers as rows of a table, the way papers print them; no torch here.

A row in the notation of the paper's appendix, "4/2 64, BN, leaky ReLU 0.1, dropout 0.2", is
``conv(4, 2, 64, norm=True, activation=leaky_relu(0.1), dropout=0.2)``. A net is a tuple of rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Operation = Literal["conv", "tconv", "linear"]
Bias = Literal["none", "tied", "untied"]


@dataclass(frozen=True)
class Activation:
    """A nonlinearity. ``parameter`` is the negative slope, or the number of maxout pieces."""

    name: Literal["identity", "relu", "leaky_relu", "maxout", "sigmoid", "tanh"] = "identity"
    parameter: float = 0.0

    def __str__(self) -> str:
        return f"{self.name} {self.parameter:g}" if self.parameter else self.name


IDENTITY = Activation()
RELU = Activation("relu")
SIGMOID = Activation("sigmoid")


def leaky_relu(slope: float) -> Activation:
    """max(x, slope x)."""
    return Activation("leaky_relu", slope)


def maxout(pieces: int) -> Activation:
    """The maximum over groups of ``pieces`` adjacent filters (channel c, piece k = filter pieces c + k)."""
    return Activation("maxout", pieces)


@dataclass(frozen=True)
class Row:
    """One layer: dropout on the input, the operation, batch norm, the nonlinearity.

    Attributes:
        maps: filters of the operation, before a maxout; None for what the net has to put out (twice the
            latent in an encoder, the data's channels in a decoder, the logits in a discriminator).
        dropout: probability that an element of the layer's INPUT is zeroed (not whole channels).
        bias: "tied" over space, "untied" (one per position) or "none"; batch norm takes none.
    """

    operation: Operation
    maps: int | None
    kernel: int = 1
    stride: int = 1
    padding: int = 0
    norm: bool = False
    activation: Activation = IDENTITY
    dropout: float = 0.0
    bias: Bias = "tied"

    def maps_out(self, maps: int) -> int:
        """Feature maps after the nonlinearity, where the operation has ``maps`` filters."""
        if self.activation.name != "maxout":
            return maps
        return maps // int(self.activation.parameter)

    def size_out(self, size: int) -> int:
        """Height or width after the operation; no larger than 0 if the kernel does not fit."""
        if self.operation == "conv":
            return (size + 2 * self.padding - self.kernel) // self.stride + 1
        if self.operation == "tconv":
            return (size - 1) * self.stride - 2 * self.padding + self.kernel
        return 1


Table = Sequence[Row]


def conv(kernel: int, stride: int, maps: int | None, **columns: Any) -> Row:
    """A convolution row."""
    return _row("conv", maps, kernel, stride, columns)


def tconv(kernel: int, stride: int, maps: int | None, **columns: Any) -> Row:
    """A transposed convolution row."""
    return _row("tconv", maps, kernel, stride, columns)


def linear(units: int | None, **columns: Any) -> Row:
    """A fully connected row."""
    return _row("linear", units, 1, 1, columns)


def _row(operation: Operation, maps: int | None, kernel: int, stride: int, columns: dict[str, Any]) -> Row:
    # A bias in front of a batch norm is subtracted again by it.
    columns.setdefault("bias", "none" if columns.get("norm") else "tied")
    return Row(operation, maps, kernel, stride, **columns)


@dataclass(frozen=True)
class EncoderTable:
    """The rows of an encoder; ``ali_plugin.nets.table_nets`` builds it."""

    rows: tuple[Row, ...]
    noise: int = 0
    """Size of the noise that is concatenated to x (the mixture's encoder); 0 for mu and log sigma."""
    posterior: Literal["gaussian", "deterministic", "implicit"] = "gaussian"


@dataclass(frozen=True)
class DecoderTable:
    """The rows of a decoder."""

    rows: tuple[Row, ...]
    likelihood: Literal["deterministic", "gaussian"] = "deterministic"


@dataclass(frozen=True)
class DiscriminatorTable:
    """The rows of D(x), D(z) and D(x, z); see ``table_nets.TableDiscriminator``."""

    x_rows: tuple[Row, ...]
    z_rows: tuple[Row, ...]
    joint_rows: tuple[Row, ...]


NetTable = EncoderTable | DecoderTable | DiscriminatorTable
