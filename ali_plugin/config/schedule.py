"""Numbers that change over a run. No torch here."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal, cast, get_args

Kind = Literal["constant", "linear", "cosine", "step"]
LEVELS = 100  # of a run's length: what is captured in a CUDA graph is captured anew for each
NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"  # of a long text in linear time
FORM = re.compile(rf"(?P<kind>linear|cosine|step):(?P<start>{NUMBER})->(?P<end>{NUMBER})(?:@(?P<over>{NUMBER}))?")
EXAMPLE = "'cosine:1->0.1' (in quotes), or 'linear:1->0@0.2' over the first fifth of the run"


def progress(step: int, total_steps: int) -> float:
    """The share of a run that is done before a step (from 0), in hundredths, from 0 up to 0.99."""
    return LEVELS * step // total_steps / LEVELS


@dataclass(frozen=True)
class Schedule:
    """From ``start`` to ``end`` over the share ``over`` of a run, then constant: a function of the share alone.

    One of the kind step stays at its start until that share is done.
    """

    start: float
    end: float
    kind: Kind = "constant"
    over: float = 1.0

    def __post_init__(self) -> None:
        if not all(math.isfinite(value) for value in (self.start, self.end)):
            raise ValueError(f"a schedule from {self.start} to {self.end} is not finite")
        if self.kind not in get_args(Kind):
            raise ValueError(f"a schedule is {' or '.join(get_args(Kind))}, not {self.kind!r}")
        if not 0 < self.over <= 1:
            raise ValueError(f"a schedule goes over a share of the run above 0 and up to 1, not {self.over:g}")
        if self.kind == "step" and self.over == 1:
            raise ValueError("a step of a schedule comes after a share of the run below 1, such as 'step:1->2@0.75'")

    @classmethod
    def of(cls, value: float | str) -> Schedule:
        """The schedule that is written KIND:START->END or KIND:START->END@SHARE; a number is constant.

        Raises:
            ValueError: the text is none.
        """
        if not isinstance(value, str):
            return cls(value, value)
        found = FORM.fullmatch(value.replace(" ", ""))
        if found is None:
            raise ValueError(f"{value!r} is no number and no schedule such as {EXAMPLE}")
        return cls(float(found["start"]), float(found["end"]), cast(Kind, found["kind"]), float(found["over"] or 1))

    def at(self, share: float) -> float:
        """The value when this share of the run, from 0 to 1, is done."""
        if self.kind == "constant":
            return self.end
        done = min(share / self.over, 1.0)
        if self.kind == "step":
            done = float(done == 1)
        if self.kind == "cosine":
            done = (1 - math.cos(math.pi * done)) / 2
        return self.start + (self.end - self.start) * done

    @property
    def ends(self) -> tuple[float, float]:
        """The first and last value, between which all others are."""
        return self.start, self.end
