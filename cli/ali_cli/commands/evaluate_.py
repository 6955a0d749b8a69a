"""ali evaluate"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from ali_cli.paths import MODEL
from ali_cli.settings import (
    data_options,
    device_option,
    hide_progress_if_quiet,
    json_option,
    scorer_options,
    seed_option,
)
from ali_cli.terminal import note, print_json, print_table
from ali_registry import default_registry


@click.command(epilog="\b\nExamples:\n  ali evaluate runs/garments\n"
                      "  ali evaluate runs/garments --metric reconstruction --json\n"
                      "  ali evaluate runs/garments --metric representation --labels 100 --labels 1000\n"
                      "  ali evaluate runs/garments --metric frechet --extractor classifier\n"
                      "  ali evaluate runs/garments --metric anomaly --strange bag --scorer combined")  # fmt: skip
@click.argument("model", type=MODEL)
@click.option("--metric", "metrics", multiple=True, help="As `ali list metric` shows them; may be repeated. "
              "[default: what suits the data and takes no training]")  # fmt: skip
@click.option(
    "--labels",
    type=int,
    multiple=True,
    help="Labelled samples of the L2-SVM; may be repeated. [default: 1000, or what there are of each class]",
)
@click.option("--label-sets", default=10, show_default=True, help="Random sets of them; the paper takes 100.")
@click.option("--samples", default=10_000, show_default=True, help="Drawn for frechet and kid, at most.")
@click.option("--extractor", default="auto", show_default=True, help="Of its features: inception, classifier, or a "
              "checkpoint such as resnet18:weights.safetensors.")  # fmt: skip
@click.option("--strange", multiple=True, help="Of the metric anomaly: a class, or a folder of pictures, that is "
              "strange to the model; may be repeated.")  # fmt: skip
@click.option("--normal", multiple=True, help="Or a class that is not, where all others are; may be repeated.")
@scorer_options
@data_options
@seed_option
@device_option
@json_option
def command(
    model: str,
    metrics: tuple[str, ...],
    dataset: str | None,
    data_dir: Path | None,
    background: str | None,
    seed: int,
    device: str,
    as_json: bool,
    chosen: tuple[str, ...],
    **options: Any,
) -> None:
    """Measure MODEL on held-out data of its dataset.

    The figures are kept in evaluation.json in MODEL's folder, from where its card takes them.
    """
    from ali_plugin.config import settings
    from ali_plugin.evaluation.context import Context
    from ali_plugin.evaluation.evaluate import evaluate
    from ali_plugin.folder import evaluation_record as record
    from ali_plugin.tasks.inputs import dataset_of, load_model

    hide_progress_if_quiet()
    of_scorer = settings.parse(chosen, settings.SCORER).get("scorer", {})
    if Path(model).is_dir():
        record.read(Path(model))  # one that is damaged is found before the work
    loaded = load_model(model, device)
    source = dataset_of(loaded, model, dataset, data_dir, background)
    context = Context(
        loaded, source.name, source.data_dir, seed, background=source.background, scorer_options=of_scorer, **options
    )
    figures = evaluate(context, metrics)
    for line in context.notes:
        note(line)
    if as_json:
        print_json({"model": model, "dataset": source.name, "metrics": figures})
    else:
        _print(figures, f"{model} on {source.name}")
    if Path(model).is_dir():
        record.keep(Path(model), record.figures_of(figures, source.name, seed, default_registry()))


def _print(figures: Mapping[str, Mapping[str, float]], title: str) -> None:
    rows = [(metric, key, f"{value:.4g}") for metric, found in figures.items() for key, value in found.items()]
    print_table(title, ["metric", "figure", "value"], rows, right=["value"])
