"""The built-in metrics. A metric's ``build(context)`` returns a mapping of figures."""

from __future__ import annotations

from collections.abc import Callable

from ali_registry import Metric, hookimpl


@hookimpl
def register_metrics(register: Callable[[Metric], None]) -> None:
    register(
        Metric(
            name="reconstruction",
            summary="mean squared error and PSNR of x -> z -> x on held-out data",
            build="ali_plugin.evaluation.reconstruction:reconstruction",
        )
    )
    register(
        Metric(
            name="representation",
            summary="nearest-neighbour accuracy of the codes",
            build="ali_plugin.evaluation.representation:representation",
        )
    )
