"""A share of something scarce, such as memory, among threads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class Budget:
    """At most ``most`` units are taken at any time. Who asks for more than there is waits."""

    def __init__(self, most: int) -> None:
        self.most, self._free, self._changed = most, most, Condition()

    @contextmanager
    def taking(self, units: int) -> Iterator[None]:
        """Hold ``units`` of it, or all of it where that is less."""
        units = min(units, self.most)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= units)
            self._free -= units
        try:
            yield
        finally:
            with self._changed:
                self._free += units
                self._changed.notify_all()
