"""A working plugin package to start from, written from the templates beside this module. No torch here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from ali_plugin.errors import OptionError
from ali_plugin.support import atomic
from ali_plugin.version import __version__
from ali_registry import Registry, default_registry

PREFIX = "ali-plugin-"
MAX_NAME = 40
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")


def new_plugin(name: str, out: Path | None = None, registry: Registry | None = None) -> tuple[Path, list[str]]:
    """Write the distribution ``ali-plugin-NAME`` with an architecture and a dataset of that name.

    Args:
        name: with or without ``ali-plugin-`` in front: lower case letters, digits, single hyphens.
        out: the new package's folder, ``ali-plugin-NAME`` here if None.

    Returns:
        The folder, and the files in it.

    Raises:
        OptionError: the name is not of that form, or is registered already.
        FolderError: the folder is in use.
    """
    name = name.removeprefix(PREFIX)
    _refuse_name(name, registry or default_registry())
    distribution = PREFIX + name
    package = distribution.replace("-", "_")
    out = out or Path(distribution)
    atomic.refuse_used(out)
    engine = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
    values = {"name": name, "distribution": distribution, "package": package, "library_version": __version__}
    written = []
    with atomic.making(out) as temporary:
        for parts, template in _templates(files("ali_plugin") / "new_plugin" / "template"):
            path = "/".join(parts).replace("__package__", package).removesuffix(".j2")
            atomic.write(temporary / path, engine.from_string(template.read_text(encoding="utf-8")).render(values))
            written.append(path)
    return out, sorted(written)


def _refuse_name(name: str, registry: Registry) -> None:
    if len(name) > MAX_NAME or not _NAME.fullmatch(name):
        raise OptionError(
            f"{name!r} cannot be a plugin's name: it is lower case letters and digits, in words with hyphens "
            f"between them, at most {MAX_NAME} characters, such as 'my-nets'"
        )
    for entry in registry.entries():
        if entry.record.name == name and entry.record.kind != "command":
            raise OptionError(f"the {entry.record.kind} {name!r} is there already, from {entry.origin}; take another")


def _templates(folder: Traversable, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Traversable]]:
    for item in sorted(folder.iterdir(), key=lambda item: item.name):
        if item.is_dir():
            yield from _templates(item, (*above, item.name))
        elif item.name == "py.typed" or item.name.endswith(".j2"):
            yield (*above, item.name), item
