"""The fields of a training config as options."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import Field, fields
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import click

from ali_cli.paths import ReadPath
from ali_plugin.training.config import TrainConfig
from ali_plugin.training.option import help_of, name_of, option_of

F = TypeVar("F", bound=Callable[..., Any])


class NumberOrSchedule(click.ParamType[Any]):
    """A number, or text such as cosine:1->0.1, which is checked with the other choices."""

    name = "number or schedule"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return float(value)
        except ValueError:
            return value


def choices(first: str, last: str) -> Callable[[F], F]:
    """An option for each field from ``first`` to ``last``; one that is not given is None, and the recipe's is taken."""
    names = [field.name for field in fields(TrainConfig)]
    chosen = fields(TrainConfig)[names.index(first) : names.index(last) + 1]

    def decorate(function: F) -> F:
        for field in reversed(chosen):
            function = _option(field)(function)
        return function

    return decorate


def _option(field: Field[Any]) -> Callable[[F], F]:
    names, kind = (name_of(field), field.name), _kind(field)
    if kind is bool:
        decided = option_of(field).default is not None  # by others, who may be told either way
        flags = f"{names[0]}/--no-{names[0][2:]}" if decided else names[0]
        return click.option(flags, field.name, is_flag=True, default=None, help=help_of(field))
    if kind is dict:
        return click.option(*names, multiple=True, metavar="ROOM.NAME=VALUE", help=help_of(field))
    return click.option(*names, type=ReadPath() if option_of(field).is_folder else kind, help=help_of(field))


def _kind(field: Field[Any]) -> type | click.ParamType[Any]:
    """int, float, bool, str, or dict; None, sizes and the names of a Literal are left to the config to check."""
    hint = get_type_hints(TrainConfig)[field.name]
    if get_origin(hint) is dict:
        return dict
    kinds = [kind for kind in get_args(hint) if isinstance(kind, type) and kind is not NoneType]
    if float in kinds and str in kinds:
        return NumberOrSchedule()
    return hint if isinstance(hint, type) else str if str in kinds or not kinds else kinds[0]
