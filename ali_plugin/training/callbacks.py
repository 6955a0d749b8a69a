"""What may watch a run: progress bars, logs, pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ali_plugin.errors import ALIError, CallbackFailed, FolderError
from ali_registry import Callback as CallbackRecord
from ali_registry import InvalidRecord, Registry, blaming
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
        """Every ``sample_every`` steps and after the last one, before the log line of the same step, into which
        ``trainer.reported`` goes."""

    def on_checkpoint(self, trainer: Trainer, path: Path) -> None:
        """After a checkpoint is complete on disk."""

    def on_warning(self, trainer: Trainer, text: str) -> None:
        """Something that the person should know: a rewind, a collapse."""

    def on_end(self, trainer: Trainer) -> None:
        """After the last step, also of an interrupted run, when everything is saved."""


def failure(callback: Callback, event: str, *arguments: object) -> ALIError | None:
    """Call a callback; what it raises is returned, a FolderError where it could not write."""
    who = f"callback {type(callback).__module__}.{type(callback).__qualname__}"
    failed: ALIError
    try:
        getattr(callback, event)(*arguments)
    except ALIError as error:
        return error
    except OSError as error:
        failed = FolderError(f"{who} cannot write in {event}: {error.strerror or as_text(error)}")
        failed.__cause__ = error
    except Exception as error:
        failed = CallbackFailed(f"{who} failed in {event}: {type(error).__name__}: {as_text(error)}")
        failed.__cause__ = error
    else:
        return None
    return failed


def build_callback(name: str, registry: Registry) -> Callback:
    """The registered callback of this name.

    Raises:
        UnknownName: nothing registers it.
        InvalidRecord: its plugin builds something else.
        PluginFailed: its plugin raises what is no ALIError.
    """
    entry = registry.entry(CallbackRecord, name)
    origin = entry.origin
    with blaming(entry):
        callback = registry.get(CallbackRecord, name).call()
    if not isinstance(callback, Callback):
        raise InvalidRecord(f"callback {name!r} of {origin} is a {type(callback).__name__}, not a Callback")
    return callback
