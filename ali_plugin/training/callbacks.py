"""What may watch a run: progress bars, logs, pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ali_plugin.errors import ALIError, CallbackFailed
from ali_registry import Callback as CallbackRecord
from ali_registry import InvalidRecord, Registry
from ali_registry.text import as_text

if TYPE_CHECKING:
    from ali_plugin.training.trainer import Trainer


class Callback:
    """Override what is of interest. Callbacks are called in order, on the process that writes."""

    def on_start(self, trainer: Trainer) -> None:
        """Before the first step; ``trainer.step`` is not 0 in a continued run."""

    def on_log(self, trainer: Trainer, figures: dict[str, float]) -> None:
        """Every ``log_every`` steps: losses averaged since the last call, images_per_second, step, epoch."""

    def on_sample(self, trainer: Trainer) -> None:
        """Every ``sample_every`` steps and at the end."""

    def on_checkpoint(self, trainer: Trainer, path: Path) -> None:
        """After a checkpoint is complete on disk."""

    def on_warning(self, trainer: Trainer, text: str) -> None:
        """Something that the person should know: a rewind, a collapse."""

    def on_end(self, trainer: Trainer) -> None:
        """After the last step, also of an interrupted run, when everything is saved."""


def failure(callback: Callback, event: str, *arguments: object) -> Exception | None:
    """Call a callback; what it raises is returned: errors of ours and of the system as they are, others named."""
    try:
        getattr(callback, event)(*arguments)
    except (ALIError, OSError) as error:
        return error
    except Exception as error:
        who = f"{type(callback).__module__}.{type(callback).__qualname__}"
        failed = CallbackFailed(f"callback {who} failed in {event}: {type(error).__name__}: {as_text(error)}")
        failed.__cause__ = error
        return failed
    return None


def build_callback(name: str, registry: Registry) -> Callback:
    """The registered callback of this name.

    Raises:
        UnknownName: nothing registers it.
        InvalidRecord: its plugin builds something else.
    """
    callback = registry.get(CallbackRecord, name).load()()
    if not isinstance(callback, Callback):
        origin = registry.entry(CallbackRecord, name).origin
        raise InvalidRecord(f"callback {name!r} of {origin} is a {type(callback).__name__}, not a Callback")
    return callback
