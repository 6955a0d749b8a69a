"""The fields of a training config as options."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import Field, fields
from types import NoneType
from typing import Any, TypeVar, get_args, get_type_hints

import click

from ali_cli.paths import ReadPath
from ali_plugin.training.config import TrainConfig
from ali_plugin.training.option import help_of, name_of, option_of

F = TypeVar("F", bound=Callable[..., Any])


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
        return click.option(*names, is_flag=True, default=None, help=help_of(field))
    return click.option(*names, type=ReadPath() if option_of(field).is_folder else kind, help=help_of(field))


def _kind(field: Field[Any]) -> type:
    """int, float, bool, or str; None and the names of a Literal are left to the config to check."""
    hint = get_type_hints(TrainConfig)[field.name]
    kinds = [kind for kind in get_args(hint) if isinstance(kind, type) and kind is not NoneType]
    return hint if isinstance(hint, type) else kinds[0] if kinds else str
