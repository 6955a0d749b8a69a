"""Packages of extras, imported where they are used."""

from __future__ import annotations

import importlib
from typing import Any

from ali_plugin.errors import MissingExtra


def need(module: str, purpose: str, extra: str = "eval") -> Any:
    """Import a module of an extra.

    Raises:
        MissingExtra: it is not installed; the text says what to install.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtra(f"{purpose} needs {error.name}: pip install 'ali-plugin[{extra}]'") from error
