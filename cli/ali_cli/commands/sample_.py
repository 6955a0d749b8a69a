"""ali sample"""

from __future__ import annotations

from pathlib import Path

import click

from ali_cli.paths import MODEL, WriteFile
from ali_cli.settings import device_option, json_option, seed_option
from ali_cli.terminal import note, print_json


@click.command(epilog="\b\nExamples:\n  ali sample runs/fashion --out new.png\n"
                      "  ali sample runs/fashion -n 1000 --out new.safetensors\n"
                      "  ali sample runs/conditional -n 8 --condition bag --condition coat --out two.png")  # fmt: skip
@click.argument("model", type=MODEL)
@click.option("-n", "count", type=click.IntRange(1), default=64, show_default=True, help="How many.")
@click.option("--out", type=WriteFile(".png", ".safetensors"), required=True, help="FILE.png or FILE.safetensors.")
@click.option(
    "--condition",
    "conditions",
    multiple=True,
    metavar="NAME[,NAME]",
    help="Of a conditional model; may be repeated, a column for each. [default: every one]",
)
@seed_option
@device_option
@json_option
def command(
    model: str, count: int, out: Path, conditions: tuple[str, ...], seed: int, device: str, as_json: bool
) -> None:
    """Draw samples of MODEL into a PNG grid or a safetensors file.

    A conditional model gives each z a row and each condition a column.
    """
    from ali_plugin.tasks.generate import sample
    from ali_plugin.tasks.inputs import load_model
    from ali_plugin.tasks.output import write_pictures

    images, columns = sample(load_model(model, device), count, seed, conditions)
    write_pictures(images, out, columns)
    if as_json:
        print_json({"path": str(out), "samples": len(images), "seed": seed})
    else:
        note(f"{len(images)} samples in {out}")
