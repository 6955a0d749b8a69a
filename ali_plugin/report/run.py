"""What a run's folder has to show."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from ali_plugin.errors import ALIError, DataError, FolderError
from ali_plugin.folder.checked import Checked, check
from ali_plugin.folder.model_folder import RECONSTRUCTIONS_NAME, SAMPLES_NAME
from ali_plugin.model import ALI
from ali_plugin.pictures.decode import read_whole
from ali_plugin.pictures.grid import grid
from ali_plugin.report.stills import LONGEST
from ali_plugin.tasks.generate import interpolate
from ali_plugin.tasks.inputs import load_inputs, load_model
from ali_plugin.tasks.traverse import REACH, traversals
from ali_plugin.training import metrics
from ali_plugin.training.callbacks.record import command
from ali_plugin.training.config import TRAIN_CONFIG_NAME, TrainConfig
from ali_plugin.training.run_folder import SAMPLES
from ali_registry import Registry, default_registry
from ali_registry.text import printable

PICTURE = re.compile(r"step-(\d{9})-(samples|reconstructions)\.png")
MOST_LINES = 4096  # of metrics.jsonl that are looked at
SHOWN = {
    "samples": ("Samples", "Grid of samples for fixed z"),
    "reconstructions": ("Held-out originals, each beside its reconstruction", "Held-out originals and reconstructions"),
}
"""What a picture file shows: its title, and the beginning of its text for who does not see it."""
PATHS, STEPS = 8, 10  # of interpolations


@dataclass(frozen=True)
class Frame:
    """Pictures of one step: of fixed z and of fixed held-out data, as files, by what they show."""

    step: int
    files: dict[str, Path]


@dataclass(frozen=True)
class Picture:
    """A picture of the page.

    Attributes:
        alt: what it shows, for who does not see it.
    """

    title: str
    alt: str
    image: Image.Image


@dataclass(frozen=True)
class Made(Picture):
    """One that was made of the trained model for the report."""

    caption: str


@dataclass(frozen=True)
class RunFolder:
    """A run as it stands.

    Attributes:
        name: to call it on the page.
        lines: figures of its log, in order.
        frames: pictures over time, the newest last.
        made: pictures of the model as it is now.
        notes: what could not be shown, and why.
    """

    name: str
    config: TrainConfig
    model: Checked
    lines: list[dict[str, float]]
    frames: list[Frame]
    made: list[Made] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def last(self) -> dict[str, float]:
        """The newest figures."""
        return self.lines[-1]

    @property
    def step(self) -> int:
        """The newest one that has figures."""
        return int(self.last["step"])

    def figures(self, name: str) -> list[float]:
        """One figure over time, [] where the run has none of the name."""
        return [line[name] for line in self.lines if name in line]

    @property
    def command(self) -> str:
        """That makes the run again."""
        return self.model.training.command if self.model.training else command(self.config)

    def pictures(self, frame: Frame) -> list[Picture]:
        """Those of a step; a note where one cannot be shown."""
        found = []
        for what, path in sorted(frame.files.items(), reverse=True):
            title, grid_of = SHOWN[what]
            try:
                image = read_whole(path, LONGEST)
            except DataError as error:
                self.notes.append(printable(f"{path.name} cannot be shown: {error}", 300))
                continue
            found.append(Picture(title, f"{grid_of} of {self.name} at step {frame.step:,}", image))
        return found

    def made_as(self, title: str) -> Made | None:
        """The picture of a title, if it was made of this run."""
        return next((made for made in self.made if made.title == title), None)


def read(folder: Path, name: str, registry: Registry | None = None, device: str = "auto") -> RunFolder:
    """Look at a run.

    Raises:
        FolderError: it is no run, or has no figures.
        ConfigError, WeightsError: its config, records or weights are not sound.
    """
    if not (folder / TRAIN_CONFIG_NAME).is_file():
        raise FolderError(f"{str(folder)!r} is no run, it has no {TRAIN_CONFIG_NAME}; name a folder of `ali train`")
    config = TrainConfig.from_file(folder / TRAIN_CONFIG_NAME)
    lines = metrics.read(folder / metrics.METRICS_NAME, MOST_LINES)
    model = check(folder, registry or default_registry())
    end = model.training.steps if model.training else -1
    run = RunFolder(name, config, model, lines, _frames(folder, end))
    _make(run, device)
    return run


def _frames(folder: Path, end: int) -> list[Frame]:
    """Pictures over time, with those of the run's end."""
    found: dict[int, dict[str, Path]] = {}
    for path in sorted((folder / SAMPLES).iterdir()) if (folder / SAMPLES).is_dir() else ():
        if named := PICTURE.fullmatch(path.name):
            found.setdefault(int(named[1]), {})[named[2]] = path
    last = {path.stem: path for path in (folder / SAMPLES_NAME, folder / RECONSTRUCTIONS_NAME) if path.is_file()}
    if last and end > max(found, default=-1):  # a run that was stopped between two grids
        found[end] = last
    return [Frame(step, files) for step, files in sorted(found.items())]


def spread(frames: list[Frame], most: int) -> list[Frame]:
    """At most so many of them, evenly, the first and the last among them."""
    if len(frames) <= most:
        return frames
    return [frames[i] for i in np.linspace(0, len(frames) - 1, most).round().astype(int)]


def _make(run: RunFolder, device: str) -> None:
    """Draw what takes the model and its data; a note where these are not at hand."""
    if len(run.model.config.data_shape) != 3:
        return
    try:
        model = load_model(str(run.model.path), device)
    except ALIError as error:
        run.notes.append(printable(f"no interpolations, no traversals: {error}", 500))
        return
    for what, draw in (("interpolations", _interpolations), ("traversals", _traversals)):
        try:
            run.made.append(draw(run, model))
        except ALIError as error:
            run.notes.append(printable(f"no {what}: {error}", 500))


def _interpolations(run: RunFolder, model: ALI) -> Made:
    inputs = load_inputs(model, str(run.model.path), limit=2 * PATHS)
    paths = interpolate(model, inputs.paired(), STEPS)
    return Made(
        title="Interpolations",
        alt=f"{len(paths)} paths between two held-out samples through the latent space of {run.name}",
        image=grid(paths.flatten(0, 1), STEPS + 2),
        caption="Lines between the codes of two held-out samples, decoded; the originals are at both ends.",
    )


def _traversals(run: RunFolder, model: ALI) -> Made:
    """Around the middle of the prior, or of a held-out sample where a condition has to come from somewhere."""
    start = load_inputs(model, str(run.model.path), limit=1) if model.config.condition_size else None
    made = traversals(model, start=start)
    count, steps = made.images.shape[:2]
    return Made(
        title="Traversals",
        alt=f"{count} directions of the latent space of {run.name}, one a row: {', '.join(map(str, made.directions))}",
        image=grid(made.images.flatten(0, 1), steps),
        caption=f"One element of z a row, from -{REACH:g} to {REACH:g}, those that change the data most; the others "
        "are 0, or a held-out sample's where the model has conditions.",
    )
