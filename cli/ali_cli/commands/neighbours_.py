"""ali neighbours"""

from __future__ import annotations

from pathlib import Path

import click

from ali_cli.given import Given, shows_pictures
from ali_cli.paths import WriteFile
from ali_cli.settings import json_option
from ali_cli.terminal import note, print_json, print_table


@click.command(epilog="\b\nExamples:\n  ali neighbours runs/garments shoe.jpg\n"
                      "  ali neighbours runs/garments shoe.jpg bag.png -n 5 --out alike.png")  # fmt: skip
@shows_pictures
@click.option("-n", "count", type=click.IntRange(1), default=8, show_default=True, help="Neighbours of each.")
@click.option("--out", type=WriteFile(".png", ".safetensors"),
              help="FILE.png or FILE.safetensors: each picture, and then its neighbours, in a row.")  # fmt: skip
@json_option
def command(given: Given, count: int, out: Path | None, as_json: bool) -> None:
    """Find the held-out pictures whose codes by MODEL are nearest to those of IMAGES (files, or folders of them).

    The held-out pictures are of the dataset that MODEL was trained on, or of --dataset.
    """
    from ali_plugin.tasks.neighbours import held_out, neighbours
    from ali_plugin.tasks.output import write_pictures

    loaded, inputs = given.load()
    dataset, split = held_out(loaded, given.model, given.dataset, given.data_dir, given.background)
    for line in split.notes:
        note(line)
    found = neighbours(loaded, inputs, split, count)
    if out is not None:
        write_pictures(found.images.flatten(0, 1), out, columns=found.images.shape[1])
    rows = found.rows()
    if as_json:
        print_json({"path": None if out is None else str(out), "dataset": dataset, "pictures": rows})
        return
    print_table(
        f"nearest held-out samples of {dataset}",
        ("picture", "distance", "neighbour"),
        [(row["image"], f"{near['distance']:.4f}", near["name"]) for row in rows for near in row["neighbours"]],
        right=("distance",),
    )
