"""What a step does: floating point operations, and bytes that its operations read and write."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Work:
    """Of one step.

    Attributes:
        flop: floating point operations of matrix products and convolutions, a multiplication and an addition being two.
        moved: bytes of the tensors that its operations read and write, each operation by itself, whether they come
            from memory or from a cache.
        typical: bytes of an operation: half of ``moved`` is of operations that move as many or more.
    """

    flop: float
    moved: float
    typical: int

    @property
    def intensity(self) -> float:
        """Arithmetic intensity in FLOP per byte (Williams et al., 2009)."""
        return self.flop / self.moved if self.moved else float("inf")


def counted(step: Callable[[], Any]) -> Work:
    """The work of a step that is done once, as torch's operations tell it: kernels that are compiled or recorded tell
    nothing."""
    with FlopCounterMode(display=False) as operations, _Moved() as moved:
        step()
    return Work(float(operations.get_total_flops()), float(moved.total), moved.typical())


class _Moved(TorchDispatchMode):
    """Notes the bytes that each operation moves."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.sizes = Counter[int]()
        """Bytes of an operation -> how many operations move as many."""

    @property
    def total(self) -> int:
        return sum(size * count for size, count in self.sizes.items())

    def typical(self) -> int:
        """The median of the operations' sizes, each weighted by itself."""
        seen = 0
        for size in sorted(self.sizes, reverse=True):
            seen += size * self.sizes[size]
            if 2 * seen >= self.total:
                return size
        return 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if size := _size(func, args, kwargs or {}, out):
            self.sizes[size] += 1
        return out


def _size(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], out: Any) -> int:
    """Bytes that an operation reads and writes: none where it only looks at its arguments in another way, or allots
    memory that others will fill."""
    arguments = {argument.name: argument for argument in func._schema.arguments}
    given = {**dict(zip(arguments, args, strict=False)), **kwargs}
    read = _tensors(list(given.values()))
    changed = [value for name, value in given.items() if (alias := arguments[name].alias_info) and alias.is_write]
    places = {_place(tensor) for tensor in read}
    written = [*_tensors(changed), *(tensor for tensor in _tensors(out) if _place(tensor) not in places)]
    if not written or func.__name__.startswith(("empty", "new_empty")):
        return 0
    return sum(map(_bytes, [*read, *written]))


def _tensors(of: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(of) if isinstance(leaf, Tensor) and leaf.layout is torch.strided]


def _place(tensor: Tensor) -> int:
    place: int = tensor.untyped_storage()._cdata
    return place


def _bytes(tensor: Tensor) -> int:
    """Of its elements, each counted once though it be expanded."""
    return min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())
