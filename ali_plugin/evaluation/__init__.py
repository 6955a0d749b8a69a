"""The built-in metrics and anomaly scores. A metric's ``build(context)`` returns a mapping of figures."""

from __future__ import annotations

from collections.abc import Callable

from ali_plugin.evaluation.scorers import SCORERS
from ali_registry import Metric, Scorer, hookimpl

HERE = "ali_plugin.evaluation"

METRICS = (
    Metric(
        name="reconstruction",
        summary="x -> z -> x through the posterior mean: squared error, PSNR, SSIM; z -> x -> z: squared error",
        build=f"{HERE}.reconstruction:reconstruction",
    ),
    Metric(
        name="representation",
        summary="L2-SVM on N labels, linear probe and nearest neighbour, on codes and encoder features",
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
    Metric(
        name="anomaly",
        summary="AUROC and average precision of strange samples against ordinary ones, by a scorer",
        build=f"{HERE}.anomaly:anomaly",
    ),
)


@hookimpl
def register_metrics(register: Callable[[Metric], None]) -> None:
    for metric in METRICS:
        register(metric)


@hookimpl
def register_scorers(register: Callable[[Scorer], None]) -> None:
    for scorer in SCORERS:
        register(scorer)
