"""Run an experiment by name."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from typing import Any, cast

from ali_plugin.errors import OptionError
from ali_plugin.experiments import EXPERIMENTS
from ali_plugin.experiments.record import Options, Result, begun, write
from ali_plugin.support.extras import need


def run(name: str, options: Options) -> dict[str, Any]:
    """Run it, write results.json and the picture into ``options.out``, return the content of results.json.

    Raises:
        FolderError: ``options.out`` is in use, or with ``resume`` of something else.
        OptionError: there is no such experiment, or it does not have an option.
        MissingExtra: a package that draws or measures is not installed.
        ALIError: see the experiments.
    """
    if name not in EXPERIMENTS:
        raise OptionError(f"there is no experiment {name!r}; there are {', '.join(EXPERIMENTS)}")
    for package in ("matplotlib", "sklearn"):  # now, not after the training
        need(package, "an experiment", "eval")
    module, _, attribute = EXPERIMENTS[name].partition(":")
    experiment = cast(Callable[[Options], Result], getattr(importlib.import_module(module), attribute))
    with begun(name, options):
        started = time.perf_counter()
        return write(experiment(options), options, started)
