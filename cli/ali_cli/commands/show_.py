"""ali show"""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

import click

from ali_cli.settings import json_option, size_options
from ali_cli.terminal import print_json, print_table, say
from ali_plugin.config import settings
from ali_plugin.errors import OptionError
from ali_plugin.folder import released
from ali_plugin.folder.released import Released
from ali_registry import Architecture, Entry, default_registry
from ali_registry.records import Adjustable


@click.command(epilog="\b\nExamples:\n  ali show fashion\n  ali show cifar10 --json\n  ali show fashion-mini")
@click.argument("name")
@size_options
@json_option
def command(name: str, image_size: str | None, channels: int | None, as_json: bool) -> None:
    """Show what is registered as NAME; an architecture with its layers, shapes and parameter counts.

    A released model may have the name of its architecture: both are shown.
    """
    entries = [entry for entry in default_registry().entries() if entry.record.name == name]
    model = released.models().get(name)
    if not entries and model is None:
        raise default_registry().unknown(name)
    architectures = [entry for entry in entries if isinstance(entry.record, Architecture)]
    if architectures:
        _show_architecture(architectures[0], image_size, channels, as_json, model)
    elif (image_size, channels) != (None, None):
        raise OptionError(f"{name!r} is no architecture; leave --image-size and --channels out")
    elif as_json:
        models = [] if model is None else [_plain_model(model)]
        print_json([*({**_plain(entry), "options": _options(entry)} for entry in entries), *models])
    else:
        for entry in entries:
            shown = _plain(entry)
            print_table(f"{entry.record.kind} {name}", ["what", "value"], shown.items())
            _print_options(entry)
        _print_model(model)


def _print_model(model: Released | None) -> None:
    if model is not None:
        print_table(f"{released.KIND} {model.name}", ["what", "value"], _plain_model(model).items())


def _plain_model(model: Released) -> dict[str, str]:
    return {"kind": released.KIND, "name": model.name, "summary": model.summary, "folder": str(released.folder(model))}


def _print_options(entry: Entry) -> None:
    options = _options(entry)
    if options:
        click.echo()
        rows = [[name, *about.values()] for name, about in options.items()]
        print_table(f"options, for --set {entry.record.kind}.NAME=VALUE", ["name", "default", "it is", "what"], rows)


def _options(entry: Entry) -> dict[str, dict[str, str]]:
    """What may be set of a record, by name."""
    offered = entry.record.settings if isinstance(entry.record, Adjustable) else {}
    return {name: {"default": _text(option.default), "kind": option.kind, "summary": option.summary}
            for name, option in offered.items()}  # fmt: skip


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value) if value == "" else str(value)


def _plain(entry: Entry) -> dict[str, Any]:
    values = {f.name: getattr(entry.record, f.name) for f in fields(entry.record)
              if f.name not in ("options", "arguments")}  # fmt: skip
    values = {key: value if isinstance(value, int | float | list | tuple | None) else str(value)
              for key, value in values.items() if value not in (None, "")}  # fmt: skip
    return {"kind": entry.record.kind, **values, "distribution": entry.origin.distribution}


def _show_architecture(
    entry: Entry, image_size: str | None, channels: int | None, as_json: bool, model: Released | None
) -> None:
    from ali_plugin.config import shapes
    from ali_plugin.config.describe import describe_architecture

    record = entry.record
    assert isinstance(record, Architecture)
    shape = shapes.shown(record, image_size, channels)
    lines = describe_architecture(record.name, data_shape=shape)
    totals: dict[str, int] = {}
    for line in lines:
        totals[line.part] = totals.get(line.part, 0) + line.parameters
    if as_json:
        shown = {**asdict(record), "distribution": entry.origin.distribution}
        if model is not None:
            shown["released"] = _plain_model(model)
        print_json({**shown, "shown_for": shape, "parameters": totals, "layers": [asdict(line) for line in lines]})
        return
    say(f"{record.name}: {record.summary}")
    say(f"reference: {record.reference}")
    say(f"data {shapes.text(record.data_shape)}, latent {record.latent_size}, recipe: {_recipe(record)}")
    if shapes.is_open(record):
        say(f"below for data of {shapes.text(shape)}; --image-size and --channels show it for others")
    for part, total in totals.items():
        rows = [
            (
                line.operation,
                line.maps or "",
                "BN" if line.norm else "",
                f"{line.dropout:g}" if line.dropout else "",
                line.activation.replace("identity", ""),
                line.bias,
                "x".join(map(str, line.shape)),
                f"{line.parameters:,}",
            )
            for line in lines
            if line.part == part
        ]
        say("")
        columns = ["layer", "maps", "norm", "drop", "nonlinearity", "bias", "output", "parameters"]
        print_table(f"{part}, {total:,} parameters", columns, rows, right=["maps", "parameters"])
    if model is not None:
        say("")
        _print_model(model)


def _recipe(record: Architecture) -> str:
    recipe = asdict(record.training)
    chosen = settings.words(settings.nested(recipe.pop("settings")))
    return ", ".join([*(f"{name} {value}" for name, value in recipe.items() if value is not None), *chosen])
