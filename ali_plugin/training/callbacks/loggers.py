"""Where figures go beside metrics.jsonl."""

from __future__ import annotations

import threading
from typing import Any

from ali_plugin.support.extras import need
from ali_plugin.training.callbacks.callback import Callback, Run
from ali_plugin.training.run_folder import TENSORBOARD


class TensorBoard(Callback):
    """Writes every figure to ``RUN/tensorboard``."""

    def __init__(self) -> None:
        need("tensorboard", "--log tensorboard", "tensorboard")
        from torch.utils.tensorboard import SummaryWriter

        self._make: Any = SummaryWriter
        self._writer: Any = None
        self._excepthook = threading.excepthook

    def on_start(self, trainer: Run) -> None:
        threading.excepthook = self._tolerate
        self._writer = self._make(str(trainer.out / TENSORBOARD), purge_step=trainer.step or None)

    def _tolerate(self, raised: threading.ExceptHookArgs) -> None:
        """Where its thread cannot write, the next ``on_log`` is told: no traceback for the person."""
        if not (issubclass(raised.exc_type, OSError) and type(raised.thread).__module__.startswith("tensorboard.")):
            self._excepthook(raised)

    def on_log(self, trainer: Run, figures: dict[str, float]) -> None:
        for name, value in figures.items() if self._writer is not None else ():  # None: it could not be made
            if name != "step":
                self._writer.add_scalar(name, value, trainer.step)

    def on_end(self, trainer: Run) -> None:
        threading.excepthook = self._excepthook
        if self._writer is not None:
            self._writer.close()
