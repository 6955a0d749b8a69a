"""ali report"""

from __future__ import annotations

from pathlib import Path

import click

from ali_cli.paths import ReadPath, WriteFile
from ali_cli.settings import device_option, json_option
from ali_cli.terminal import note, print_json


@click.command(epilog="\b\nExamples:\n  ali report runs/garments --out report.html")
@click.argument("runs", nargs=-1, required=True, type=ReadPath(), metavar="RUN...")
@click.option("--out", type=WriteFile(".html"), required=True, help="FILE.html.")
@device_option
@json_option
def command(runs: tuple[Path, ...], out: Path, device: str, as_json: bool) -> None:
    """Write a page about RUN that opens in any browser, without a network: one HTML file.

    It has the curves, pictures over time, interpolations, figures with what they mean, and the command that repeats
    the run. Several runs stand side by side.
    """
    from ali_plugin.report.page import report
    from ali_plugin.support import atomic

    page, notes = report(runs, device=device)
    atomic.write(out, page)
    for line in notes:
        note(line)
    if as_json:
        print_json({"path": str(out), "runs": [str(run) for run in runs], "bytes": len(page.encode()), "notes": notes})
    else:
        note(f"{out}: {len(page.encode()):,} bytes")
