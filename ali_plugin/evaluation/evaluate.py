"""Run metrics on a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ali_plugin.errors import ALIError
from ali_plugin.evaluation.context import Context
from ali_plugin.folder.evaluation_record import MAX_NAME
from ali_plugin.support.devices import float32_by_default
from ali_plugin.support.memory import needed
from ali_plugin.support.strict_json import short
from ali_registry import Entry, InvalidRecord, Metric, Registry, blaming, default_registry
from ali_registry.text import as_text, is_clean


def evaluate(context: Context, metrics: Sequence[str], registry: Registry | None = None) -> dict[str, dict[str, float]]:
    """Figures by metric name.

    Args:
        metrics: names; where there are none, those that suit the model and its data. One of these that cannot
            be measured here is left out with a note in the context.

    Raises:
        UnknownName: nothing registers a metric.
        InvalidRecord: a metric returns something else than figures.
        PluginFailed: a metric of a plugin raises what is no ALIError.
        ALIError: a metric that does not fit the model or the data, or needs what is not installed.
    """
    registry = registry or default_registry()
    chosen = metrics or suitable(context)
    entries = {name: registry.entry(Metric, name) for name in chosen}
    records = {name: registry.get(Metric, name) for name in chosen}
    for name, record in records.items():
        with blaming(entries[name]):
            record.load()  # one that cannot be imported is known before the others have run
    found: dict[str, dict[str, float]] = {}
    for name, record in records.items():
        try:
            with float32_by_default(), needed(f"metric {name!r} of {entries[name].origin}"), blaming(entries[name]):
                found[name] = _figures(entries[name], record.call(context))
        except ALIError as error:
            if metrics:
                raise
            context.notes.append(f"{name} is left out: {error}")
    return found


def suitable(context: Context) -> list[str]:
    """The metrics to run when none is named: those that say something about the data, and take no training."""
    split = context.split("test")
    if len(split.shape) != 3:
        return ["reconstruction", "modes"] if context.dataset == "mixture" else ["reconstruction"]
    labelled = split.labels is not None and split.labels.ndim == 1
    return ["reconstruction", *(["representation"] if labelled else []), "interpolation"]


def _figures(entry: Entry, found: object) -> dict[str, float]:
    """What a metric returned, where it can be shown and kept."""
    who = f"metric {entry.record.name!r} of {entry.origin}"
    if not isinstance(found, Mapping) or not all(is_clean(key, MAX_NAME) for key in found):
        raise InvalidRecord(f"{who} returned {short(found)}, not a mapping of figures by name")
    try:
        return {key: float(value) for key, value in found.items()}
    except Exception as error:  # whatever the value's own conversion raises
        raise InvalidRecord(f"{who} returned what is no number: {as_text(error)}") from error
