"""The program ``ali``: finds commands by name, imports the one that is run, turns errors into one line."""

from __future__ import annotations

import functools
import importlib
import sys
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

import click

from ali_cli import ending, terminal
from ali_cli.settings import Settings, global_options
from ali_plugin.support import streams
from ali_registry import ALIError, Command, InvalidRecord, Origin, UnavailableName, blaming, default_registry, hookimpl
from ali_registry.manager import HOME
from ali_registry.text import as_text, printable

# Name -> the line that ``ali --help`` shows, so that help imports no command.
COMMANDS = {
    "train": "Train a model.",
    "sample": "Draw samples of a model into a picture.",
    "reconstruct": "Show originals and their reconstructions side by side.",
    "interpolate": "Show paths between pictures through the latent space.",
    "traverse": "Show what single directions of the latent space do.",
    "neighbours": "Find the pictures whose latents are nearest.",
    "encode": "Write the latents of pictures or of a dataset.",
    "score": "Say how strange pictures are to a model.",
    "evaluate": "Measure a model.",
    "report": "Write a page about runs: curves, pictures, figures.",
    "demo": "Open a model in a browser.",
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
    with blaming(entry):
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
        entries = default_registry().entries("command")
        registered = {entry.record.name: printable(entry.record.summary, 200) for entry in entries}
        return {**COMMANDS, **registered}

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except EOFError as error:  # of a file that is cut off, which click takes for Ctrl-D
            raise OSError(f"a file ends too soon {as_text(error)}".rstrip()) from error

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        import difflib

        try:
            name, command, rest = super().resolve_command(ctx, args)
            if name is not None and name not in COMMANDS:
                ctx.ensure_object(Settings).running = default_registry().entry(Command, name)
            return name, command, rest
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
      ali sample fashion-residual --out garments.png   with a model that comes along
      ali train                                        some minutes of a CPU, on embedded pictures
      ali sample runs/garments --out new.png
      ali list
    """


def main() -> None:
    """Run ``ali``. Errors are one line on stderr: exit code 1, or 2 for wrong usage."""
    kept = Settings()
    terminal.prepare()
    try:
        with ending.tidily():
            code = _run(kept)
        if sys.stdout is not None:  # it is closed in a program that was started so
            sys.stdout.flush()
        sys.exit(code)
    except ending.Terminated as end:
        _fail(end.name, end.code)
    except SystemExit as end:
        if isinstance(end.code, int | None):
            raise
        _fail(end.code)  # a plugin's sys.exit("text")
    except KeyboardInterrupt:
        _fail("interrupted", 130)
    except BrokenPipeError:
        sys.exit(0)  # the reader of a pipe has seen enough
    except Exception as error:
        if kept.debug:
            raise
        _fail(_explanation(error, kept))
    finally:
        streams.settle()


def _run(kept: Settings) -> Any:
    try:
        return cli.main(obj=kept, prog_name="ali", standalone_mode=False)
    except click.Abort as error:
        raise KeyboardInterrupt from error
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.UsageError as error:
        help_ = f" (see `{error.ctx.command_path} --help`)" if error.ctx else ""
        _fail(f"{error.format_message()}{help_}", error.exit_code)
    except click.ClickException as error:
        _fail(error.format_message(), error.exit_code)


def _explanation(error: Exception, kept: Settings) -> str:
    """The line for an exception that ends the program."""
    if isinstance(error, ALIError):
        return str(error)
    said = f"{type(error).__name__}: {as_text(error)}".rstrip(": ")
    if kept.running is not None:
        return f"command {kept.running.record.name!r} of {kept.running.origin} failed: {said} (--debug shows where)"
    if (origin := _plugin_in(error)) is not None:
        return f"{origin} failed: {said} (--debug shows where)"
    if (shortage := _shortage(error)) is not None:
        return shortage
    return ending.circumstance(error) or f"{printable(said, 1900)} (this is a bug; --debug shows where)"


def _shortage(error: Exception) -> str | None:
    from ali_plugin.support.memory import shortage_of

    shortage = shortage_of(error)
    return None if shortage is None else str(shortage)


def _plugin_in(error: Exception) -> Origin | None:
    """The plugin whose code an exception went through last: a net's ``forward``, say."""
    plugins = {_package(status.plugin): status.origin for status in default_registry().plugins if status.plugin}
    found = None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        origin = plugins.get(str(frame.f_globals.get("__name__")).partition(".")[0])
        found = origin if origin is not None and origin.distribution != HOME else found
    return found


def _package(plugin: object) -> str:
    return str(getattr(plugin, "__name__", type(plugin).__module__)).partition(".")[0]


def _fail(text: object, code: int = 1) -> NoReturn:
    click.echo(f"error: {printable(text)}", file=streams.unfailing())
    sys.exit(code)
