"""ali export"""

from __future__ import annotations

from pathlib import Path

import click

from ali_cli.paths import MODEL, WriteFolder
from ali_cli.settings import json_option
from ali_cli.terminal import note, print_json


@click.command(epilog="\b\nExamples:\n  ali export runs/garments --out fashion-model\n"
                      "  ali export runs/garments --out small --dtype bfloat16 --no-discriminator\n"
                      "  ali export runs/garments --out fashion-pipeline --format diffusers")  # fmt: skip
@click.argument("model", type=MODEL)
@click.option("--out", type=WriteFolder(), required=True, help="A new or empty folder.")
@click.option("--dtype", type=click.Choice(["float32", "bfloat16", "float16"]), default="float32", show_default=True,
              help="Of the weights.")  # fmt: skip
@click.option("--no-discriminator", is_flag=True, help="Leave the discriminator out.")
@click.option("--format", "layout", type=click.Choice(["ali", "diffusers"]), default="ali", show_default=True,
              help="Layout: one file of weights, or the folder of a diffusers pipeline.")  # fmt: skip
@json_option
def command(model: str, out: Path, dtype: str, no_discriminator: bool, layout: str, as_json: bool) -> None:
    """Write MODEL as a folder with nothing but what is published: config, weights, card and pictures."""
    from ali_plugin.tasks.export import export

    files = export(model, out, dtype, discriminator=not no_discriminator, layout=layout)
    if as_json:
        print_json({"path": str(out), "files": files})
    else:
        note(f"{out}: {', '.join(files)}")
