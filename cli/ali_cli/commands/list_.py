"""ali list"""

from __future__ import annotations

import click

from ali_cli.settings import json_option
from ali_cli.terminal import print_json, print_table
from ali_plugin.folder import released
from ali_plugin.version import __version__
from ali_registry import KINDS, default_registry
from ali_registry.manager import HOME


@click.command(epilog="\b\nExamples:\n  ali list\n  ali list architecture\n  ali list dataset --json\n  ali list model")
@click.argument("kind", required=False)
@json_option
def command(kind: str | None, as_json: bool) -> None:
    """List what is registered, and the released models, of one KIND or of all, and from which distribution it comes."""
    if kind is not None:
        kind = kind.removesuffix("s")
        if kind not in (*KINDS, released.KIND):
            raise click.BadParameter(f"{kind!r} is none of {', '.join((*KINDS, released.KIND))}", param_hint="KIND")
    rows = [
        {
            "name": entry.record.name,
            "kind": entry.record.kind,
            "distribution": entry.origin.distribution,
            "version": entry.origin.version,
            "summary": entry.record.summary,
        }
        for entry in default_registry().entries(kind)
    ]
    if kind in (None, released.KIND):
        ours = {"kind": released.KIND, "distribution": HOME, "version": __version__}
        rows += [{**ours, "name": model.name, "summary": model.summary} for model in released.models().values()]
    if as_json:
        print_json(rows)
        return
    columns = ["kind", "name", "distribution", "summary"]
    print_table("", columns, [[row[column] for column in columns] for row in rows])
