"""A net's state by the names that it has without the wrappers that somebody put around it or its layers.

A layer that a net has under two names has two names here, of one tensor.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.nn.parameter import is_lazy
from torch.optim.swa_utils import AveragedModel

from ali_plugin.errors import WeightsError
from ali_plugin.support.strict_json import short

COMPILED = "_orig_mod"  # what torch.compile(net) calls the net; its class is not imported, which takes a second
WRAPPERS = (DataParallel, DistributedDataParallel, AveragedModel)  # call it "module"


def named(net: nn.Module) -> dict[str, Tensor]:
    """The parameters and persistent buffers themselves, by name.

    Raises:
        WeightsError: a state that is no tensor, or has no shape yet.
    """
    return {name: tensor for name, (_, tensor) in _by_name(net).items()}


def learned(net: nn.Module) -> dict[str, Tensor]:
    """Those of ``named`` that training finds: floating parameters, and the mean and variance of batch norms.

    Other buffers (the vectors of a power iteration, counters, tables) belong to the weights of the moment.
    """
    statistics = {
        id(buffer)
        for module in net.modules()
        if {"running_mean", "running_var"} <= (buffers := dict(module.named_buffers(recurse=False))).keys()
        for buffer in (buffers["running_mean"], buffers["running_var"])
    }
    return {
        name: tensor
        for name, tensor in named(net).items()
        if tensor.is_floating_point() and (isinstance(tensor, nn.Parameter) or id(tensor) in statistics)
    }


def once(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Each tensor under the first of its names."""
    first: dict[int, str] = {}
    return {name: tensor for name, tensor in tensors.items() if first.setdefault(id(tensor), name) == name}


def is_plain(net: nn.Module) -> bool:
    """Whether every tensor has one name, and that the net itself gives it."""
    found = _by_name(net)
    return len(once(named(net))) == len(found) and all(name == own for name, (own, _) in found.items())


def load(net: nn.Module, tensors: Mapping[str, Tensor], *, keep_type: bool = False) -> None:
    """Copy tensors into a net of the same names, whatever it is wrapped in; layers that are shared stay so.

    Args:
        keep_type: let the net take on the tensors' types; else they are converted to the net's.

    Raises:
        WeightsError: names or shapes differ.
    """
    own = _by_name(net)
    if differing := sorted(own.keys() ^ tensors.keys()):
        raise WeightsError(f"the net and its weights differ in {len(differing)} names, such as {short(differing[0])}")
    if keep_type:
        for name, (_, tensor) in own.items():
            tensor.data = tensor.data.to(tensors[name].dtype)
    state = {**net.state_dict(), **{raw: tensors[name] for name, (raw, _) in own.items()}}
    try:
        net.load_state_dict(state, strict=True)
    except RuntimeError as error:  # of shapes, on several lines
        raise WeightsError(f"the weights do not fit the net: {short(' '.join(str(error).split()), 300)}") from error


def refuse_broken(net: nn.Module, source: object) -> None:
    """Raise WeightsError where what was learned is not finite: such a net makes noise without a word."""
    for name, tensor in once(learned(net)).items():
        if tensor.is_meta:  # left on the disk by the host of a pipeline
            continue
        wide = torch.promote_types(tensor.dtype, torch.float32)
        # The sum takes no memory; where it overflows, or a number is broken, each is looked at.
        if not math.isfinite(tensor.detach().sum(dtype=wide).item()) and not tensor.isfinite().all():
            raise WeightsError(f"{source}: {name} holds numbers that are not finite (NaN or infinite); train it again, "
                               "or take an earlier checkpoint")  # fmt: skip


def _by_name(net: nn.Module) -> dict[str, tuple[str, Tensor]]:
    """Name -> the net's own, longer name and the tensor."""
    wrappers = sorted(_wrappers(net), key=lambda found: -len(found[0]))  # the innermost first
    own = {f"{path}{tensor}" for path, _, tensors in wrappers for tensor in tensors}
    found = {}
    for raw, tensor in net.state_dict(keep_vars=True).items():
        if raw in own:
            continue
        if not isinstance(tensor, Tensor) or is_lazy(tensor):
            what = "has no shape yet" if isinstance(tensor, Tensor) else f"is a {type(tensor).__name__}, no tensor"
            raise WeightsError(f"{short(raw)} {what}, so it cannot be saved; pass data through the net, or keep it "
                               "elsewhere")  # fmt: skip
        name = raw
        for path, inner, _ in wrappers:
            if name.startswith(f"{path}{inner}."):
                name = path + name[len(f"{path}{inner}.") :]
        found[name] = (raw, tensor)
    return found


def _wrappers(net: nn.Module) -> Iterator[tuple[str, str, list[str]]]:
    """Of each wrapper the path with its dot, what it calls what it wraps, and the names of its own tensors."""
    for path, module in net.named_modules(remove_duplicate=False):
        inner = COMPILED if COMPILED in dict(module.named_children()) else "module"
        if inner == COMPILED or isinstance(module, WRAPPERS):
            own = (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False))
            yield (f"{path}." if path else ""), inner, [name for name, _ in own]
