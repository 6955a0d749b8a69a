"""ali interpolate"""

from __future__ import annotations

from pathlib import Path

import click

from ali_cli.given import Given, shows_data
from ali_cli.paths import WriteFile
from ali_cli.settings import json_option
from ali_cli.terminal import note, print_json


@click.command(epilog="\b\nExamples:\n  ali interpolate runs/garments --out paths.png\n"
                      "  ali interpolate runs/garments shoe.jpg bag.png --steps 12 --out path.png")  # fmt: skip
@shows_data
@click.option("--steps", type=click.IntRange(2), default=8, show_default=True, help="Pictures on a path.")
@click.option("--rows", type=click.IntRange(1), default=8, show_default=True, help="Paths, with a folder or dataset.")
@click.option("--out", type=WriteFile(".png", ".safetensors"), required=True, help="FILE.png or FILE.safetensors.")
@json_option
def command(given: Given, steps: int, rows: int, out: Path, as_json: bool) -> None:
    """Draw paths between two pictures through MODEL's latent space, the originals at both ends.

    The ends are IMAGES, two for each row, or pictures of a folder, or held-out samples of the dataset.
    """
    from ali_plugin.tasks.generate import interpolate
    from ali_plugin.tasks.output import write_pictures

    loaded, inputs = given.load(2 * rows)
    paths = interpolate(loaded, inputs if given.each_named else inputs.paired(), steps)
    write_pictures(paths.flatten(0, 1), out, columns=steps + 2)
    if as_json:
        print_json({"path": str(out), "rows": len(paths), "steps": steps})
    else:
        note(f"{len(paths)} paths of {steps} steps in {out}")
