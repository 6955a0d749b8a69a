"""ali plugins"""

from __future__ import annotations

import click

from ali_cli.settings import json_option
from ali_cli.terminal import print_json, print_table
from ali_registry import default_registry


@click.command(epilog="\b\nExamples:\n  ali plugins\n  ali plugins --json\n  ali plugins --no-plugins")
@json_option
def command(as_json: bool) -> None:
    """List the plugins that were found, and what is wrong with those that are broken."""
    found = default_registry().plugins
    if as_json:
        print_json([
            {
                "plugin": status.origin.plugin,
                "distribution": status.origin.distribution,
                "version": status.origin.version,
                "healthy": status.error is None,
                "error": status.error,
                "left_out_by": status.left_out_by,
                "registers": [f"{entry.record.kind} {entry.record.name}" for entry in status.entries],
            }
            for status in found
        ])  # fmt: skip
        return
    rows = [(s.origin.plugin, s.origin.distribution, s.origin.version, s.state) for s in found]
    print_table("", ["plugin", "distribution", "version", "state"], rows)
