"""ali list"""

from __future__ import annotations

import click

from ali_cli.settings import json_option
from ali_cli.terminal import print_json, print_table
from ali_registry import KINDS, default_registry


@click.command(epilog="\b\nExamples:\n  ali list\n  ali list architecture\n  ali list dataset --json")
@click.argument("kind", required=False)
@json_option
def command(kind: str | None, as_json: bool) -> None:
    """List what is registered, of one KIND or of all, and from which distribution it comes."""
    if kind is not None:
        kind = kind.removesuffix("s")
        if kind not in KINDS:
            raise click.BadParameter(f"{kind!r} is none of {', '.join(KINDS)}", param_hint="KIND")
    entries = default_registry().entries(kind)
    if as_json:
        print_json([
            {
                "name": entry.record.name,
                "kind": entry.record.kind,
                "distribution": entry.origin.distribution,
                "version": entry.origin.version,
                "summary": entry.record.summary,
            }
            for entry in entries
        ])  # fmt: skip
        return
    rows = [(e.record.kind, e.record.name, e.origin.distribution, e.record.summary) for e in entries]
    print_table("", ["kind", "name", "distribution", "summary"], rows)
