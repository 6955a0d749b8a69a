"""ali score"""

from __future__ import annotations

from pathlib import Path

import click

from ali_cli.given import Given, shows_data
from ali_cli.paths import WriteFile
from ali_cli.settings import hide_progress_if_quiet, json_option, scorer_options
from ali_cli.terminal import note, print_json


@click.command(epilog="\b\nExamples:\n  ali score runs/garments --out scores.csv\n"
                      "  ali score runs/garments --out strangest.png\n"
                      "  ali score runs/garments shoe.jpg bag.png --scorer combined --threshold 0.95 --out scores.csv\n"
                      "  ali score runs/garments --scorer latent --set scorer.against=knn --out scores.safetensors"
               )  # fmt: skip
@shows_data
@scorer_options
@click.option("--threshold", type=float, help="Call strange what is beyond this share of the scores of ordinary data, "
              "held out from the training.")  # fmt: skip
@click.option("-n", "count", type=click.IntRange(1), help="At most so many of a folder or dataset. [default: all]")
@click.option("--out", type=WriteFile(".csv", ".safetensors", ".png"), required=True,
              help="FILE.csv, FILE.safetensors, or FILE.png: the strangest and the most ordinary.")  # fmt: skip
@json_option
def command(
    given: Given,
    scorer: str,
    chosen: tuple[str, ...],
    threshold: float | None,
    count: int | None,
    out: Path,
    as_json: bool,
) -> None:
    """Write how strange IMAGES (files, or folders of them), or the dataset's held-out samples, are to MODEL.

    Higher is stranger. Scorers that compare with training data, and --threshold, take those that MODEL was trained on;
    where it does not know them, --dataset and --data-dir beside IMAGES say which they are. A picture of the scorer
    reconstruction also shows where each picture is strange, all in one scale.
    """
    from ali_plugin.config import settings
    from ali_plugin.tasks.score import Ordinary, score, write

    hide_progress_if_quiet()
    options = settings.parse(chosen, settings.SCORER).get("scorer", {})
    loaded, inputs = given.load(count)
    ordinary = Ordinary(loaded, given.model, given.dataset, given.data_dir, of_training=bool(given.images))
    scored = score(loaded, inputs, ordinary, scorer, options, threshold)
    write(scored, out)
    strange = scored.strange
    if as_json:
        print_json({
            "path": str(out),
            "samples": len(scored.scores),
            "scorer": scorer,
            "highest": scored.scores.max().item(),
            "median": scored.scores.median().item(),
            "limit": scored.limit,
            "strange": None if strange is None else int(strange.sum()),
        })  # fmt: skip
        return
    counted = "" if strange is None else f", {int(strange.sum())} of them beyond {scored.limit:.4g}"
    note(f"scores of {len(scored.scores)} samples in {out}{counted}")
