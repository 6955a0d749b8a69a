"""What somebody with pictures gets, beside the paper's net of the same size: ``python benchmarks/own_pictures.py OUT``.

On 300 landscapes and 5,000 shapes (``picture_folders.py``), at 32 and at 64 pixels, ``ali train``'s own choice and the
paper's ``svhn`` or ``celeba`` train for the same minutes. OUT/results.json and the table have for each the squared
error of held-out pictures beside that of PCA, the Fréchet distance in the features of a classifier, and recall;
OUT/PICTURES-PIXELS.png has samples and reconstructions. What is there is not trained again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ali_plugin.evaluation.baselines import baselines
from ali_plugin.evaluation.evaluate import evaluate
from ali_plugin.experiments.figures import picture_grids
from ali_plugin.experiments.images import context_of, reconstruction_grid, sample_grid
from ali_plugin.experiments.record import Options
from ali_plugin.experiments.training import Length, Trained, train
from ali_plugin.support import atomic, machine

PICTURES, PAPER = ("scenes", "shapes"), {32: "svhn", 64: "celeba"}
OWN = "the choice of ali train"
COLUMNS = ("pictures", "pixels", "net", "squared error", "of PCA", "Frechet", "floor", "recall", "steps")
LINES = 4  # of each grid of pictures


def figures(trained: Trained, options: Options) -> dict[str, float]:
    """What the table has of a model."""
    context = replace(context_of(trained.model, options), extractor="classifier")
    found = evaluate(context, ["reconstruction", "frechet"])
    frechet = {name.partition(" ")[0]: value for name, value in found["frechet"].items()}
    return {
        "squared error": found["reconstruction"]["mse"],
        "of PCA": baselines(context)["pca"]["mse"],
        "Frechet": frechet["distance"],
        "floor": frechet["floor"],
        "recall": frechet["recall"],
        **trained.figures,
    }


def compare(pictures: str, side: int, options: Options, minutes: float) -> list[dict[str, Any]]:
    """Train both nets on a folder at a size: a row for each, and the picture."""
    rows, grids = [], {}
    for net, choices in ((OWN, {"image_size": side}), (PAPER[side], {"architecture": PAPER[side]})):
        trained = train(options, f"{pictures} {side} {net}", Length(minutes=minutes), **choices)
        rows.append({"pictures": pictures, "pixels": side, "net": net, **figures(trained, options)})
        again = reconstruction_grid(context_of(trained.model, options))
        grids[net] = [
            ("samples", sample_grid(trained.model, options.seed)[:LINES]),
            ("originals and reconstructions", again[:LINES]),
        ]
    picture_grids(grids, options.out / f"{pictures}-{side}.png")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    folder: Path = given.out / "pictures"
    if not folder.exists():
        subprocess.run([sys.executable, Path(__file__).with_name("picture_folders.py"), folder], check=True)
    made = {"minutes": given.minutes, "seed": given.seed, "threads": torch.get_num_threads(),
            "versions": machine.versions(), "hardware": machine.hardware(torch.device("cpu")), "rows": []}  # fmt: skip
    for pictures in PICTURES:
        for side in PAPER:
            options = Options(
                out=given.out, seed=given.seed, resume=True, dataset="image-folder", data_dir=folder / pictures
            )
            made["rows"] += compare(pictures, side, options, given.minutes)
            atomic.write(given.out / "results.json", json.dumps(made, indent=2) + "\n")
    print(f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}", sep="\n")
    for row in made["rows"]:
        cells = (f"{row[name]:.3g}" if isinstance(row[name], float) else str(row[name]) for name in COLUMNS)
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
