"""An architecture as a table: every layer with its shape and parameter count, without taking memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from ali_plugin.config.compose import build_parts, compose_by_recipe
from ali_plugin.config.model_config import ModelConfig
from ali_plugin.nets.distribution import as_posterior
from ali_plugin.nets.layers import Layer
from ali_plugin.support.weightless import weightless
from ali_registry import Registry, default_registry

LONGEST = 40  # characters of a layer that is no row of ours


@dataclass(frozen=True)
class LayerLine:
    """One line of the table. ``shape`` is the output's, without the batch."""

    part: str
    name: str
    operation: str
    maps: int | None
    norm: bool
    dropout: float
    activation: str
    bias: str
    shape: tuple[int, ...]
    parameters: int


def describe_architecture(
    name: str, registry: Registry | None = None, data_shape: Sequence[int] | None = None
) -> list[LayerLine]:
    """The layers of an architecture in the order in which they run.

    Args:
        data_shape: of a sample, where the architecture leaves some of it open.
    """
    registry = registry or default_registry()
    return describe(compose_by_recipe(name, data_shape=data_shape, registry=registry), registry)


def describe(config: ModelConfig, registry: Registry | None = None) -> list[LayerLine]:
    """The layers of a composed model."""
    with weightless():
        parts = build_parts(config, registry or default_registry())
        x = torch.empty(2, *config.data_shape)
        z = torch.empty(2, config.latent_size)
        condition = [torch.empty(2, config.condition_size)] if config.condition_size else []
        inputs = {"encoder": [x], "decoder": [z], "discriminator": [x, z]}
        return [line for kind, net in parts.items() for line in _trace(kind, net, [*inputs[kind], *condition])]


def _trace(part: str, net: nn.Module, inputs: list[Tensor]) -> list[LayerLine]:
    lines: list[LayerLine] = []
    hooks = []
    for name, module in _rows(net):

        def note(module: nn.Module, _: object, output: Tensor, name: str = name) -> None:
            lines.append(_line(part, name, module, tuple(output.shape[1:])))

        hooks.append(module.register_forward_hook(note))
    output = net.eval()(*inputs)
    if not isinstance(output, Tensor):
        as_posterior(output).sample()  # an implicit posterior runs its net when it is drawn from
    for hook in hooks:
        hook.remove()
    return lines


def _rows(net: nn.Module, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Rows of tables, and the leaf modules of other nets."""
    for name, child in net.named_children():
        # A parametrised layer (spectral norm, say) has its parametrisations below it, but runs as one.
        if (
            isinstance(child, Layer)
            or is_parametrized(child)
            or (not list(child.children()) and not isinstance(child, nn.Sequential))
        ):
            yield prefix + name, child
        else:
            yield from _rows(child, f"{prefix}{name}.")


def _line(part: str, name: str, module: nn.Module, shape: tuple[int, ...]) -> LayerLine:
    parameters = sum(parameter.numel() for parameter in module.parameters())
    if not isinstance(module, Layer):
        return LayerLine(part, name, *_torch_layer(module), False, 0.0, "", "", shape, parameters)
    row = module.row
    operation = "linear" if row.operation == "linear" else f"{row.operation} {row.kernel}x{row.kernel}/{row.stride}"
    operation += f" pad {row.padding}" if row.padding else ""
    weight = module.get_parameter("operation.weight")
    filters = weight.shape[1 if row.operation == "tconv" else 0]
    return LayerLine(
        part,
        name,
        operation,
        filters,
        row.norm,
        row.dropout,
        str(row.activation),
        row.bias,
        shape,
        parameters,
    )


def _torch_layer(module: nn.Module) -> tuple[str, int | None]:
    """What a layer of torch does, in the words of our rows, and its maps."""
    kind = type(module).__name__.removeprefix("Parametrized")
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        about = f"{'tconv' if module.transposed else 'conv'} {_by(module.kernel_size)}/{_once(module.stride)}"
        padding = _once(module.padding)
        about += f" pad {padding}" if padding != "0" else ""
        about += f" groups {module.groups}" if module.groups > 1 else ""
        return about, module.out_channels
    if isinstance(module, nn.Linear):
        return "linear", module.out_features
    whole = f"{kind} {module.extra_repr()}".strip()
    return whole if len(whole) <= LONGEST else kind, None


def _by(sides: Sequence[int]) -> str:
    return "x".join(map(str, sides))


def _once(sides: Sequence[int] | str) -> str:
    """Of both dimensions at once, where they do not differ."""
    return sides if isinstance(sides, str) else str(sides[0]) if len(set(sides)) == 1 else _by(sides)
