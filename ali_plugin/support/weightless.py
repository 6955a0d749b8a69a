"""Nets without memory: what is built inside lies on the meta device."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

RANDOM = {nn.init.normal_, Tensor.normal_, Tensor.log_normal_, Tensor.exponential_, Tensor.cauchy_, Tensor.geometric_}


@contextmanager
def weightless() -> Iterator[None]:
    """Build nets on the meta device, which takes no memory, and no time for values that are nowhere."""
    with torch.device("meta"), _Unfilled():
        yield


class _Unfilled(TorchFunctionMode):
    """Draws no numbers for a tensor on the meta device.

    There torch takes its compiler for some distributions, whose import takes longer than all the rest of a push.
    The same is asked of an empty tensor instead: arguments that it refuses are refused.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        named = dict(kwargs or {})
        place = (args[0] if args else named.get("tensor")) if func in RANDOM else None
        if not isinstance(place, Tensor) or not place.is_meta:
            return func(*args, **named)
        named.pop("tensor", None)
        func(torch.empty(0, dtype=place.dtype, device="cpu"), *args[1:], **named)
        return place
