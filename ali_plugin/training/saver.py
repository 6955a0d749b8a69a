"""What a run saves: checkpoints and the model, tried again where they could not be written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor

from ali_plugin.errors import FolderError
from ali_plugin.training import checkpoint

if TYPE_CHECKING:
    from ali_plugin.training.trainer import Trainer


class Saver:
    """Writes a run's state, on the one process that writes."""

    def __init__(self) -> None:
        self._unsaved: list[list[Tensor]] | None = None

    def save(self, trainer: Trainer, states: list[list[Tensor]]) -> Path:
        """Write a checkpoint, whose folder is returned, and the model.

        Args:
            states: of the random generators, see ``checkpoint.save``.

        Raises:
            FolderError: one of them cannot be written; ``finish`` tries again.
        """
        position = checkpoint.Position(
            trainer.step, trainer.batches.epoch, trainer.batches.index, trainer.seconds, trainer.learning_rate_factor
        )
        self._unsaved = states
        path = checkpoint.save(trainer.out, trainer.training_step, position, states, trainer.data, trainer.config.keep)
        self._unsaved = None
        trainer.averaged_model().save_pretrained(trainer.out)
        return path

    def finish(self, trainer: Trainer) -> FolderError | None:
        """Save what is not saved yet, the model in any case; the error, where that was not all of it.

        Raises:
            FolderError: the model cannot be written.
        """
        unsaved = None
        if self._unsaved is not None:
            try:
                self.save(trainer, self._unsaved)
            except FolderError as error:
                unsaved = error
        last = checkpoint.found(trainer.out)[-1:]
        since = f"--resume goes on from {last[0]}" if last else "the run cannot be continued"
        try:
            trainer.averaged_model().save_pretrained(trainer.out)  # a run killed after its last checkpoint lacks it
        except FolderError as error:
            raise FolderError(f"{unsaved or error}; {since}") from error
        if self._unsaved is None:
            return None
        return FolderError(f"{unsaved}; the model of step {trainer.step} is saved in {str(trainer.out)!r}, but {since}")
