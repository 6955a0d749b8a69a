"""Paths as people type them, and where the package has what lies beside its code."""

from __future__ import annotations

import os
from pathlib import Path

from ali_plugin.errors import DataError, OptionError


def model_cards() -> Path:
    """The folder of the cards' template and the released models: of the installed package, else of a checkout."""
    home = Path(__file__).resolve().parents[2]
    installed = home / "ali_plugin_model_cards"
    return installed if installed.is_dir() else home / "model_cards"


def refuse_no_folder(path: Path, given: str) -> None:
    """Raise DataError where ``path``, given as a folder of data, is none, with what is there instead."""
    if os.path.isdir(path):
        return
    if os.path.exists(path):
        raise DataError(f"{given!r} is a file, no folder; unpack it, or name the folder it lies in with --data-dir")
    raise DataError(f"the data folder {given!r} does not exist; name one with --data-dir")


def absolute(path: str | Path, option: str) -> Path:
    """The same place from whatever folder it is looked at, ``~`` written out; links stay as they are.

    Raises:
        OptionError: nothing is named, or this user has no home for ``~``.
    """
    if not str(path):
        raise OptionError(f"{option} is empty; name a folder")
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError as error:  # pathlib's, for a user without an entry in the user database
        raise OptionError(f"{option} is {str(path)!r}, but there is no such home folder; write it out") from error
