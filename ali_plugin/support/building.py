"""A net of any size asked for by a config from elsewhere: counted while it is built, so that it ends soon."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.nn.modules import module as hooks
from torch.nn.parameter import is_lazy

from ali_plugin.errors import ConfigError
from ali_plugin.support.limits import MAX_BUILD_SECONDS, MAX_PARAMETERS, MAX_REGISTRATIONS


@contextmanager
def bounded(what: str) -> Iterator[None]:
    """Raise ConfigError out of the code inside when this thread builds a net that is too large.

    Bounds are on the modules, parameters and buffers, on their numbers, and on this thread's own time at work, which
    other programs do not lengthen, where they take no memory (on the meta device): with memory it goes into the first
    values.
    """
    tally = _Tally(what)
    handles = [
        hooks.register_module_module_registration_hook(tally.add),
        hooks.register_module_parameter_registration_hook(tally.add),
        hooks.register_module_buffer_registration_hook(tally.add),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class _Tally:
    def __init__(self, what: str) -> None:
        self.what, self.thread = what, threading.get_ident()
        self.end = time.thread_time() + MAX_BUILD_SECONDS
        self.registered = self.numbers = 0

    def add(self, _: nn.Module, name: str, added: Any) -> None:
        if threading.get_ident() != self.thread:
            return
        self.registered += 1
        if self.registered > MAX_REGISTRATIONS:
            self._refuse(f"more than {MAX_REGISTRATIONS} layers and parameters")
        if isinstance(added, Tensor) and not is_lazy(added):
            self.numbers += added.numel()
            if self.numbers > MAX_PARAMETERS:
                self._refuse(f"more than {MAX_PARAMETERS} numbers")
            if added.is_meta and time.thread_time() > self.end:
                self._refuse(f"not built after {MAX_BUILD_SECONDS:g} s of work")

    def _refuse(self, found: str) -> None:
        raise ConfigError(f"{self.what} is absurdly large: {found}")
