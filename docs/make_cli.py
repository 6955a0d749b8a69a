"""Write docs/cli.md from the program: ``python docs/make_cli.py``, or ``--check`` whether it is fresh."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from ali_cli.main import COMMANDS, built_in
from ali_cli.settings import global_options

PAGE = Path(__file__).with_name("cli.md")


def page() -> str:
    """The whole page. Commands of plugins are left out: it is the same wherever it is made."""
    lines = ["# Commands", "", "Made from the program by `python docs/make_cli.py`; not edited by hand.", ""]
    lines += ["Every command has these options too:", "", *options(global_options()), ""]
    for name in COMMANDS:
        lines += [*section(name, built_in(name)), ""]
    return "\n".join(lines)


def section(name: str, command: click.Command) -> Iterator[str]:
    """A command: usage, what it does, options, examples."""
    arguments = [parameter for parameter in command.params if isinstance(parameter, click.Argument)]
    yield f"## `{' '.join(['ali', name, *map(argument, arguments), '[OPTIONS]'])}`"
    yield ""
    yield inspect.cleandoc(command.help or "").replace("\b\n", "")
    yield ""
    shared = {option.name for option in global_options()}
    own = [p for p in command.params if isinstance(p, click.Option) and p.name not in shared]
    yield from options(own)
    examples = [line.strip() for line in (command.epilog or "").splitlines() if line.strip().startswith("ali ")]
    if examples:
        yield from ("", "```console", *(f"$ {example}" for example in examples), "```")


def argument(parameter: click.Argument) -> str:
    """An argument as a person reads it: MODEL, [KIND], [IMAGES]..."""
    name = (parameter.name or "").upper()
    shown = name if parameter.required else f"[{name}]"
    return shown if parameter.nargs == 1 else f"{shown}..."


def options(found: Iterable[click.Option]) -> Iterator[str]:
    """A table of options."""
    yield "| option | what it does |"
    yield "|---|---|"
    for option in found:
        names = ", ".join(f"`{name}{value(option)}`" for name in (*option.opts, *option.secondary_opts))
        default = f" [default: {shown(option.default)}]" if option.show_default else ""
        yield f"| {names} | {(option.help or '') + default} |".replace("\n", " ")


def shown(default: object) -> str:
    """A default as it is written on the command line."""
    return ", ".join(map(str, default)) if isinstance(default, tuple) else str(default)


def value(option: click.Option) -> str:
    """What an option takes: its own word, " N", " a/b", or nothing for a flag."""
    if option.is_flag or option.count:
        return ""
    if option.metavar:
        return f" {option.metavar}"
    if isinstance(option.type, click.Choice):
        return " " + "/".join(map(str, option.type.choices))
    kinds: dict[type[click.ParamType], str] = {click.types.IntParamType: "N", click.types.FloatParamType: "X"}
    return " " + next((shown for kind, shown in kinds.items() if isinstance(option.type, kind)), "VALUE")


def main() -> None:
    made = page()
    if "--check" not in sys.argv:
        PAGE.write_text(made)
    elif not PAGE.exists() or PAGE.read_text() != made:
        sys.exit(f"{PAGE.name} is stale; run `python docs/make_cli.py`")


if __name__ == "__main__":
    main()
