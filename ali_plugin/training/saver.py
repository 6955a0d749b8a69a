"""What a run saves: checkpoints and the model, tried again where they could not be written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from ali_plugin.errors import FolderError
from ali_plugin.model import ALI
from ali_plugin.training import checkpoint
from ali_plugin.training.assemble import Assembled
from ali_plugin.training.checkpoint import Position


class Saver:
    """Writes a run's state, on the one process that writes.

    Args:
        published: makes the model as it is published.
    """

    def __init__(self, run: Assembled, out: Path, published: Callable[[], ALI]) -> None:
        self._run, self._out, self._published = run, out, published
        self._unsaved: tuple[Position, list[list[Tensor]]] | None = None

    def save(self, position: Position, states: list[list[Tensor]]) -> Path:
        """Write a checkpoint, whose folder is returned, and the model.

        Args:
            states: of the random generators, see ``checkpoint.save``.

        Raises:
            FolderError: one of them cannot be written; ``finish`` tries again.
        """
        self._unsaved = position, states
        path = checkpoint.save(self._out, self._run.step, position, states, self._run.data, self._run.config.keep)
        self._unsaved = None
        self._published().save_pretrained(self._out)
        return path

    def finish(self) -> FolderError | None:
        """Save what is not saved yet, the model in any case; the error, where that was not all of it.

        Raises:
            FolderError: the model cannot be written.
        """
        failed = None
        if self._unsaved is not None:
            try:
                self.save(*self._unsaved)
            except FolderError as error:
                failed = error
        last = checkpoint.found(self._out)[-1:]
        since = f"--resume goes on from {last[0]}" if last else "the run cannot be continued"
        try:
            self._published().save_pretrained(self._out)  # a run killed after its last checkpoint lacks it
        except FolderError as error:
            raise FolderError(f"{failed or error}; {since}") from error
        if self._unsaved is None:
            return None
        step = self._unsaved[0].step
        return FolderError(f"{failed}; the model of step {step} is saved in {str(self._out)!r}, but {since}")
