"""Experiments of the paper and after it, one function each: ``experiment(Options) -> Result``. No torch here."""

from __future__ import annotations

EXPERIMENTS = {
    "mixture": "ali_plugin.experiments.mixture:mixture",
    "representation": "ali_plugin.experiments.representation:representation",
    "semi-supervised": "ali_plugin.experiments.semi_supervised:semi_supervised",
    "conditional": "ali_plugin.experiments.conditional:conditional",
    "modes": "ali_plugin.experiments.modes:modes",
    "games": "ali_plugin.experiments.games:games",
    "anomaly": "ali_plugin.experiments.anomaly:anomaly",
}
