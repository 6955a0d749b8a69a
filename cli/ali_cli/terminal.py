"""What the commands print. All of it passes here: names, errors and cards of others command no terminal."""

from __future__ import annotations

import io
import json
import math
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

from ali_cli.settings import settings
from ali_plugin.support import streams
from ali_registry.text import paragraphs, printable

WIDE = 240  # columns, so that piped tables are not folded


class HelpFormatter(click.HelpFormatter):
    """Writes the help of plugins' commands, too."""

    def getvalue(self) -> str:
        return paragraphs(super().getvalue())


def prepare() -> None:
    """Let this process print any text, whatever the encoding of its output, and warnings as one line each."""
    click.Context.formatter_class = HelpFormatter
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    warnings.showwarning = _warn


def _warn(message: Warning | str, *_: object, **__: object) -> None:
    click.echo(f"warning: {printable(message)}", file=streams.unfailing())


def say(text: str) -> None:
    """A result on one line, on stdout."""
    click.echo(printable(text))


def note(text: str) -> None:
    """Tell the person something on stderr, on one line, unless quiet."""
    if settings().verbosity >= 0:
        click.echo(printable(text), file=streams.unfailing())


def print_text(text: str) -> None:
    """A text of many lines as it is, such as a card, on stdout."""
    click.echo(paragraphs(text), nl=False)


def print_json(value: Any) -> None:
    """A result for programs, on stdout: ASCII, with null for a number that JSON does not have."""
    click.echo(json.dumps(_plain(value), indent=2, allow_nan=False, default=printable))


def print_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], right: Sequence[str] = ()
) -> None:
    """A result for people: a table as wide as the terminal, or as it needs to be where there is none."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    def shown(cell: object) -> Text:  # a Text, since rich reads styles and links in what is a str
        return Text(printable(cell))

    table = Table(
        title=shown(title) if title else None, title_justify="left", box=None, pad_edge=False, header_style="bold"
    )
    for column in columns:
        table.add_column(shown(column), justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(shown, row))
    Console(width=None if sys.stdout.isatty() else WIDE, highlight=False).print(table)


def _plain(value: Any) -> Any:
    """The same without what JSON has no word for: infinities, keys that are no text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
