"""ali train"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Collection
from contextlib import closing
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ali_cli.choices import choices
from ali_cli.interruption import INTERRUPTED, interruptible
from ali_cli.paths import ReadPath, WriteFolder
from ali_cli.progress import training_progress
from ali_cli.settings import json_option, settings
from ali_cli.terminal import note, print_json, print_table, say
from ali_plugin.support import streams

if TYPE_CHECKING:
    from ali_plugin.training.callbacks import Callback
    from ali_plugin.training.trainer import Trainer, TrainResult


@click.command(
    epilog="""\b
Examples:
  ali train
  ali train --arch fashion-residual --data-dir data
  ali train --dataset image-folder --data-dir my-pictures --out runs/mine
  ali train --condition --out runs/conditional
  ali train --objective relativistic --set objective.gamma=0.5
  ali train --labels 1000 --out runs/semi
  ali train --devices 2 --out runs/both
  ali train --resume --epochs 160
"""
)
@choices("architecture", "device")
@click.option(
    "--config",
    "config_file",
    type=ReadPath(),
    help="Options from a TOML file, or from a train_config.json; those given beside it win.",
)
@click.option("--devices", type=click.IntRange(1), default=1, help="Processes, one for each GPU. [default: 1]")
@choices("precision", "on_nan")
@click.option(
    "--log",
    "loggers",
    multiple=True,
    type=click.Choice(["tensorboard", "trackio", "wandb"]),
    help="Figures, pictures and the config go there, too; may be repeated.",
)
@choices("log_every", "checkpoint_every")
@click.option("--out", type=WriteFolder(), help="Run folder. [default: runs/ARCH]")
@click.option("--callback", "callbacks", multiple=True, help="Watched by this registered callback; may be repeated.")
@click.option("--resume", is_flag=True, help="Continue the run in the folder exactly where it stopped.")
@click.option("--allow-changed-data", is_flag=True, help="Resume although the data have changed since.")
@click.option("--verify", is_flag=True, help="Compare all of the cached pictures with their digest first.")
@click.option("--dry-run", is_flag=True, help="Say what would be done and how long it takes, and check it.")
@json_option
def command(
    out: Path | None,
    callbacks: tuple[str, ...],
    resume: bool,
    allow_changed_data: bool,
    verify: bool,
    dry_run: bool,
    as_json: bool,
    devices: int,
    loggers: tuple[str, ...],
    config_file: Path | None,
    **options: Any,
) -> None:
    """Train a model.

    The run folder gets the model (config.json, model.safetensors), samples.png, reconstructions.png,
    metrics.jsonl, and checkpoints. Ctrl-C finishes the step, saves and says how to go on.
    """
    from ali_plugin.datasets.integrity import verifying
    from ali_plugin.support.dry_run import writing_nothing
    from ali_plugin.training import distributed
    from ali_plugin.training.choices import chosen
    from ali_plugin.training.decide import architecture
    from ali_plugin.training.launched import Launched
    from ali_plugin.training.launcher import launch
    from ali_plugin.training.run import plan, prepare
    from ali_registry import default_registry

    options["data_dir"] = None if options["data_dir"] is None else str(options["data_dir"])
    options = chosen(options, config_file)
    out = out or Path("runs") / architecture(options, default_registry())
    callbacks = (*callbacks, *loggers)
    click.get_current_context().with_resource(verifying(verify))
    if dry_run:
        with writing_nothing():
            made = plan(options, out, resume, callbacks, devices, allow_changed_data, measured=True)
            _print_plan(made, as_json)
        return
    if devices > 1 and Launched.from_environment().world_size == 1:
        plan(
            options, out, resume, callbacks, devices, allow_changed_data
        )  # an error of one's own is found before processes start
        launch(devices, sys.argv[1:])
        return
    progress = training_progress(settings().verbosity)
    with distributed.process_group(options.get("device")), closing(progress):
        watching: list[Callback | str] = [progress, *callbacks]
        trainer = prepare(options, out, resume=resume, allow_changed_data=allow_changed_data, callbacks=watching)
        if distributed.rank() == 0:
            for line in trainer.notes if settings().verbosity >= 0 else ():
                progress.say(line)
        say = progress.say if distributed.rank() == 0 else lambda text: None
        with interruptible(trainer.stop, say, lambda: _what_is_left(trainer)):
            result = trainer.run()
        writes = distributed.rank() == 0
    if not writes:
        return
    if result.interrupted:
        kept = all(options.get(name) in (None, getattr(trainer.config, name)) for name in ("batch_size", "precision"))
        line = _continuation(out, () if kept else ("--batch-size", "--precision", "--config"))
        progress.say(f"stopped after step {result.steps}, saved; continue with: {line}")
    _print_result(result, as_json)
    if result.interrupted:
        sys.exit(INTERRUPTED)


def _what_is_left(trainer: Trainer) -> str:
    if trainer.step == trainer.total_steps:
        return "the run has its last step and saves"
    return f"step {trainer.step + 1} is finished first, then the run is saved"


def _print_result(result: TrainResult, as_json: bool) -> None:
    """What cannot be printed does not make a run fail whose reader has gone (``| head``)."""
    from ali_plugin.errors import FolderError

    text = f"{result.path}: {result.steps} steps, {result.seconds:.0f} s, {result.images_per_second:.0f} images/s"
    try:
        print_json(asdict(result)) if as_json else say(text)
    except OSError as error:
        if error.errno in streams.GONE:
            streams.abandon(sys.stdout)
            return
        raise FolderError(
            f"step {result.steps} is saved in {result.path}, but this cannot be printed: {error.strerror}"
        ) from error


def _continuation(out: Path, without: Collection[str] = ()) -> str:
    """The command that goes on with a run.

    Args:
        without: options that the run keeps otherwise than they were given, such as a batch that was too large.
    """
    given = [
        word
        for before, word in pairwise(["", *sys.argv[1:]])
        if word not in ("--resume", "--allow-changed-data") and not {before, word.partition("=")[0]} & {*without}
    ]
    if "--out" not in given and not any(word.startswith("--out=") for word in given):
        given += ["--out", str(out)]
    return shlex.join(["ali", *given, "--resume"])


def _print_plan(made: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(made)
        return
    from ali_plugin.config.settings import words
    from ali_plugin.training.duration import spoken

    config = dict(made["config"])
    rows = [tuple(word.split("=", 1)) for word in words(config.pop("settings"))]
    rows = [*((name, value) for name, value in config.items() if value is not None), *rows]
    rows += [(name, made[name]) for name in ("out", "device", "samples", "steps")]
    if (seconds := made["seconds"]) is not None:
        rows.append(("will take", f"about {spoken(seconds)}, {made['seconds_per_step']:.3g} s a step"))
    rows += [(f"{kind} parameters", f"{count:,}") for kind, count in made["parameters"].items()]
    print_table("Would train (nothing is written)", ["what", "value"], rows)
    for line in made["notes"]:
        note(line)
