"""ali experiment"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from ali_cli.paths import WriteFolder
from ali_cli.settings import data_options, device_option, hide_progress_if_quiet, json_option, seed_option
from ali_cli.terminal import note, print_json, print_table
from ali_plugin.experiments import EXPERIMENTS


@click.command(
    epilog="""\b
Examples:
  ali experiment mixture --quick
  ali experiment representation --quick
  ali experiment semi-supervised --labels 100 --labels 1000 --minutes 20
  ali experiment conditional --dataset fashion-mini --out runs/conditional
  ali experiment conditional --dataset fashion-mini --out runs/conditional --resume
"""
)
@click.argument("name", type=click.Choice(list(EXPERIMENTS)))
@click.option("--quick", is_flag=True, help="A length that shows that it works, not what it can do.")
@click.option("--steps", type=int, help="Length of each training. [default: the experiment's]")
@click.option("--minutes", type=float, help="Length of each training in wall time instead.")
@click.option("--arch", "architecture", help="Architecture. [default: fashion]")
@click.option("--runs", type=int, help="Runs in the study of the mixture. [default: 10, quick 3]")
@click.option("--labels", type=int, multiple=True, help="Labelled samples; may be repeated. [default: 100, 1000]")
@click.option("--label-sets", type=int, help="Random sets of them for the L2-SVM. [default: 100, quick 5]")
@click.option("--resume", is_flag=True, help="Go on with an experiment that was stopped.")
@click.option("--out", type=WriteFolder(), help="Folder. [default: runs/experiment-NAME]")
@data_options
@seed_option
@device_option
@json_option
def command(name: str, out: Path | None, data_dir: Path | None, as_json: bool, **choices: Any) -> None:
    """Repeat an experiment of the paper, on any labelled dataset.

    The folder gets results.json, figure.png and the trained models. Published figures stand beside ours.
    """
    from ali_plugin.experiments.record import PICTURE_NAME, Options
    from ali_plugin.experiments.run import run

    hide_progress_if_quiet()
    out = out or Path("runs") / f"experiment-{name}"
    options = Options(
        out=out,
        command=shlex.join(["ali", *sys.argv[1:]]),
        data_dir=data_dir,
        **choices,
    )
    content = run(name, options)
    if as_json:
        print_json(content)
        return
    columns = list(dict.fromkeys(key for row in content["rows"] for key in row["figures"]))
    rows = [
        (key, *(f"{row['figures'][key]:.4g}" if key in row["figures"] else "" for row in content["rows"]))
        for key in columns
    ]
    names = [row["name"] for row in content["rows"]]
    print_table(f"{name}, {content['seconds']:.0f} s", ["figure", *names], rows, right=names)
    print_table("published", ["what", "figure", "source"], [tuple(line.values()) for line in content["published"]])
    for line in content["notes"]:
        note(line)
    note(f"{out / PICTURE_NAME} has the picture, {out} the rest")
