"""What the commands share that show a model data: its name, and pictures or a dataset."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ali_cli.paths import MODEL, ReadPath
from ali_cli.settings import condition_option, data_options, device_option
from ali_cli.terminal import note

if TYPE_CHECKING:
    from ali_plugin.model import ALI
    from ali_plugin.tasks.inputs import Inputs


@dataclass(frozen=True)
class Given:
    """The arguments as they were typed."""

    model: str
    images: tuple[Path, ...]
    dataset: str | None
    data_dir: Path | None
    background: str | None
    condition: str | None
    device: str

    @property
    def each_named(self) -> bool:
        """Whether every picture is named itself, none by its folder or dataset."""
        return bool(self.images) and not any(path.is_dir() for path in self.images)

    def load(self, limit: int | None = None, *, whole: bool = False) -> tuple[ALI, Inputs]:
        """The model, and the named pictures, or at most ``limit`` of a folder or of a dataset's held-out samples.

        Args:
            whole: all samples of a dataset whose samples are files.
        """
        from ali_plugin.tasks.inputs import load_inputs, load_model

        model = load_model(self.model, self.device)
        inputs = load_inputs(
            model,
            self.model,
            self.images,
            self.dataset,
            self.data_dir,
            limit,
            self.condition,
            whole,
            self.background,
        )
        for line in inputs.notes:
            note(line)
        return model, inputs


def shows_data(function: Callable[..., None]) -> Callable[..., None]:
    """MODEL [IMAGES]... with their options, passed as one ``Given`` before the command's own options."""
    return _shows(function, click.argument("images", nargs=-1, type=ReadPath()))


def shows_pictures(function: Callable[..., None]) -> Callable[..., None]:
    """MODEL IMAGES..., as ``shows_data``, but with at least one of them."""
    return _shows(function, click.argument("images", nargs=-1, type=ReadPath(), required=True))


def _shows(
    function: Callable[..., None], images_argument: Callable[[Callable[..., None]], Callable[..., None]]
) -> Callable[..., None]:
    @wraps(function)
    def command(
        model: str,
        images: tuple[Path, ...],
        dataset: str | None,
        data_dir: Path | None,
        background: str | None,
        condition: str | None,
        device: str,
        **own: Any,
    ) -> None:
        function(Given(model, images, dataset, data_dir, background, condition, device), **own)

    shared = (
        click.argument("model", type=MODEL),
        images_argument,
        data_options,
        condition_option,
        device_option,
    )
    for decorate in reversed(shared):
        command = decorate(command)
    return command
