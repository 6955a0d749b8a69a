"""ali encode"""

from __future__ import annotations

from pathlib import Path

import click

from ali_cli.settings import condition_option, data_options, device_option, json_option, note, print_json, seed_option


@click.command(epilog="\b\nExamples:\n  ali encode runs/fashion --out codes.safetensors\n"
                      "  ali encode runs/fashion shoe.jpg --out code.safetensors")  # fmt: skip
@click.argument("model")
@click.argument("images", nargs=-1, type=click.Path(path_type=Path))
@data_options
@condition_option
@click.option("--out", type=click.Path(path_type=Path), required=True, help="FILE.safetensors.")
@seed_option
@device_option
@json_option
def command(
    model: str,
    images: tuple[Path, ...],
    dataset: str | None,
    data_dir: str | None,
    condition: str | None,
    out: Path,
    seed: int,
    device: str,
    as_json: bool,
) -> None:
    """Write MODEL's latents of IMAGES, or of the dataset's held-out samples.

    The file holds ``mean`` and ``sample``, both (N, latent), and ``labels`` where the data have them.
    """
    from ali_plugin.inputs import load_inputs
    from ali_plugin.tasks import encode, load_model, write_tensors

    loaded = load_model(model, device)
    inputs = load_inputs(loaded, model, images, dataset, Path(data_dir) if data_dir else None, condition=condition)
    tensors = encode(loaded, inputs, seed)
    write_tensors(tensors, out)
    if as_json:
        print_json({"path": str(out), "shapes": {name: list(tensor.shape) for name, tensor in tensors.items()}})
    else:
        note(f"latents of {len(inputs.x)} samples in {out}: {', '.join(tensors)}")
