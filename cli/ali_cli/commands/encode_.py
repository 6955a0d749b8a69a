"""ali encode"""

from __future__ import annotations

from pathlib import Path

import click

from ali_cli.given import Given, shows_data
from ali_cli.paths import WriteFile
from ali_cli.settings import json_option, seed_option
from ali_cli.terminal import note, print_json


@click.command(epilog="\b\nExamples:\n  ali encode runs/garments --out codes.safetensors\n"
                      "  ali encode runs/garments shoe.jpg --out code.safetensors")  # fmt: skip
@shows_data
@click.option("--out", type=WriteFile(".safetensors"), required=True, help="FILE.safetensors.")
@seed_option
@json_option
def command(given: Given, out: Path, seed: int, as_json: bool) -> None:
    """Write MODEL's latents of IMAGES (files, or folders of them), or of the dataset's held-out samples.

    Of the dataset image-folder, latents of all pictures are written. The file holds ``mean`` and ``sample``, both
    (N, latent), and ``labels`` where the data have them; where samples are files, its metadata has ``names``, a JSON
    list of N.
    """
    from ali_plugin.tasks.generate import encode
    from ali_plugin.tasks.output import write_tensors

    loaded, inputs = given.load(whole=True)
    tensors = encode(loaded, inputs, seed)
    write_tensors(tensors, out, inputs.names)
    if as_json:
        print_json({"path": str(out), "shapes": {name: list(tensor.shape) for name, tensor in tensors.items()}})
    else:
        note(f"latents of {len(inputs.data)} samples in {out}: {', '.join(tensors)}")
