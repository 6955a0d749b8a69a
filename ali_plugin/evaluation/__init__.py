"""The built-in metrics. A metric's ``build(context)`` returns a mapping of figures."""

from __future__ import annotations

from collections.abc import Callable

from ali_registry import Metric, hookimpl

HERE = "ali_plugin.evaluation"

METRICS = (
    Metric(
        name="reconstruction",
        summary="x -> z -> x through the posterior mean: squared error, PSNR, SSIM; z -> x -> z: squared error",
        build=f"{HERE}.reconstruction:reconstruction",
    ),
    Metric(
        name="representation",
        summary="classes: L2-SVM, linear probe and nearest neighbour on codes and encoder features, raw data and PCA",
        build=f"{HERE}.representation:representation",
    ),
    Metric(
        name="modes",
        summary="mixture: modes covered, high quality within 3 sigma (2,500 samples), the prior's coverage by q(z)",
        build=f"{HERE}.modes:modes",
    ),
    Metric(
        name="frechet",
        summary="Frechet distance, precision, recall, density, coverage, with the extractor's name and floor",
        build=f"{HERE}.frechet:frechet",
    ),
    Metric(
        name="interpolation",
        summary="smoothness of decoded lines between the codes of held-out samples",
        build=f"{HERE}.interpolation:interpolation",
    ),
)


@hookimpl
def register_metrics(register: Callable[[Metric], None]) -> None:
    for metric in METRICS:
        register(metric)
