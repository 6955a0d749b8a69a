"""The program ``ali``: finds commands by name, imports the one that is run, turns errors into one line."""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable
from typing import Any

import click

from ali_cli.settings import Settings, global_options
from ali_plugin.support import streams
from ali_registry import ALIError, Command, InvalidRecord, UnavailableName, default_registry, hookimpl

# Name -> the line that ``ali --help`` shows, so that help imports no command.
COMMANDS = {
    "train": "Train a model.",
    "sample": "Draw samples of a model into a picture.",
    "reconstruct": "Show originals and their reconstructions side by side.",
    "interpolate": "Show paths between pictures through the latent space.",
    "encode": "Write the latents of pictures or of a dataset.",
    "evaluate": "Measure a model.",
    "experiment": "Repeat an experiment of the paper.",
    "export": "Write a model folder that is ready to publish.",
    "push": "Publish a model on the Hugging Face Hub.",
    "pull": "Download a model from the Hub.",
    "card": "Print or refresh a model's card.",
    "bench": "Measure the training step against the textbook one.",
    "list": "List what is registered, and by which distribution.",
    "show": "Show one registered thing; an architecture layer by layer.",
    "plugins": "List the plugins, healthy and broken.",
    "new-plugin": "Write a working plugin package to start from.",
}


@hookimpl
def register_commands(register: Callable[[Command], None]) -> None:
    """The built-in commands, so that no plugin can take their names."""
    for name, summary in COMMANDS.items():
        register(Command(name=name, summary=summary, build=functools.partial(built_in, name)))


def built_in(name: str) -> click.Command:
    """Import the module of a built-in command."""
    command: click.Command = importlib.import_module(f"ali_cli.commands.{name.replace('-', '_')}_").command
    return command


def plugged(name: str) -> click.Command:
    """Build the command of a plugin; InvalidRecord, naming the plugin, where that is not a command."""
    entry = default_registry().entry(Command, name)
    assert isinstance(entry.record, Command)
    command = entry.record.call()
    if not isinstance(command, click.Command):
        raise InvalidRecord(f"command {name!r} of {entry.origin} is a {type(command).__name__}, not a click.Command")
    return command


class AliGroup(click.Group):
    """Built-in commands in the order of their table, then those of plugins."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._summaries())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS and cmd_name not in self._summaries():
            return None
        command = built_in(cmd_name) if cmd_name in COMMANDS else plugged(cmd_name)
        if not any(parameter.name == "debug" for parameter in command.params):
            command.params.extend(global_options())
        return command

    def _summaries(self) -> dict[str, str]:
        registered = {entry.record.name: entry.record.summary for entry in default_registry().entries("command")}
        return {**COMMANDS, **registered}

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        import difflib

        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            reason = default_registry().unknown(args[0], "command")
            if isinstance(reason, UnavailableName):
                raise reason from None
            close = difflib.get_close_matches(args[0], self.list_commands(ctx), n=2)
            offer = f" Did you mean {' or '.join(close)}?" if close else ""
            raise click.UsageError(f"{error.message.rstrip('.')}.{offer}", ctx) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(self._summaries().items()))


@click.group(cls=AliGroup, params=global_options(), context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ali-plugin", prog_name="ali")
def cli() -> None:
    """Adversarially learned inference: generative models that can also infer.

    \b
    Examples:
      ali train                            a minute on a CPU, on embedded pictures
      ali sample runs/fashion --out new.png
      ali list architecture
    """


def main() -> None:
    """Run ``ali``. Errors are one line on stderr: exit code 1, or 2 for wrong usage."""
    kept = Settings()
    try:
        sys.exit(_run(kept))
    except ALIError as error:
        if kept.debug:
            raise
        _fail(str(error))
    except KeyboardInterrupt:
        _fail("interrupted", 130)
    except BrokenPipeError:
        sys.exit(0)  # the reader of a pipe has seen enough
    except Exception as error:
        if kept.debug:
            raise
        from ali_plugin.support.memory import shortage_of

        if (shortage := shortage_of(error)) is not None:
            _fail(str(shortage))
        _fail(f"{type(error).__name__}: {error} (this is a bug; --debug shows where)")
    finally:
        streams.settle()


def _run(kept: Settings) -> Any:
    try:
        return cli.main(obj=kept, prog_name="ali", standalone_mode=False)
    except click.Abort:
        _fail("interrupted", 130)
    except click.ClickException as error:
        error.show()
        return error.exit_code


def _fail(text: str, code: int = 1) -> None:
    click.echo(f"error: {' '.join(text.split())}", file=streams.stderr)
    sys.exit(code)
