"""Options that every command has, and those that several share."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from ali_cli.paths import ReadPath
from ali_plugin.pictures.background import named
from ali_plugin.support.limits import MAX_SEED
from ali_registry import Entry, restrict_plugins

F = TypeVar("F", bound=Callable[..., Any])


@dataclass
class Settings:
    """What the options of every command say."""

    debug: bool = False
    verbosity: int = 0
    running: Entry | None = None
    """The plugin's command that runs, None for one of ours."""


def settings() -> Settings:
    """Those of the running command."""
    found: Settings = click.get_current_context().find_root().ensure_object(Settings)
    return found


def _keep(name: str, change: int = 0) -> Callable[[click.Context, click.Parameter, Any], None]:
    def keep(context: click.Context, _: click.Parameter, value: Any) -> None:
        kept = context.find_root().ensure_object(Settings)
        if name == "debug":
            kept.debug = kept.debug or value
        else:
            kept.verbosity += change * value
            if kept.verbosity < 0:  # read by huggingface_hub when a command imports it
                os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")

    return keep


def _no_plugins(_: click.Context, option: click.Parameter, value: bool) -> None:
    if value:
        restrict_plugins((), option.opts[0])


def global_options() -> list[click.Option]:
    """Fresh option objects for one command."""
    return [
        click.Option(["-v", "--verbose"], count=True, expose_value=False, callback=_keep("verbosity", 1),
                     help="Say more."),
        click.Option(["-q", "--quiet"], count=True, expose_value=False, callback=_keep("verbosity", -1),
                     help="Say less: no progress."),
        click.Option(["--debug"], is_flag=True, expose_value=False, is_eager=True, callback=_keep("debug"),
                     help="Show the traceback of an error."),
        click.Option(["--no-plugins"], is_flag=True, expose_value=False, is_eager=True, callback=_no_plugins,
                     help="Load none but the built-in plugins; ALI_PLUGINS=a,b loads some."),
    ]  # fmt: skip


class Background(click.ParamType[str]):
    """A colour, by its one name."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return named(value)


def json_option(function: F) -> F:
    """--json, passed as ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")(function)


def size_options(function: F) -> F:
    """--image-size and --channels, for commands that take an architecture."""
    function = click.option("--channels", type=int, help="1 or 3, for an architecture that is for both.")(function)
    return click.option("--image-size", help="64 or 48x64 (height first), for an architecture that is for any size.")(
        function
    )


def device_option(function: F) -> F:
    """--device."""
    return click.option(
        "--device",
        default="auto",
        show_default=True,
        help="cpu, cuda, cuda:1, mps; auto takes a GPU if present.",
    )(function)


def data_options(function: F) -> F:
    """--dataset, --data-dir and --background, for commands that take held-out data."""
    function = background_option(function)
    function = click.option("--data-dir", type=ReadPath(), help="Folder of the dataset's files.")(function)
    return click.option("--dataset", help="Take data from this dataset instead of the model's own.")(function)


def scorer_options(function: F) -> F:
    """--scorer, and --set scorer.NAME=VALUE as ``chosen``, for commands that score."""
    function = click.option(
        "--set",
        "chosen",
        multiple=True,
        metavar="scorer.NAME=VALUE",
        help="An option of the scorer; may be repeated. `ali show` lists them.",
    )(function)
    shown = "As `ali list scorer` shows them."
    return click.option("--scorer", default="reconstruction", show_default=True, help=shown)(function)


def background_option(function: F) -> F:
    """--background, for commands that take pictures."""
    return click.option("--background", type=Background(), help="Under what is transparent in pictures: white, black "
                        "or #rrggbb. [default: as the model was trained]")(function)  # fmt: skip


def condition_option(function: F) -> F:
    """--condition, for commands that take named pictures."""
    return click.option("--condition", help="What named pictures are, for a conditional model: bag, or Smiling,Young.")(
        function
    )


def seed_option(function: F) -> F:
    """--seed."""
    return click.option(
        "--seed", type=click.IntRange(0, MAX_SEED), default=0, show_default=True, help="Of what is drawn."
    )(function)


def hide_progress_if_quiet() -> None:
    """Show no bars with -q."""
    from ali_plugin.support import progress

    progress.enabled.set(settings().verbosity >= 0)
