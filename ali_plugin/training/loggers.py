"""Where figures go beside metrics.jsonl."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ali_plugin.errors import MissingExtra
from ali_plugin.training.callbacks import Callback

if TYPE_CHECKING:
    from ali_plugin.training.trainer import Trainer


class TensorBoard(Callback):
    """Writes every figure to ``RUN/tensorboard``."""

    def __init__(self) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingExtra("--log tensorboard needs: pip install 'ali-plugin[tensorboard]'") from error
        self._make: Any = SummaryWriter
        self._writer: Any = None

    def on_start(self, trainer: Trainer) -> None:
        self._writer = self._make(str(trainer.out / "tensorboard"), purge_step=trainer.step or None)

    def on_log(self, trainer: Trainer, figures: dict[str, float]) -> None:
        for name, value in figures.items() if self._writer is not None else ():  # None: it could not be made
            if name != "step":
                self._writer.add_scalar(name, value, trainer.step)

    def on_end(self, trainer: Trainer) -> None:
        if self._writer is not None:
            self._writer.close()
