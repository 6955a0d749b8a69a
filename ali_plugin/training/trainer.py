"""The training loop and the run folder that it keeps."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch

from ali_plugin.config.schedule import progress
from ali_plugin.errors import CallbackFailed, ConfigError, FolderError, TrainingDiverged
from ali_plugin.model import ALI
from ali_plugin.nets import state
from ali_plugin.support import atomic
from ali_plugin.support.devices import keep_freed_memory, precision, random_states
from ali_plugin.training import checkpoint, distributed, run_folder
from ali_plugin.training.assemble import Assembled, working
from ali_plugin.training.callbacks.callback import Callback, failure
from ali_plugin.training.config import TRAIN_CONFIG_NAME
from ali_plugin.training.meter import Meter
from ali_plugin.training.metrics import METRICS_NAME, Metrics
from ali_plugin.training.saver import Saver
from ali_registry import blaming

MAX_REWINDS = 5


@dataclass(frozen=True)
class TrainResult:
    """How a run ended.

    Attributes:
        steps: of the whole run; seconds and images_per_second likewise, pictures and checkpoints included.
        interrupted: it was stopped before its last step and can be continued.
    """

    path: str
    steps: int
    seconds: float
    images_per_second: float
    interrupted: bool


class Trainer:
    """Trains what is assembled until the last step, or until ``stop`` is called."""

    def __init__(
        self,
        assembled: Assembled,
        out: Path,
        callbacks: Sequence[Callback] = (),
        *,
        resume: bool = False,
        allow_changed_data: bool = False,
    ) -> None:
        """Take up the run in its folder, at its last checkpoint if it is continued.

        Raises:
            FolderError: there is nothing to continue.
            DataError: the run that is continued has seen other data, and that is not allowed.
            ConfigError, WeightsError: the checkpoint is damaged, or of another model.
        """
        self.assembled, self.out, self.callbacks = assembled, out, list(callbacks)
        self.config, self.registry, self.device = assembled.config, assembled.registry, assembled.device
        self.model, self.held_out, self.data = assembled.model, assembled.held_out, assembled.data
        self.batches, self.training_step = assembled.batches, assembled.step
        self.total_steps, self.notes = assembled.total_steps, assembled.notes
        self.metrics = Metrics(out / METRICS_NAME)
        self.step, self.seconds = 0, 0.0
        self.reported: dict[str, float] = {}
        self._stopping = False
        self._stop_asked, self._saved_step = False, 0
        self._saver = Saver(assembled, out, self.averaged_model)
        self._told: set[str] = set()  # what has been warned of and is not said again
        self._meter = Meter()
        self.rewinds, self.learning_rate_factor = 0, 1.0
        self._shown: ALI | None = None
        self._resumed, self._allow_changed_data = resume, allow_changed_data
        if resume:
            with working(assembled.stream):
                self._continue()

    def run(self) -> TrainResult:
        """Train to the end.

        What cannot be written on the way (figures, pictures, a checkpoint) is warned of, and training goes on.

        Raises:
            TrainingDiverged: a figure became NaN or infinite; the last good checkpoint stays.
            FolderError: another process holds the run's folder, or what the run ended with could not be written.
            CallbackFailed: a callback raised; at the run's end, where everything else is saved by then.
        """
        if self.device.type == "cpu":
            keep_freed_memory()
        held = run_folder.holding(self.out) if distributed.rank() == 0 else nullcontext()
        with held, working(self.assembled.stream), precision(self.config.precision):
            if distributed.rank() == 0:
                since = self.step if self._resumed else None
                run_folder.claim(self.out, self.metrics, since, distributed.launch_name())
                atomic.write(self.out / TRAIN_CONFIG_NAME, self.config.to_json())
            return self._run()

    def _run(self) -> TrainResult:
        self._call("on_start")
        if (self.out / checkpoint.FOLDER).is_symlink():
            self.warn(f"{self.out / checkpoint.FOLDER} is a link; old checkpoints stay, none is removed through it")
        self._clock = time.perf_counter()
        while self.step < self.total_steps and not self._stopping:
            with blaming(self.assembled.objective), distributed.talking():
                self.training_step.schedule(self.step, self.total_steps, self.learning_rate_factor)
                self._meter.add(self.training_step(self.batches.next()))
            self.step += 1
            try:
                self._duties()
            except TrainingDiverged as error:
                self._recover(error)
        if self._saved_step != self.step:  # stopped between two duties
            self._checkpoint()
        if distributed.rank() == 0:
            self._end()
        rate = self.step * self.config.batch_size / max(self.seconds, 1e-9)
        return TrainResult(str(self.out), self.step, self.seconds, rate, self.step < self.total_steps)

    def _end(self) -> None:
        """Save what is not saved yet, tell all callbacks, and raise only then."""
        unsaved = self._saver.finish()
        failures = [failed for callback in self.callbacks if (failed := failure(callback, "on_end", self))]
        if unsaved:
            raise unsaved
        if failures:
            done = f"the model of step {self.step} is saved in {str(self.out)!r}"
            raise CallbackFailed(f"{done}, but at the end of its run: {failures[0]}") from failures[0]

    def stop(self) -> None:
        """End the run after the present step, saved so that it can be continued.

        Several processes end together, at the next log line.
        """
        self._stop_asked = True
        self._stopping = distributed.world_size() == 1

    def warn(self, text: str) -> None:
        """Tell the person something through the callbacks."""
        self._call("on_warning", text)

    def averaged_model(self) -> ALI:
        """A copy of the model in eval mode with the weights that the run publishes: averaged, if asked for."""
        if self._shown is None:
            self._shown = self.model.rebuilt()
        average = self.training_step.average
        state.load(self._shown, average.weights if average else state.named(self.model))
        return self._shown

    def _duties(self) -> None:
        last = self.step == self.total_steps
        sampling = self.step % self.config.sample_every == 0 or last
        if self.step % self.config.log_every == 0 or sampling:
            self._log(sampling)
        if self.step % self.config.checkpoint_every == 0 or last or self._stopping:
            self._checkpoint()

    def _tick(self) -> float:
        now = time.perf_counter()
        passed, self._clock = now - self._clock, now
        self.seconds += passed
        return passed

    def _log(self, sampling: bool = False) -> None:
        """Write a line; one for samples too, so that what they report is of this step."""
        steps = len(self._meter)
        with blaming(self.assembled.objective):
            figures = self._meter.read(self.step)
        self._refuse_broken_weights()
        self._agree_to_stop()
        if sampling:
            self._call("on_sample")
        passed = self._tick()
        figures |= self.reported
        self.reported = {}
        figures |= self.training_step.rates()
        figures |= {
            "step": self.step,
            "epoch": self.step / self.batches.steps_per_epoch,
            "seconds": self.seconds,
            "images_per_second": steps * self.config.batch_size / max(passed, 1e-9),
        }
        if distributed.rank() == 0:
            try:
                self.metrics.append(figures)
            except FolderError as error:
                self._warn_once(METRICS_NAME, f"{error}; training goes on")
        self._call("on_log", figures)
        for text in self.batches.notices():
            self.warn(text)

    def _refuse_broken_weights(self) -> None:
        learned = state.once(state.learned(self.model)).values()
        total = torch.stack([tensor.detach().float().sum() for tensor in learned]).sum()
        if not math.isfinite(total.item()):
            raise TrainingDiverged(self.step, "the weights", float("nan"))

    def _agree_to_stop(self) -> None:
        if distributed.world_size() > 1:  # every process has to stop after the same step
            asked = torch.tensor(float(self._stop_asked), device=self.device)
            self._stopping = bool(distributed.mean_over_processes(asked) > 0)

    def _checkpoint(self) -> None:
        if self._meter:
            self._log()  # so that no state is saved after a loss that was not finite
        self._tick()
        states = [distributed.gather(state) for state in random_states(self.device)]
        if distributed.rank() == 0:
            where = self.batches.epoch, self.batches.index, self.seconds, self.learning_rate_factor
            position = checkpoint.Position(self.step, *where, canonical_nodes=self.batches.nodes)
            try:
                self._call("on_checkpoint", self._saver.save(position, states))
            except FolderError as error:
                self.warn(f"{error}; training goes on, and the next one is tried")
        self._saved_step = self.step
        distributed.barrier()

    def _recover(self, error: TrainingDiverged) -> None:
        """Go back to the last checkpoint with half of the learning rate, or give up."""
        saved = checkpoint.found(self.out)
        if self.config.on_nan == "stop" or not saved or self.rewinds == MAX_REWINDS:
            raise TrainingDiverged(error.step, error.name, error.value, str(saved[-1]) if saved else None) from error
        factor = self.learning_rate_factor / 2
        self.rewinds += 1
        self._meter.clear()
        self._continue()
        if distributed.rank() == 0:
            self.metrics.keep_until(self.step)
        self.learning_rate_factor = min(factor, self.learning_rate_factor)
        rate = self.learning_rate_factor * self.config.learning_rate("", progress(self.step, self.total_steps))
        self.warn(
            f"{error.name} became {error.value} at step {error.step}; back to step {self.step} "
            f"with a learning rate of {rate:g}"
        )

    def _continue(self) -> None:
        saved = checkpoint.found(self.out)
        if not saved:
            raise FolderError(f"{str(self.out)!r} has no checkpoint to continue from; start it without --resume")
        self.notes += self.assembled.continuing(saved[-1], allowed=self._allow_changed_data)
        position, notes = checkpoint.load(saved[-1], self.training_step, self.device)
        self.notes += notes
        if position.index > self.batches.steps_per_epoch and not self._allow_changed_data:
            raise ConfigError(
                f"{saved[-1]} is at batch {position.index} of an epoch of {self.batches.steps_per_epoch}; remove it to "
                "use an older one"
            )
        try:
            self.batches.seek(position.epoch, position.index, position.canonical_nodes)
        except ConfigError as error:
            raise ConfigError(f"{saved[-1]} is damaged ({error}); remove it to use an older one") from error
        self.step, self.seconds = position.step, position.seconds
        self._saved_step = self.step
        self.learning_rate_factor = position.learning_rate_factor

    def _call(self, event: str, *arguments: object) -> None:
        for callback in self.callbacks if distributed.rank() == 0 else ():
            if failed := failure(callback, event, self, *arguments):
                if not isinstance(failed, FolderError):
                    raise failed
                self._warn_once(f"{type(callback)}.{event}", f"{failed}; training goes on")

    def _warn_once(self, what: str, text: str) -> None:
        if what not in self._told:
            self._told.add(what)
            self.warn(text)
