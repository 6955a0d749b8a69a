"""ali sample"""

from __future__ import annotations

from pathlib import Path

import click

from ali_cli.settings import device_option, json_option, note, print_json, seed_option


@click.command(epilog="\b\nExamples:\n  ali sample runs/fashion --out new.png\n"
                      "  ali sample runs/fashion -n 1000 --out new.safetensors")  # fmt: skip
@click.argument("model")
@click.option("-n", "count", type=click.IntRange(1), default=64, show_default=True, help="How many.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="FILE.png or FILE.safetensors.")
@seed_option
@device_option
@json_option
def command(model: str, count: int, out: Path, seed: int, device: str, as_json: bool) -> None:
    """Draw samples of MODEL into a PNG grid or a safetensors file.

    MODEL is a run folder or a model folder.
    """
    from ali_plugin.tasks import load_model, sample, write_pictures

    images = sample(load_model(model, device), count, seed)
    write_pictures(images, out)
    if as_json:
        print_json({"path": str(out), "samples": count, "seed": seed})
    else:
        note(f"{count} samples in {out}")
