"""ali reconstruct"""

from __future__ import annotations

from pathlib import Path

import click

from ali_cli.given import Given, shows_data
from ali_cli.paths import WriteFile
from ali_cli.settings import json_option
from ali_cli.terminal import note, print_json


@click.command(epilog="\b\nExamples:\n  ali reconstruct runs/garments --out again.png\n"
                      "  ali reconstruct runs/garments shoe.jpg bag.png --out again.png")  # fmt: skip
@shows_data
@click.option("-n", "count", type=click.IntRange(1), default=50, show_default=True, help="Of a folder or dataset.")
@click.option("--out", type=WriteFile(".png", ".safetensors"), required=True, help="FILE.png or FILE.safetensors.")
@json_option
def command(given: Given, count: int, out: Path, as_json: bool) -> None:
    """Put originals (odd columns) and their reconstructions by MODEL (even columns) into one picture.

    The originals are IMAGES (files, or folders of them), or held-out samples of the dataset.
    """
    from ali_plugin.pictures.grid import side_by_side
    from ali_plugin.tasks.generate import reconstruct
    from ali_plugin.tasks.output import write_pictures

    loaded, inputs = given.load(count)
    originals, again = inputs.x, reconstruct(loaded, inputs)
    write_pictures(side_by_side(originals, again), out, columns=10)
    error = (again - originals).square().mean().item()
    if as_json:
        print_json({"path": str(out), "pictures": len(originals), "mse": error})
    else:
        note(f"{len(originals)} pictures and their reconstructions in {out}, mean squared error {error:.4f}")
