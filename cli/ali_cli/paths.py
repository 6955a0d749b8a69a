"""What a person types for a model, a file or a folder, as the commands take it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from ali_plugin.errors import OptionError
from ali_plugin.support import atomic


class Model(click.ParamType[str]):
    """A folder, the name of a released model, or a Hub id."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return _expanded(value, "MODEL", "name a folder, a released model, or user/name on the Hub")


class ReadPath(click.Path):
    """A file or folder to read."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        return Path(_expanded(value, _name(param), "name a file or a folder"))


class WriteFolder(click.Path):
    """A folder to write."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        return Path(_expanded(value, _name(param), "name a new or empty folder"))


class WriteFile(click.Path):
    """A file to write, with one of some endings if there are any. What cannot be written is refused before any work.

    Args:
        or_folder: a name without an ending, or that of a folder that is there, is a folder to write.
    """

    def __init__(self, *endings: str, or_folder: bool = False) -> None:
        super().__init__(path_type=Path)
        self.endings, self.or_folder = endings, or_folder

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = Path(_expanded(value, _name(param), "name a file to write"))
        if self.endings and path.suffix.lower() not in self.endings:
            if self.or_folder and (not path.suffix or path.is_dir()):
                atomic.refuse_used(path)
                return path
            offer = ", or have no ending, for a folder" if self.or_folder else ""
            ends = " or ".join(self.endings)
            raise OptionError(f"{_name(param)} is {str(path)!r}; its name has to end in {ends}{offer}")
        atomic.refuse(path)
        return path


MODEL = Model()


def _name(param: click.Parameter | None) -> str:
    return param.opts[0] if isinstance(param, click.Option) else str(param.name if param else "path").upper()


def _expanded(value: Any, name: str, offer: str) -> str:
    """With ``~`` for the home, which a shell leaves as it is in ``--out=~/x``."""
    text: str = os.path.expanduser(os.fspath(value))  # stays as it is where there is no such home
    if not text or "\0" in text:
        raise OptionError(f"{name} is {text!r}; {offer}")
    return text
