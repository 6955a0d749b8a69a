"""A run that is continued: which of its choices may be others now. No torch here."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from ali_plugin.config import settings, shapes
from ali_plugin.config.settings import Settings
from ali_plugin.errors import OptionError
from ali_plugin.pictures import background
from ali_plugin.training.config import TrainConfig
from ali_plugin.training.configure import NO_SIZE, data_shape, records, with_absolute_folder
from ali_plugin.training.option import option_of
from ali_registry import Registry


def continued(saved: TrainConfig, options: dict[str, Any], registry: Registry) -> TrainConfig:
    """The saved config of a run, with the options that a continued run may change.

    Raises:
        OptionError: an option contradicts the run.
    """
    given = {name: value for name, value in options.items() if value is not None}
    if "settings" in given:
        given["settings"] = _same(saved, given["settings"], registry)
    given = _without_size(saved, given, registry)
    if "background" in given:
        given["background"] = background.named(given["background"])
    changed = {name: value for name, value in given.items() if value != getattr(saved, name)}
    resumable = {choice.name for choice in fields(saved) if option_of(choice).resumable}
    if refused := sorted(set(changed) - resumable):
        name = refused[0]
        raise _another(name, getattr(saved, name), changed[name])
    if "steps" in changed:
        changed.setdefault("epochs", None)
    elif "epochs" in changed:
        changed["steps"] = None
    continued = replace(saved, **changed)
    return with_absolute_folder(continued, registry) if "data_dir" in changed else continued


def _same(saved: TrainConfig, given: Any, registry: Registry) -> Settings:
    """The settings of a run, which are given once more.

    Raises:
        OptionError: one of them is another.
    """
    for room, record in records(saved, registry).items():
        kept = settings.complete(record, saved.settings.get(room, {}))
        for name, value in settings.checked(record, settings.nested(given).get(room, {})).items():
            if value != kept[name]:
                raise _another(f"{room}.{name}", kept[name], value)
    return saved.settings


def _without_size(saved: TrainConfig, given: dict[str, Any], registry: Registry) -> dict[str, Any]:
    """The options without a size of pictures that is the run's; raises OptionError for another."""
    asked = {name: given[name] for name in NO_SIZE if name in given}
    kept = shapes.told(data_shape(saved, registry)) if asked else {}
    for name, value in asked.items():
        if (shapes.image_size(value) if name == "image_size" else value) != kept.get(name):
            raise _another(name, kept.get(name), value)
    return {name: value for name, value in given.items() if name not in asked}


def _another(name: str, kept: Any, given: Any) -> OptionError:
    return OptionError(
        f"the run was started with {name} {kept!r}, not {given!r}; leave the option out to continue it, or start "
        "another run with another --out"
    )
