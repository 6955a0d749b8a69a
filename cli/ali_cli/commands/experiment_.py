"""ali experiment"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from ali_cli.paths import ReadPath, WriteFolder
from ali_cli.settings import Background, device_option, hide_progress_if_quiet, json_option
from ali_cli.terminal import note, print_json, print_table
from ali_plugin.experiments import EXPERIMENTS
from ali_plugin.support.limits import MAX_SEED


@click.command(
    epilog="""\b
Examples:
  ali experiment mixture --quick
  ali experiment representation --quick
  ali experiment semi-supervised --labels 100 --labels 1000 --minutes 20
  ali experiment conditional --dataset fashion-mini --out runs/conditional
  ali experiment conditional --dataset fashion-mini --out runs/conditional --resume
  ali experiment modes --runs 5
  ali experiment games --minutes 20 --runs 2
  ali experiment anomaly --dataset wine --classes class_0 --seconds 50
"""
)
@click.argument("name", type=click.Choice(list(EXPERIMENTS)))
@click.option("--quick", is_flag=True, help="A length that shows that it works, not what it can do.")
@click.option("--steps", type=int, help="Length of each training. [default: the experiment's]")
@click.option("--minutes", type=float, help="Length of each training in wall time instead.")
@click.option("--seconds", type=float, help="The same in seconds.")
@click.option("--arch", "architecture", help="Architecture. [default: fashion; of modes mixture-fourier, of anomalies "
              "the detector's]")  # fmt: skip
@click.option("--runs", type=int, help="Runs in the study of the mixture [default: 10, quick 3]; "
              "elsewhere seeds of each model [default: 2, of anomalies 1].")  # fmt: skip
@click.option("--classes", multiple=True, help="Ordinary class, in the study of anomalies; may be repeated. [default: "
              "each in turn]")  # fmt: skip
@click.option("--labels", type=int, multiple=True, help="Labelled samples; may be repeated. [default: 100, 1000]")
@click.option("--label-sets", type=int, help="Random sets of them for the L2-SVM. [default: 100, quick 5]")
@click.option("--resume", is_flag=True, help="Go on with an experiment that was stopped.")
@click.option("--allow-changed-data", is_flag=True, help="Resume although the data have changed since.")
@click.option("--out", type=WriteFolder(), help="Folder. [default: runs/experiment-NAME]")
@click.option("--dataset", help="Of all models. [default: the architecture's; of anomalies Fashion-MNIST and tables]")
@click.option("--data-dir", type=ReadPath(), help="Folder of the dataset's files.")
@click.option("--background", type=Background(), help="Under what is transparent in pictures: white, black or #rrggbb. "
              "[default: white]")  # fmt: skip
@click.option("--seed", type=click.IntRange(0, MAX_SEED), default=0, show_default=True, help="Of the first training.")
@device_option
@json_option
def command(
    name: str,
    out: Path | None,
    data_dir: Path | None,
    as_json: bool,
    minutes: float | None,
    seconds: float | None,
    **choices: Any,
) -> None:
    """Repeat an experiment of the paper, or compare its game with later ones, on any labelled dataset.

    The folder gets results.json, figure.png and the trained models. Published figures stand beside ours.
    """
    from ali_plugin.experiments.record import PICTURE_NAME, Options
    from ali_plugin.experiments.run import run

    if minutes is not None and seconds is not None:
        raise click.UsageError("--minutes and --seconds are both the length of a training; leave one of them out")
    hide_progress_if_quiet()
    out = out or Path("runs") / f"experiment-{name}"
    options = Options(
        out=out,
        command=shlex.join(["ali", *sys.argv[1:]]),
        data_dir=data_dir,
        minutes=minutes if seconds is None else seconds / 60,
        **choices,
    )
    content = run(name, options)
    if as_json:
        print_json(content)
        return
    columns, rows = _table(content["rows"])
    print_table(f"{name}, {content['seconds']:.0f} s", columns, rows, right=columns[1:])
    print_table("published", ["what", "figure", "source"], [tuple(line.values()) for line in content["published"]])
    for line in content["notes"]:
        note(line)
    note(f"{out / PICTURE_NAME} has the picture, {out} the rest")


def _table(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[tuple[str, ...]]]:
    """The columns and lines of a table, whose longer side goes down the page."""
    figures = list(dict.fromkeys(key for row in rows for key in row["figures"]))
    lines = [[row["name"], *(_shown(row["figures"].get(key)) for key in figures)] for row in rows]
    if len(rows) > len(figures):
        return ["", *figures], [tuple(line) for line in lines]
    head, *turned = zip(["figure", *figures], *lines, strict=True)
    return list(head), turned


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
