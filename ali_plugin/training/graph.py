"""The whole update as one CUDA graph, so that small kernels do not wait for Python."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import TypeVar

import torch
from torch import Tensor

from ali_plugin.objectives.game import Batch

T = TypeVar("T")
WARM_UP = 3  # eager updates before the capture: they set up libraries, optimisers and gradients


class GraphedUpdate:
    """Runs an update eagerly a few times, captures it once, and replays it from then on.

    The eager updates are steps of the run like any other, and a capture runs nothing: no step is lost or made
    twice. Random numbers advance at each replay, as they do eagerly.
    """

    def __init__(self, update: Callable[[Batch], dict[str, Tensor]], device: torch.device) -> None:
        self._update, self._device = update, device
        self._calls = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._batch: Batch | None = None
        self._figures: dict[str, Tensor] = {}
        self._stream = torch.cuda.Stream(device)

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        self._calls += 1
        if self._calls <= WARM_UP:
            return self._aside(batch)
        if self._graph is None or self._batch is None:
            self._batch = _map(batch, torch.clone)
            self._graph = self._capture(self._batch)
        _copy(batch, self._batch)
        self._graph.replay()
        return {name: figure.clone() for name, figure in self._figures.items()}

    def _aside(self, batch: Batch) -> dict[str, Tensor]:
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            figures = self._update(batch)
        torch.cuda.current_stream(self._device).wait_stream(self._stream)
        return figures

    def _capture(self, batch: Batch) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=self._stream):
            self._figures = self._update(batch)
        return graph


def _map(value: T, function: Callable[[Tensor], Tensor]) -> T:
    """The same structure with the function applied to every tensor of it."""
    if isinstance(value, Tensor):
        return function(value)  # type: ignore[return-value]
    if is_dataclass(value) and not isinstance(value, type):
        return type(value)(**{f.name: _map(getattr(value, f.name), function) for f in fields(value)})
    return value


def _copy(source: object, target: object) -> None:
    """Copy every tensor of a structure into the same place of another."""
    if isinstance(source, Tensor) and isinstance(target, Tensor):
        target.copy_(source, non_blocking=True)
    elif is_dataclass(source) and not isinstance(source, type):
        for f in fields(source):
            _copy(getattr(source, f.name), getattr(target, f.name))
