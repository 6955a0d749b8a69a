"""ali sample"""

from __future__ import annotations

from pathlib import Path

import click

from ali_cli.paths import MODEL, ReadPath, WriteFile
from ali_cli.settings import background_option, device_option, json_option, seed_option
from ali_cli.terminal import note, print_json
from ali_plugin.errors import OptionError


@click.command(epilog="\b\nExamples:\n  ali sample fashion-residual --out garments.png\n"
                      "  ali sample runs/garments --out new.png\n"
                      "  ali sample runs/garments -n 1000 --out new.safetensors\n"
                      "  ali sample runs/garments -n 100 --truncation 0.8 --out new\n"
                      "  ali sample runs/garments --from pictures -n 4 --out alike.png\n"
                      "  ali sample runs/conditional -n 8 --condition bag --condition coat --out two.png")  # fmt: skip
@click.argument("model", type=MODEL)
@click.option("-n", "count", type=click.IntRange(1), help="How many. [default: 64, or 1 for each picture of --from]")
@click.option("--out", type=WriteFile(".png", ".safetensors", or_folder=True), required=True,
              help="FILE.png, FILE.safetensors, or a new FOLDER for single files.")  # fmt: skip
@click.option("--truncation", type=float, metavar="T",
              help="Draw no element of z beyond T: 2 is mild, 0.5 is strong; samples become alike.")  # fmt: skip
@click.option("--from", "images", type=ReadPath(), multiple=True, metavar="PICTURES",
              help="Draw samples like these, from the codes of a file or of a folder of them; may be repeated.",
              )  # fmt: skip
@click.option(
    "--condition",
    "conditions",
    multiple=True,
    metavar="NAME[,NAME]",
    help="Of a conditional model; may be repeated, a column for each. [default: every one]",
)
@background_option
@seed_option
@device_option
@json_option
def command(
    model: str,
    count: int | None,
    out: Path,
    truncation: float | None,
    images: tuple[Path, ...],
    conditions: tuple[str, ...],
    background: str | None,
    seed: int,
    device: str,
    as_json: bool,
) -> None:
    """Draw samples of MODEL into a PNG grid, a safetensors file, or a folder of PNG files in the samples' own size.

    A conditional model gives each z a row and each condition a column. With --from, each picture has a row of samples
    that are decoded from draws of its posterior.
    """
    from ali_plugin.tasks.generate import sample, sample_like
    from ali_plugin.tasks.inputs import load_inputs, load_model
    from ali_plugin.tasks.output import write_samples

    if images and truncation is not None:
        raise OptionError("--truncation is of the prior, --from draws from posteriors; leave one of them out")
    if images and len(conditions) > 1:
        raise OptionError("with --from, one --condition says what the pictures are; name it once")
    if background is not None and not images:
        raise OptionError("--background lies under the pictures of --from; leave it out")
    loaded = load_model(model, device)
    if images:
        inputs = load_inputs(
            loaded, model, images, condition=conditions[0] if conditions else None, background=background
        )
        for line in inputs.notes:
            note(line)
        drawn, columns = sample_like(loaded, inputs, count or 1, seed)
    else:
        drawn, columns = sample(loaded, count or 64, seed, conditions, truncation)
    write_samples(drawn, out, columns)
    if as_json:
        print_json({"path": str(out), "samples": len(drawn), "seed": seed})
    else:
        note(f"{len(drawn)} samples in {out}")
