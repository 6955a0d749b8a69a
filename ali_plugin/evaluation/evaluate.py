"""Run metrics on a model and keep their figures beside it."""

from __future__ import annotations

from collections.abc import Sequence

from ali_plugin.evaluation.context import Context
from ali_registry import Metric, Registry, default_registry


def evaluate(context: Context, metrics: Sequence[str], registry: Registry | None = None) -> dict[str, dict[str, float]]:
    """Figures by metric name.

    Raises:
        UnknownName: nothing registers a metric.
        ALIError: a metric that does not fit the model or the data.
    """
    registry = registry or default_registry()
    functions = {name: registry.get(Metric, name).load() for name in metrics}
    return {name: dict(function(context)) for name, function in functions.items()}
