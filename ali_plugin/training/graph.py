"""The whole update as one CUDA graph, so that small kernels do not wait for Python."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, fields, is_dataclass
from typing import TypeVar

import torch
from torch import Tensor

from ali_plugin.objectives.game import Batch, Game

T = TypeVar("T")
PLAIN = (bool, int, float, str, type(None))
WARM_UP = 3  # eager updates before the capture: they set up libraries, optimisers and gradients
KEPT = 8  # graphs of different kinds of steps, each of which holds memory


@dataclass
class Captured:
    """What is known of one kind of step: how often it was made eagerly, then its graph."""

    eager: int = 0
    graph: torch.cuda.CUDAGraph | None = None
    batch: Batch | None = None
    figures: dict[str, Tensor] = field(default_factory=dict)


class GraphedUpdate:
    """Runs an update eagerly a few times, captures it once, and replays it from then on.

    The eager updates are steps of the run like any other, and a capture runs nothing: no step is lost or made
    twice. Random numbers advance at each replay, as they do eagerly. A graph repeats the kernels and the numbers of
    its capture, whatever the objective has decided since, so that each value of ``phase`` has a graph of its own.

    Args:
        update: makes a step and returns figures.
        phase: what the update's course depends on beside the batch and the contents of tensors.
    """

    def __init__(
        self,
        update: Callable[[Batch], dict[str, Tensor]],
        device: torch.device,
        phase: Callable[[], Hashable] = lambda: None,
    ) -> None:
        self._update, self._device, self._phase = update, device, phase
        self._kinds: dict[Hashable, Captured] = {}
        self._present, self._kind = phase(), Captured()
        self._kinds[self._present] = self._kind
        self._stream = torch.cuda.Stream(device)

    def __call__(self, batch: Batch) -> dict[str, Tensor]:
        if (phase := self._phase()) != self._present:
            self._kind = self._of(phase)
        figures = self._updated(batch, self._kind)
        self._present = self._phase()  # what an update itself changes, a count of its calls say, is no new phase
        return figures

    def _updated(self, batch: Batch, kind: Captured) -> dict[str, Tensor]:
        if kind.graph is None and kind.eager < WARM_UP:
            kind.eager += 1
            return self._aside(batch)
        if kind.graph is None or kind.batch is None:
            kind.batch = _map(batch, torch.clone)
            kind.graph, kind.figures = self._capture(kind.batch)
        _copy(batch, kind.batch)
        kind.graph.replay()
        return {name: figure.clone() for name, figure in kind.figures.items()}

    def _of(self, phase: Hashable) -> Captured:
        """What is known of a phase; the one that was used longest ago goes, with its memory, where there are many."""
        captured = self._kinds.pop(phase, None) or Captured()
        self._kinds[phase] = captured
        if len(self._kinds) > KEPT:
            del self._kinds[next(iter(self._kinds))]
        return captured

    def _aside(self, batch: Batch) -> dict[str, Tensor]:
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            figures = self._update(batch)
        torch.cuda.current_stream(self._device).wait_stream(self._stream)
        return figures

    def _capture(self, batch: Batch) -> tuple[torch.cuda.CUDAGraph, dict[str, Tensor]]:
        graph = torch.cuda.CUDAGraph()
        # Other threads go on with their work meanwhile, such as pinning the next batch; it is none of this graph's.
        with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
            figures = self._update(batch)
        return graph, figures


def phase_of(game: Game) -> tuple[Hashable, Hashable, Hashable]:
    """The plain values that an objective and those inside it hold, and the modes of their nets.

    Whatever ``Game.schedule`` sets is among them: a flag, a number, another tensor, a net that is frozen.
    """
    nets = [game.model, *game.modules().values()]
    modes = tuple(module.training for net in nets for module in net.modules())
    trained = tuple(parameter.requires_grad for net in nets for parameter in net.parameters())
    return modes, trained, _plain(game, set())


def _plain(value: object, seen: set[int]) -> Hashable:
    """A value that two calls can be compared by: numbers and text themselves, other things by which they are."""
    if isinstance(value, Game) and id(value) not in seen:
        seen.add(id(value))
        return _plain(vars(value), seen)
    if isinstance(value, dict):
        return tuple((key, _plain(inner, seen)) for key, inner in value.items())
    if isinstance(value, list | tuple):
        return tuple(_plain(inner, seen) for inner in value)
    return value if isinstance(value, PLAIN) else id(value)


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
