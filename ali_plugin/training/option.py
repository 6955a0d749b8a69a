"""How a choice of a run is told at the command line: said once, beside the field that holds it. No torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, Field, dataclass
from typing import Any

KEY = "option"


@dataclass(frozen=True)
class Option:
    """What a field of ``TrainConfig`` does not say itself.

    Attributes:
        help: a sentence.
        default: what happens without the option, in words, where that is not the field's default.
        name: where it is not the field's.
        is_folder: the value is the place of a folder.
        resumable: the choice may differ when a run is continued.
        learned: it has a part in what the run learns; else it says how the run is watched and kept.
    """

    help: str
    _: KW_ONLY
    default: str | None = None
    name: str | None = None
    is_folder: bool = False
    resumable: bool = False
    learned: bool = True

    @property
    def told(self) -> Mapping[str, Any]:
        """The metadata of the field."""
        return {KEY: self}


def option_of(field: Field[Any]) -> Option:
    """What is said of a field."""
    option = field.metadata[KEY]
    assert isinstance(option, Option)
    return option


def name_of(field: Field[Any]) -> str:
    """As it is typed: ``--batch-size``."""
    return f"--{option_of(field).name or field.name.replace('_', '-')}"


def help_of(field: Field[Any]) -> str:
    """With what happens where the option is left out."""
    option = option_of(field)
    default = option.default or (field.default if isinstance(field.default, str | int | float) else None)
    shown = default is not None and not isinstance(default, bool)
    return f"{option.help} [default: {default}]" if shown else option.help
