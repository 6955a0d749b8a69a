"""The training loop and the run folder that it keeps."""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ali_plugin import atomic, model_folder
from ali_plugin.compose import compose
from ali_plugin.config import PARTS
from ali_plugin.datasets import load_split
from ali_plugin.datasets.split import DataSplit, Split
from ali_plugin.devices import resolve_device
from ali_plugin.errors import ALIError, CallbackFailed, FolderError, OptionError, PartMismatch, TrainingDiverged
from ali_plugin.model import ALI
from ali_plugin.objectives.game import Game
from ali_plugin.training import checkpoint
from ali_plugin.training.batches import Batches, to_unit
from ali_plugin.training.callbacks import Callback
from ali_plugin.training.config import TRAIN_CONFIG_NAME, TrainConfig
from ali_plugin.training.step import TrainingStep
from ali_registry import Architecture, Objective, Registry, default_registry

METRICS_NAME = "metrics.jsonl"
MEAN_OVER = 500  # samples, for the log-odds of the decoder's last bias (paper.md section 3)


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
    """One run: built from its config, it trains until its last step or until ``stop`` is called."""

    def __init__(
        self,
        config: TrainConfig,
        out: Path,
        *,
        resume: bool = False,
        callbacks: Sequence[Callback] = (),
        registry: Registry | None = None,
    ) -> None:
        """Build the run.

        Raises:
            FolderError: ``out`` is in use, or there is nothing in it to continue.
            ALIError: whatever else the config names that does not exist or does not fit.
        """
        self.config, self.out, self.callbacks = config, out, list(callbacks)
        self.registry = registry or default_registry()
        if not resume:
            refuse_used(out)
        self.device = resolve_device(config.device)
        self.step, self.seconds = 0, 0.0
        self.reported: dict[str, float] = {}  # what callbacks add to the next log line
        self._stopping = False
        self._pending: list[dict[str, Tensor]] = []
        self._shown: ALI | None = None
        self._random: list[Tensor] = []
        with self._own_randomness():
            torch.manual_seed(config.seed)
            self._build()
            if resume:
                self._continue()

    def _build(self) -> None:
        train_split = load_data(self.config, "train", self.registry)
        self.notes = train_split.notes
        with self.device:
            self.model = build_model(self.config, train_split, self.registry)
        self.batches = Batches(
            train_split,
            self.config.batch_size,
            self.config.seed,
            self.device,
            condition_size=self.model.config.condition_size,
            labelled=self.config.labels,
        )
        initialise_output(self.model, train_split)
        game: Game = self.registry.get(Objective, self.config.objective).load()(self.model)
        self.training_step = TrainingStep(game, self.config)
        self.total_steps = self.config.steps or (self.config.epochs or 0) * self.batches.steps_per_epoch

    def load_split(self, split: Split) -> DataSplit:
        """A split of the run's dataset."""
        return load_data(self.config, split, self.registry)

    def run(self) -> TrainResult:
        """Train to the end.

        Raises:
            TrainingDiverged: a figure became NaN or infinite; the last good checkpoint stays.
        """
        with self._own_randomness():
            return self._run()

    def _run(self) -> TrainResult:
        self.out.mkdir(parents=True, exist_ok=True)
        atomic.write(self.out / TRAIN_CONFIG_NAME, self.config.to_json())
        self._call("on_start")
        self._clock = time.perf_counter()
        while self.step < self.total_steps and not self._stopping:
            self.training_step.game.schedule(self.step, self.total_steps)
            self._pending.append(self.training_step(self.batches.next()))
            self.step += 1
            self._duties()
        if self._pending:
            self._log()
        if not self._has_checkpoint():
            self._checkpoint()
        self._call("on_end")
        rate = self.step * self.config.batch_size / max(self.seconds, 1e-9)
        return TrainResult(str(self.out), self.step, self.seconds, rate, self.step < self.total_steps)

    @contextmanager
    def _own_randomness(self) -> Iterator[None]:
        """Draw from the run's own stream of random numbers, and leave the caller's as it was."""
        cuda = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=cuda):
            if self._random:
                torch.set_rng_state(self._random[0])
                for state, device in zip(self._random[1:], cuda, strict=True):
                    torch.cuda.set_rng_state(state, device)
            yield
            self._random = [torch.get_rng_state(), *(torch.cuda.get_rng_state(device) for device in cuda)]

    def stop(self) -> None:
        """End the run after the present step, saved so that it can be continued."""
        self._stopping = True

    def averaged_model(self) -> ALI:
        """A copy of the model in eval mode with the weights that the run publishes: averaged, if asked for."""
        if self._shown is None:
            self._shown = copy.deepcopy(self.model).eval()
        average = self.training_step.average
        self._shown.load_state_dict(average.weights if average else self.model.state_dict())
        return self._shown

    def _duties(self) -> None:
        if self.step % self.config.log_every == 0:
            self._log()
        if self.step % self.config.sample_every == 0:
            self._call("on_sample")
        if self.step % self.config.checkpoint_every == 0:
            self._checkpoint()

    def _tick(self) -> float:
        now = time.perf_counter()
        passed, self._clock = now - self._clock, now
        self.seconds += passed
        return passed

    def _log(self) -> None:
        """Read the figures of the steps since the last call: the one place where the host waits for them."""
        names = [name for name in self._pending[-1] if all(name in row for row in self._pending)]
        table = torch.stack([torch.stack([row[name].float() for name in names]) for row in self._pending]).cpu()
        steps, self._pending = len(self._pending), []
        broken = (~table.isfinite()).nonzero()
        if len(broken):
            row, column = (int(i) for i in broken[0])
            last = checkpoint.found(self.out)
            raise TrainingDiverged(
                self.step - steps + row + 1,
                names[column],
                float(table[row, column]),
                str(last[-1]) if last else None,
            )
        figures = dict(zip(names, table.mean(0).tolist(), strict=True))
        passed = self._tick()
        figures |= self.reported
        self.reported = {}
        figures |= {
            "step": self.step,
            "epoch": self.step / self.batches.steps_per_epoch,
            "seconds": self.seconds,
            "images_per_second": steps * self.config.batch_size / max(passed, 1e-9),
        }
        with (self.out / METRICS_NAME).open("a") as file:
            file.write(json.dumps(figures) + "\n")
        self._call("on_log", figures)

    def _checkpoint(self) -> None:
        if self._pending:
            self._log()  # so that no state is saved after a loss that was not finite
        self._refuse_broken_weights()
        self._tick()
        path = checkpoint.save(self.out, self.training_step, self.batches, self.step, self.seconds, self.config.keep)
        model_folder.save(self.averaged_model(), self.out)
        self._call("on_checkpoint", path)

    def _refuse_broken_weights(self) -> None:
        total = torch.stack([parameter.detach().float().sum() for parameter in self.model.parameters()]).sum()
        if not math.isfinite(total.item()):
            last = checkpoint.found(self.out)
            raise TrainingDiverged(self.step, "the weights", float("nan"), str(last[-1]) if last else None)

    def _has_checkpoint(self) -> bool:
        return any(path.name == f"step-{self.step:09d}" for path in checkpoint.found(self.out))

    def _continue(self) -> None:
        saved = checkpoint.found(self.out)
        if not saved:
            raise FolderError(f"{str(self.out)!r} has no checkpoint to continue from; start it without --resume")
        position = checkpoint.load(saved[-1], self.training_step, self.batches)
        self.step, self.seconds = position.step, position.seconds
        _forget_later_metrics(self.out / METRICS_NAME, self.step)

    def _call(self, event: str, *arguments: object) -> None:
        for callback in self.callbacks:
            try:
                getattr(callback, event)(self, *arguments)
            except ALIError:
                raise
            except Exception as error:
                who = f"{type(callback).__module__}.{type(callback).__qualname__}"
                raise CallbackFailed(f"callback {who} failed in {event}: {type(error).__name__}: {error}") from error


def refuse_used(out: Path) -> None:
    """Raise FolderError if ``out`` is not free for a new run."""
    if out.is_dir() and any(out.iterdir()):
        raise FolderError(f"{str(out)!r} is in use; continue its run with --resume, or name another --out")
    if out.exists() and not out.is_dir():
        raise FolderError(f"{str(out)!r} is a file; name a folder with --out")


def load_data(config: TrainConfig, split: Split, registry: Registry) -> DataSplit:
    """A split of a run's dataset."""
    return load_split(
        config.dataset,
        split,
        data_dir=None if config.data_dir is None else Path(config.data_dir),
        data_shape=registry.get(Architecture, config.architecture).data_shape,
        registry=registry,
    )


def build_model(config: TrainConfig, split: DataSplit, registry: Registry) -> ALI:
    """The untrained model of a run, with a condition and classes of the sizes that the data have.

    Raises:
        DataError, OptionError: labels are asked of data or for an objective that has none.
        PartMismatch: the parts, or the architecture's condition and the data's, do not fit.
    """
    wanted = registry.get(Architecture, config.architecture).condition_size
    conditional = config.condition or wanted > 0
    if conditional and wanted not in (0, split.label_size):
        raise PartMismatch(
            f"architecture {config.architecture!r} takes a condition of {wanted}, "
            f"dataset {config.dataset!r} has {split.label_size} classes or attributes"
        )
    uses_labels = registry.get(Objective, config.objective).uses_labels
    if uses_labels and config.labels is None:
        raise OptionError(f"objective {config.objective!r} learns from labels; say how many with --labels N")
    if config.labels is not None and not uses_labels:
        raise OptionError(f"objective {config.objective!r} uses no labels; leave --labels out")
    return ALI.from_config(
        compose(
            config.architecture,
            parts={kind: getattr(config, kind) for kind in PARTS},
            latent_size=config.latent_size,
            condition_size=split.label_size if conditional else 0,
            condition_names=split.classes if conditional else (),
            classes=split.label_size if uses_labels else 1,
            registry=registry,
        ),
        registry,
    )


def initialise_output(model: ALI, split: DataSplit) -> None:
    """Give the decoder the data's mean, if it can start from it (paper.md section 3)."""
    initialise = getattr(model.part("decoder"), "initialise_output", None)
    if isinstance(model.part("decoder"), nn.Module) and callable(initialise):
        first = to_unit(torch.from_numpy(split.data[:MEAN_OVER].copy()))
        initialise(first.mean(0).to(next(model.parameters()).device))


def _forget_later_metrics(path: Path, step: int) -> None:
    """Drop the lines of steps that will be made again."""
    if path.exists():
        lines = [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
        atomic.write(path, "".join(line for line in lines if json.loads(line)["step"] <= step))
