"""What a registered thing lets people set: options with a default, a type and a range."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ali_registry.errors import InvalidRecord
from ali_registry.text import printable

PLAIN = (bool, int, float, str)
LARGEST = 1 << 63  # of a whole number


@dataclass(frozen=True, kw_only=True)
class Option:
    """One setting, ``--set objective.NAME=VALUE``. Values have the type of the default.

    Attributes:
        default: a truth value, number or text, or a list of them, or None for any of these.
        low, high: bounds of a number, both inclusive.
        choices: the texts that it may be, where they are few.
        scheduled: a number that may follow a schedule over the run, "cosine:1->0.1", say.
        needs: names of options of the same thing; where all of them are off (0, false, empty), this one does nothing.
        summary: a few words for ``ali show``.
    """

    default: Any
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    scheduled: bool = False
    needs: tuple[str, ...] = ()
    summary: str = ""

    def __post_init__(self) -> None:
        if reason := self.refusal(self.default):
            raise InvalidRecord(f"the default of an option {reason}")

    @classmethod
    def of(cls, value: Any) -> Option:
        """The option itself, or the one that a plain default stands for."""
        return value if isinstance(value, Option) else cls(default=value)

    @property
    def kind(self) -> str:
        """What a value has to be, for people."""
        if self.choices:
            return " or ".join(map(repr, self.choices))
        names: dict[type, str] = {bool: "true or false", int: "an integer", float: "a number", str: "text"}
        if isinstance(self.default, list | tuple):
            several = {int: " of integers", float: " of numbers", str: " of texts"}
            name = f"a list{several.get(type(next(iter(self.default), None)), '')}"
        else:
            name = names.get(type(self.default), "a value")
        if self.low is not None and self.high is not None:
            name += f" from {self.low:g} to {self.high:g}"
        elif self.low is not None:
            name += f" of at least {self.low:g}"
        elif self.high is not None:
            name += f" of at most {self.high:g}"
        return name + (", or a schedule of such" if self.scheduled else "")

    def refusal(self, value: Any) -> str | None:
        """Why a value, in which a whole number may stand for a float, cannot be this option; None if it can."""
        fits = self._of_type(value) and (not self.choices or value in self.choices)
        if fits and all(map(self._in_range, value if isinstance(value, list | tuple) else (value,))):
            return None
        return f"is {_quoted(value)}, not {self.kind}"

    def _in_range(self, value: Any) -> bool:
        """Whether a number is finite and between the bounds; anything else is."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return True
        finite = math.isfinite(value) if isinstance(value, float) else abs(value) < LARGEST
        return finite and (self.low is None or value >= self.low) and (self.high is None or value <= self.high)

    def _of_type(self, value: Any) -> bool:
        default = self.default
        if default is None:
            return value is None or isinstance(value, list | PLAIN)
        if isinstance(default, list | tuple):
            kinds = {type(one) for one in default} or set(PLAIN)
            kinds |= {int} if float in kinds else set()
            return isinstance(value, list | tuple) and all(type(one) in kinds for one in value)
        if isinstance(default, Mapping):
            return isinstance(value, Mapping)
        if isinstance(default, float):
            return isinstance(value, int | float) and not isinstance(value, bool)
        return type(value) is type(default) and isinstance(value, PLAIN)


def _quoted(value: Any) -> str:
    return printable(repr(value), 60)
