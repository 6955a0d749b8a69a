"""The step of a person's own file, which ``ali bench --against FILE.py`` measures beside the project's.

The file is Python with a function ``build(data_shape, batch_size, device)``, called with these by name, which returns
a function ``step``. ``step(x)`` does one training step on samples x (batch_size, *data_shape), float32 in [0, 1] on the
device; for a conditional architecture it is ``step(x, condition)`` with conditions (batch_size, condition_size).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from ali_plugin.config.shapes import Shape
from ali_plugin.errors import OptionError
from ali_plugin.objectives.game import Batch
from ali_registry.guard import guarded, reason
from ali_registry.text import printable

MODULE = "ali_bench_against"  # in sys.modules, where dataclasses and torch.compile look a function's module up
MAX_BYTES = 1 << 20
CONTRACT = "it needs a function build(data_shape, batch_size, device) that returns step(x)"
SETTINGS: tuple[tuple[Callable[[], Any], Callable[[Any], Any]], ...] = (
    (torch.get_default_dtype, torch.set_default_dtype),
    (torch.get_num_threads, torch.set_num_threads),
    (torch.is_grad_enabled, torch.set_grad_enabled),
    (torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms),
    (lambda: torch.backends.cudnn.benchmark, lambda value: setattr(torch.backends.cudnn, "benchmark", value)),
)
"""Of the whole process: what a file sets of them holds for its own step alone."""


class AgainstStep:
    """The file's step, in the surroundings that the file has made for it.

    Raises:
        OptionError: the file is no such file, or its code fails.
    """

    def __init__(self, path: Path, data_shape: Shape, batch_size: int, device: torch.device) -> None:
        self._name = repr(printable(path, 200))
        self._settings = _settings()
        source = self._read(path)
        with self.surroundings("cannot be run"):
            build = getattr(_module(source, path), "build", None)
        if not callable(build):
            raise OptionError(f"--against {self._name} has no function 'build'; {CONTRACT}")
        with self.surroundings("build(data_shape, batch_size, device) failed"):
            step = build(data_shape=data_shape, batch_size=batch_size, device=device)
        if not callable(step):
            raise OptionError(f"build of --against {self._name} returned a {type(step).__name__}; {CONTRACT}")
        self._step = step

    def __call__(self, batch: Batch) -> None:
        """One step; within ``surroundings``."""
        self._step(batch.x) if batch.condition is None else self._step(batch.x, batch.condition)

    @contextmanager
    def surroundings(self, failure: str = "a step failed") -> Iterator[None]:
        """With the file's own settings of torch, its prints on stderr, and its errors as one line.

        Raises:
            OptionError: the code inside fails.
        """
        ours = _settings()
        _set(self._settings)
        try:
            with guarded():
                yield
        except Exception as error:
            raise OptionError(f"--against {self._name}: {failure}: {printable(reason(error), 400)}") from error
        finally:
            self._settings = _settings()
            _set(ours)

    def _read(self, path: Path) -> bytes:
        if not path.is_file():
            raise OptionError(f"--against {self._name} is no file; name a Python file, {CONTRACT}")
        try:
            with path.open("rb") as file:
                source = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise OptionError(f"--against {self._name} cannot be read: {error.strerror}") from error
        if len(source) > MAX_BYTES:
            raise OptionError(f"--against {self._name} is larger than {MAX_BYTES:,} bytes, no such file is; {CONTRACT}")
        return source


def _module(source: bytes, path: Path) -> ModuleType:
    """The file as a module. Its folder is not searched for what it imports, and nothing compiled is read or written:
    no code but the file is run that it does not name itself."""
    module = ModuleType(MODULE)
    module.__file__ = str(path)
    sys.modules[MODULE] = module
    exec(compile(source, path, "exec", dont_inherit=True), module.__dict__)
    return module


def _settings() -> list[Any]:
    return [get() for get, _ in SETTINGS]


def _set(wanted: list[Any]) -> None:
    for (get, put), value in zip(SETTINGS, wanted, strict=True):
        if get() != value:  # another number of threads takes a while
            put(value)
