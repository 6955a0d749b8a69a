"""Run metrics on a model and keep their figures beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ali_plugin.evaluation.context import Context
from ali_registry import InvalidRecord, Metric, Registry, default_registry


def evaluate(context: Context, metrics: Sequence[str], registry: Registry | None = None) -> dict[str, dict[str, float]]:
    """Figures by metric name.

    Raises:
        UnknownName: nothing registers a metric.
        InvalidRecord: a metric returns something else than figures.
        ALIError: a metric that does not fit the model or the data.
    """
    registry = registry or default_registry()
    functions = {name: registry.get(Metric, name).load() for name in metrics}
    return {name: _figures(name, function(context)) for name, function in functions.items()}


def _figures(name: str, found: object) -> dict[str, float]:
    if not isinstance(found, Mapping) or not all(isinstance(key, str) for key in found):
        raise InvalidRecord(f"metric {name!r} returned a {type(found).__name__}, not a mapping of figures by name")
    try:
        return {key: float(value) for key, value in found.items()}
    except (TypeError, ValueError) as error:
        raise InvalidRecord(f"metric {name!r} returned what is no number: {error}") from error
