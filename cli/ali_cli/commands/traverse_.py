"""ali traverse"""

from __future__ import annotations

from pathlib import Path

import click

from ali_cli.paths import MODEL, ReadPath, WriteFile
from ali_cli.settings import background_option, condition_option, device_option, json_option
from ali_cli.terminal import note, print_json


@click.command(epilog="\b\nExamples:\n  ali traverse runs/garments --out directions.png\n"
                      "  ali traverse runs/garments shoe.jpg --directions 4 --range 2 --out shoe.png\n"
                      "  ali traverse runs/garments --index 3 --index 7 --steps 15 --out two.png")  # fmt: skip
@click.argument("model", type=MODEL)
@click.argument("image", required=False, type=ReadPath())
@click.option("--directions", type=click.IntRange(1), default=8, show_default=True,
              help="How many: those that change the pictures most, the first the most.")  # fmt: skip
@click.option("--index", "chosen", type=click.IntRange(0), multiple=True, metavar="I",
              help="Of a direction, instead; may be repeated.")  # fmt: skip
@click.option("--steps", type=click.IntRange(2), default=9, show_default=True, help="Pictures in a row.")
@click.option("--range", "reach", type=float, metavar="R", default=3.0, show_default=True,
              help="A direction goes from -R to R, in deviations of the prior.")  # fmt: skip
@click.option("--out", type=WriteFile(".png", ".safetensors"), required=True, help="FILE.png or FILE.safetensors.")
@background_option
@condition_option
@device_option
@json_option
def command(
    model: str,
    image: Path | None,
    directions: int,
    chosen: tuple[int, ...],
    steps: int,
    reach: float,
    out: Path,
    background: str | None,
    condition: str | None,
    device: str,
    as_json: bool,
) -> None:
    """Show what single directions of MODEL's latent space do, one a row, from -R to R.

    The other directions stay where IMAGE's code has them, or at 0, the middle of the prior.
    """
    from ali_plugin.tasks.inputs import load_inputs, load_model
    from ali_plugin.tasks.output import write_pictures
    from ali_plugin.tasks.traverse import traversals

    loaded = load_model(model, device)
    start = None
    if image is not None:
        start = load_inputs(loaded, model, [image], condition=condition, background=background)
    made = traversals(loaded, chosen or directions, steps, reach, start=start, condition=condition)
    write_pictures(made.images.flatten(0, 1), out, columns=steps)
    if as_json:
        print_json({"path": str(out), "directions": list(made.directions), "steps": steps})
    else:
        note(f"{len(made.directions)} directions of {steps} steps in {out}: {', '.join(map(str, made.directions))}")
