"""Release a run with the package: ``python model_cards/release.py RUN NAME``, then commit what it wrote.

Encoder and decoder in half precision, the figures that ``ali evaluate`` gives for these very weights, the card, and
the digests of all of it in the manifest. The discriminator, half of the weights, stays behind.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from ali_plugin import ALI
from ali_plugin.errors import FolderError, OptionError
from ali_plugin.evaluation.context import Context
from ali_plugin.evaluation.evaluate import evaluate, suitable
from ali_plugin.folder import evaluation_record, model_folder, released
from ali_plugin.folder.training_record import TrainingRecord
from ali_plugin.hub import card
from ali_plugin.support import atomic
from ali_plugin.support.strict_json import read_object
from ali_plugin.tasks.export import export
from ali_plugin.tasks.inputs import dataset_of
from ali_registry import default_registry

LARGEST = 6_000_000  # bytes of a model's folder; two of them and the code stay under the 10 MB of a wheel
NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")  # as of what is registered
EXTRACTOR = "classifier"  # of the Frechet distance: it needs no download


def release(run: Path, name: str, metrics: Sequence[str] = (), home: Path = released.HOME) -> Path:
    """Write ``home/NAME`` and its line of the manifest, in place of an older release of the name.

    Args:
        metrics: to measure; none for those that suit the data, and the Frechet distance.

    Raises:
        OptionError: the name is none, or the run does not say how it was trained.
        FolderError: the folder would be too large.
    """
    if not NAME.fullmatch(name):
        raise OptionError(f"{name!r} is no name for a model; use one such as garments")
    training = TrainingRecord.from_folder(run)
    if training is None:
        raise OptionError(f"{str(run)!r} does not say how it was trained; give the folder of a run that has ended")
    with tempfile.TemporaryDirectory() as temporary:
        made = Path(temporary) / name
        export(str(run), made, "float16", discriminator=False)
        (made / model_folder.EVALUATION_NAME).unlink(missing_ok=True)  # those are of the weights in full precision
        figures = _evaluate(made, run, metrics)
        card.write(made, name)
        files = model_folder.files_of(made, model_folder.read_config(made))
        if (size := sum((made / file).stat().st_size for file in files)) > LARGEST:
            raise FolderError(f"{name!r} would have {size:,} bytes, a released model has at most {LARGEST:,}")
        target = home / name
        shutil.rmtree(target, ignore_errors=True)
        with atomic.making(target) as folder:
            for file in files:
                shutil.copyfile(made / file, folder / file)
    _note(home / released.MANIFEST_NAME, target, _summary(target, training, figures), files)
    return target


def _evaluate(folder: Path, run: Path, metrics: Sequence[str]) -> Mapping[str, Mapping[str, float]]:
    """Measure the weights as they are released, and keep the figures beside them."""
    model = ALI.from_pretrained(folder)
    source = dataset_of(model, str(run))
    context = Context(model, source.name, source.data_dir, background=source.background, extractor=EXTRACTOR)
    found = evaluate(context, metrics or [*suitable(context), "frechet"])
    figures = evaluation_record.figures_of(found, source.name, context.seed, default_registry())
    evaluation_record.keep(folder, figures)
    return found


def _summary(folder: Path, training: TrainingRecord, figures: Mapping[str, Mapping[str, float]]) -> str:
    config = model_folder.read_config(folder)
    shape = "x".join(map(str, config.data_shape))
    error = figures.get("reconstruction", {}).get("mse")
    measured = "" if error is None else f", squared error of reconstructions {error:.4f}"
    return f"{training.dataset}, {shape}, latent {config.latent_size}, {training.steps:,} steps{measured}"


def _note(manifest: Path, folder: Path, summary: str, files: Sequence[str]) -> None:
    present = read_object(manifest) if manifest.exists() else {}
    digests = {name: released.digest_of(folder / name) for name in files}
    present[folder.name] = {"summary": summary, "files": digests}
    atomic.write(manifest, json.dumps(present, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    torch.set_num_threads(1)  # the same sums in the same order wherever it is run
    print(release(Path(sys.argv[1]), sys.argv[2]))
