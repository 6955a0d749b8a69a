"""What watches a run, and what it may use of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ali_plugin.errors import ALIError, CallbackFailed, FolderError
from ali_plugin.training.config import TrainConfig
from ali_registry import Callback as CallbackRecord
from ali_registry import InvalidRecord, Registry, blaming
from ali_registry.text import as_text

if TYPE_CHECKING:  # progress bars are callbacks, and the program starts without torch
    import torch

    from ali_plugin.datasets.split import DataSplit
    from ali_plugin.model import ALI


class Run(Protocol):
    """What a callback may use of the run that it watches."""

    total_steps: int
    """Its length, by which its schedules go. What limits a run by something else, such as time, moves it."""

    @property
    def config(self) -> TrainConfig:
        """The run's choices."""

    @property
    def out(self) -> Path:
        """Its folder."""

    @property
    def registry(self) -> Registry:
        """Where its parts are registered."""

    @property
    def device(self) -> torch.device:
        """Where it trains."""

    @property
    def model(self) -> ALI:
        """The model that trains; ``averaged_model`` is the one to look at."""

    @property
    def held_out(self) -> DataSplit:
        """Data that it does not train on."""

    @property
    def step(self) -> int:
        """Steps that are done."""

    @property
    def seconds(self) -> float:
        """How long it has trained, up to the last log line or checkpoint."""

    @property
    def reported(self) -> dict[str, float]:
        """Figures for the log line of this step, to be added to in ``on_sample``."""

    def averaged_model(self) -> ALI:
        """A copy of the model in eval mode with the weights that the run publishes: averaged, if asked for."""

    def warn(self, text: str) -> None:
        """Tell the person something through the callbacks."""

    def stop(self) -> None:
        """End the run after the present step, saved so that it can be continued."""


class Callback:
    """Override what is of interest. Callbacks are called in order, on the process that writes."""

    def on_start(self, trainer: Run) -> None:
        """Before the first step; ``trainer.step`` is not 0 in a continued run."""

    def on_log(self, trainer: Run, figures: dict[str, float]) -> None:
        """Every ``log_every`` steps: losses averaged since the last call, images_per_second, step, epoch."""

    def on_sample(self, trainer: Run) -> None:
        """Every ``sample_every`` steps and after the last one, before the log line of the same step, into which
        ``trainer.reported`` goes."""

    def on_checkpoint(self, trainer: Run, path: Path) -> None:
        """After a checkpoint is complete on disk."""

    def on_warning(self, trainer: Run, text: str) -> None:
        """Something that the person should know: a rewind, a collapse."""

    def on_end(self, trainer: Run) -> None:
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
