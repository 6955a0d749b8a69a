"""ali new-plugin"""

from __future__ import annotations

from pathlib import Path

import click

from ali_cli.paths import WriteFolder
from ali_cli.settings import json_option
from ali_cli.terminal import note, print_json, say


@click.command(epilog="\b\nExamples:\n  ali new-plugin my-nets\n  ali new-plugin my-data --out plugins/my-data")
@click.argument("name")
@click.option("--out", type=WriteFolder(), help="A new or empty folder. [default: ali-plugin-NAME]")
@json_option
def command(name: str, out: Path | None, as_json: bool) -> None:
    """Write a working plugin package to start from: nets, dataset, tests, README, CI file.

    It registers an architecture and a dataset called NAME, and its tests pass as they are.
    """
    from ali_plugin.new_plugin.write import new_plugin

    folder, written = new_plugin(name, out)
    if as_json:
        print_json({"path": str(folder), "files": written})
        return
    for file in written:
        note(f"{folder}/{file}")
    say(f"{folder}: now run `pip install -e {folder}` and `ali list architecture`")
