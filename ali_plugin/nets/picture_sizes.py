"""The rule of the residual family: which pictures it takes, and the grids that it works on. No torch here."""

from __future__ import annotations

import math

from ali_plugin.errors import PartMismatch

FINEST = 4  # pixels of a side for each position of the finest grid
COARSEST = 8  # positions of the coarsest grid's shorter side, at most
SMALLEST, LARGEST = 16, 256  # sides of pictures


def allowed(side: int, shorter: int | None = None) -> bool:
    """Whether the family takes pictures with this side, where the shorter one is ``shorter``; see ``multiple_of``."""
    return SMALLEST <= side <= LARGEST and side % multiple_of(min(side, shorter or side)) == 0


def multiple_of(shorter: int) -> int:
    """Both sides are multiples of this: of 4 where the shorter one is up to 32, of 8 up to 64, of 16 up to 128, of 32
    up to 256, so that the grid can be halved until its shorter side is at most 8."""
    halvings = max(0, math.ceil(math.log2(max(shorter, 1) / (FINEST * COARSEST))))
    return int(FINEST * 2**halvings)


def grids(data_shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """(height, width) of the grids of a picture, finest first.

    Raises:
        PartMismatch: the family does not take such pictures; it names the nearest sizes that it takes.
    """
    if len(data_shape) != 3:
        raise PartMismatch(f"the residual nets are for pictures, the data are of shape {data_shape}")
    height, width = data_shape[1:]
    shorter = min(height, width)
    for side in (shorter, max(height, width)):
        if not allowed(side, shorter):
            raise PartMismatch(
                f"the residual nets take no pictures of {height}x{width}: sides are from {SMALLEST} to {LARGEST}, here "
                f"multiples of {multiple_of(shorter)}; take {' or '.join(map(str, _nearest(side, shorter)))} "
                f"in place of {side}"
            )
    found = [(height // FINEST, width // FINEST)]
    while min(found[-1]) > COARSEST:
        found.append((found[-1][0] // 2, found[-1][1] // 2))
    return found


def square_sides() -> tuple[int, ...]:
    """Of all square pictures that the family takes."""
    return tuple(side for side in range(SMALLEST, LARGEST + 1) if allowed(side))


def _nearest(side: int, shorter: int | None) -> list[int]:
    bound = None if side == shorter else shorter
    sides = [one for one in range(SMALLEST, LARGEST + 1) if allowed(one, bound)]
    below, above = [one for one in sides if one <= side], [one for one in sides if one >= side]
    return below[-2:] if not above else above[:2] if not below else sorted({below[-1], above[0]})
