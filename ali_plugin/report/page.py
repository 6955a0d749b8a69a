"""Reports put together: what runs have to show, in the template beside this file."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from ali_plugin.errors import OptionError
from ali_plugin.report import curves, tables
from ali_plugin.report.run import RunFolder, read, spread
from ali_plugin.report.stills import data_uri
from ali_plugin.version import __version__
from ali_registry import Registry, default_registry
from ali_registry.text import printable

MOST_RUNS = 8
MOST_BYTES = 4_900_000
LEAST_ROOM = 2_000  # characters of a picture
MOST_FRAMES = 32  # of all runs together, at least 4 of each
LONGEST = 10_000  # characters of a text


def report(folders: Sequence[Path], registry: Registry | None = None, device: str = "auto") -> tuple[str, list[str]]:
    """An HTML page of runs, side by side if they are several, and what it could not show.

    Args:
        device: where pictures are drawn with the trained models.

    Raises:
        OptionError: too many runs for a page.
        FolderError: a folder is no run, or has no figures.
        ConfigError, WeightsError: a run's config, records or weights are not sound.
    """
    if len(folders) > MOST_RUNS:
        raise OptionError(f"{len(folders)} runs are too many for one page; name at most {MOST_RUNS}")
    registry = registry or default_registry()
    runs = [read(folder, name, registry, device) for folder, name in zip(folders, _names(folders), strict=True)]
    return _page(runs, registry), [f"{run.name}: {note}" for run in runs for note in run.notes]


def _names(folders: Sequence[Path]) -> list[str]:
    """The last part of each path, or as many parts as it takes to tell them apart."""
    paths = [Path(os.path.abspath(folder)) for folder in folders]
    longest = max(len(path.parts) for path in paths)
    told_apart = (n for n in range(1, longest) if len({path.parts[-n:] for path in paths}) == len(set(paths)))
    count = next(told_apart, longest)
    return [printable("/".join(path.parts[-count:]), 100) for path in paths]


def _page(runs: Sequence[RunFolder], registry: Registry) -> str:
    """The page, whose pictures share the room that the rest of it leaves."""
    frames = [spread(run.frames, max(MOST_FRAMES // len(runs), 4)) for run in runs]
    shown = [[(frame.step, run.pictures(frame)) for frame in own] for run, own in zip(runs, frames, strict=True)]
    titles = dict.fromkeys((made.title, made.caption) for run in runs for made in run.made)
    made = [(title, caption, [run.made_as(title) for run in runs]) for title, caption in titles]
    script, style = _asset("page.js"), _asset("page.css")
    evaluation = tables.evaluation(runs, registry)
    parts: dict[str, Any] = {
        "version": __version__,
        "title": _title(runs),
        "sections": _sections(shown, made, evaluation),
        "script": script,
        "style": style,
        "hash_of": _hash,
        "runs": runs,
        "glances": [tables.glance(run) for run in runs],
        "frames": shown,
        "made": made,
        "panels": curves.panels([(run.name, run.lines) for run in runs]),
        "evaluation": evaluation,
        "what": tables.what(runs),
        "environment": tables.environment(runs),
    }
    count = sum(len(pictures) for of_run in shown for _, pictures in of_run) + sum(len(run.made) for run in runs)
    bare = _template().render(**parts, source=lambda image: "")
    room = max((MOST_BYTES - len(bare.encode())) // max(count, 1), LEAST_ROOM)
    return _template().render(**parts, source=lambda image: data_uri(image, room))


def _title(runs: Sequence[RunFolder]) -> str:
    if len(runs) > 1:
        return f"{len(runs)} runs side by side"
    return f"{runs[0].name}: {runs[0].config.architecture} on {runs[0].config.dataset}"


def _sections(
    frames: Sequence[Sequence[object]], made: Sequence[object], evaluation: Sequence[object]
) -> dict[str, str]:
    """Those that have something to show, by their anchors."""
    named = {"pictures": ("Pictures over time", any(frames)), "made": ("Latent space", made),
             "curves": ("Curves", True), "evaluation": ("Evaluation", evaluation),
             "model": ("What was trained", True), "repeat": ("Repeat it", True)}  # fmt: skip
    return {place: name for place, (name, there) in named.items() if there}


@cache
def _template() -> Template:
    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=True, finalize=_plain
    )
    return environment.from_string(_asset("page.html.jinja"))


def _plain(value: object) -> object:
    """What is put in, as text that can be shown; numbers and what was made for the page stay."""
    return printable(value, LONGEST) if isinstance(value, str) and not isinstance(value, Markup) else value


def _asset(name: str) -> Markup:
    """A file beside this one, which is ours and goes in as it is."""
    return Markup((files("ali_plugin.report") / name).read_text(encoding="utf-8"))


def _hash(content: Markup) -> str:
    """By which the page's policy lets a browser use this content and no other."""
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"
