"""How strange samples are to a model: a registered scorer looked up, built, fitted and held to its word."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from ali_plugin.config import settings
from ali_plugin.errors import DataError, OptionError
from ali_plugin.support.devices import float32_by_default
from ali_plugin.support.memory import needed
from ali_registry import InvalidRecord, Registry, Scorer, blaming, default_registry

DEFAULT = "reconstruction"
AT_ONCE = 250  # samples that are scored at once, which bounds the memory

Training = Iterable[tuple[Tensor, Tensor | None]]
"""Batches of training samples x (B, *data_shape) with their conditions, gone through as often as need be."""


class Score(Protocol):
    """What ``Scorer.build`` returns. It may have the methods of ``Fitted`` and ``Located`` beside."""

    def __call__(self, model: Any, x: Tensor, condition: Tensor | None) -> Tensor:
        """Of samples x (B, *data_shape) one number each, (B,); higher is stranger."""


@runtime_checkable
class Fitted(Protocol):
    """A score that compares with the training data: ``fit`` comes before the first call."""

    def fit(self, model: Any, training: Training) -> None:
        """Look at the training data."""


@runtime_checkable
class Located(Protocol):
    """A score that says where a picture is strange."""

    def where(self, model: Any, x: Tensor, condition: Tensor | None) -> Tensor:
        """Of pictures (B, C, H, W) a map (B, H, W), not negative; higher is stranger."""


class Scoring:
    """A scorer with its options and the model it judges by. Without gradients, in bounded memory.

    Args:
        options: of the scorer; the others have their defaults.

    Raises:
        UnknownName: nothing registers the scorer.
        OptionError: it has no such option, or the value is of another type or out of range.
        PluginFailed: a plugin's code raised what is no ALIError; also of all methods.
    """

    def __init__(
        self,
        model: nn.Module,
        scorer: str = DEFAULT,
        options: Mapping[str, Any] | None = None,
        registry: Registry | None = None,
    ) -> None:
        registry = registry or default_registry()
        self.model, self.entry = model, registry.entry(Scorer, scorer)
        self.who = f"scorer {scorer!r} of {self.entry.origin}"
        record = registry.get(Scorer, scorer)
        with blaming(self.entry):
            self.score: Score = record.call(**settings.complete(record, options or {}))
        if not callable(self.score):
            raise InvalidRecord(f"{self.who} built a {type(self.score).__name__}, which cannot be called")
        self.fitted = not isinstance(self.score, Fitted)

    @property
    def is_located(self) -> bool:
        """Whether ``where`` can be asked."""
        return isinstance(self.score, Located)

    @torch.no_grad()
    def fit(self, training: Training | Tensor) -> Scoring:
        """Show it the training data, if it compares with them. Returns itself.

        Args:
            training: batches with their conditions, or x (N, *data_shape) where there are no conditions.
        """
        if isinstance(self.score, Fitted):
            with self._working():
                self.score.fit(self.model, list(_parts(training, None)) if isinstance(training, Tensor) else training)
            self.fitted = True
        return self

    @torch.no_grad()
    def __call__(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """The scores (B,) of x (B, *data_shape), float32; the condition is (B, condition_size).

        Raises:
            OptionError: it compares with training data and has not seen any.
            DataError: x has numbers that are NaN or infinite.
            InvalidRecord: what the scorer gives is no finite number for each sample.
        """
        if not self.fitted:
            raise OptionError(f"{self.who} compares with the training data; give it some as training=")
        if not torch.isfinite(x).all():
            raise DataError("the samples have numbers that are NaN or infinite; leave them out or fill them in")
        with self._working():
            parts = [self._checked(self.score(self.model, *part), len(part[0])) for part in _parts(x, condition)]
        return torch.cat(parts) if parts else torch.zeros(0, device=x.device)

    @torch.no_grad()
    def where(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Maps (B, H, W) of where pictures (B, C, H, W) are strange.

        Raises:
            OptionError: the scorer does not say.
        """
        if not isinstance(self.score, Located):
            raise OptionError(f"{self.who} does not say where a picture is strange")
        with self._working():
            found = [self.score.where(self.model, *part) for part in _parts(x, condition)]
        maps = torch.cat(found) if found else x.new_zeros(0, *x.shape[2:])
        if maps.shape != (len(x), *x.shape[2:]):
            raise InvalidRecord(f"{self.who} gave maps of shape {tuple(maps.shape)} for pictures {tuple(x.shape)}")
        return maps.float()

    def _checked(self, scores: object, count: int) -> Tensor:
        if not isinstance(scores, Tensor) or scores.shape != (count,):
            got = f"shape {tuple(scores.shape)}" if isinstance(scores, Tensor) else type(scores).__name__
            raise InvalidRecord(f"{self.who} gave a {got} for {count} samples, not one number each")
        if not torch.isfinite(scores).all():
            raise InvalidRecord(f"{self.who} gave scores that are NaN or infinite")
        return scores.float()

    @contextmanager
    def _working(self) -> Iterator[None]:
        with float32_by_default(), needed(self.who), blaming(self.entry):
            yield


def _parts(x: Tensor, condition: Tensor | None) -> Iterator[tuple[Tensor, Tensor | None]]:
    for start in range(0, len(x), AT_ONCE):
        rows = slice(start, start + AT_ONCE)
        yield x[rows], None if condition is None else condition[rows]
