"""What a training run is: every choice, checked, as train_config.json keeps it. No torch here."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, get_args

from ali_plugin.errors import ALIError, ConfigError, DataError, OptionError
from ali_plugin.support.limits import MAX_SEED, MAX_SIZE, MAX_STEPS
from ali_plugin.support.paths import absolute
from ali_plugin.support.strict_json import read_object, short
from ali_plugin.support.typed import fields_of
from ali_registry import Architecture, Dataset, Registry

Precision = Literal["float32", "tf32", "bf16"]
OnNaN = Literal["stop", "rewind"]
PRECISIONS, ON_NAN = get_args(Precision), get_args(OnNaN)
TRAIN_CONFIG_NAME = "train_config.json"
RESUMABLE = {"epochs", "steps", "device", "checkpoint_every", "sample_every", "log_every", "keep", "on_nan",
             "data_dir"}  # fmt: skip
"""What may differ when a run is continued; anything else would make another run of it. The data's folder may have
another place: what is in it is compared by its fingerprint."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The choices of one run.

    Attributes:
        encoder, decoder, discriminator: parts in place of the architecture's.
        data_dir: the folder of the dataset's files, absolute.
        condition: make all three nets conditional on the dataset's labels or attributes.
        labels: how many training samples' classes the objective may see.
        epochs, steps: length; one of them is set, the other None.
        lr_discriminator: the discriminator's learning rate where it is another (two time scales, Heusel et al., 2017).
        lr_decay: let the learning rates fall to 0 over the run.
        ema: decay per step of the averaged weights that are saved as the model, None for the plain ones.
        seed: of everything random in the run.
        precision: float32; tf32 matrix products on a GPU; bf16 nets with losses in float32.
        compile: run the nets through torch.compile.
        cuda_graphs: replay the whole step as one CUDA graph.
        on_nan: what a loss that is not finite does: stop the run, or go back to the last checkpoint and
            continue with half of the learning rate.
        log_every, sample_every, checkpoint_every: in steps.
        keep: how many of the last checkpoints stay.
    """

    architecture: str
    dataset: str
    encoder: str | None = None
    decoder: str | None = None
    discriminator: str | None = None
    latent_size: int | None = None
    data_dir: str | None = None
    objective: str = "ali"
    condition: bool = False
    labels: int | None = None
    epochs: int | None = None
    steps: int | None = None
    batch_size: int = 100
    lr: float = 1e-4
    lr_discriminator: float | None = None
    lr_decay: bool = False
    beta1: float = 0.5
    beta2: float = 0.999
    ema: float | None = None
    seed: int = 0
    device: str = "auto"
    precision: Precision = "float32"
    compile: bool = False
    cuda_graphs: bool = False
    on_nan: OnNaN = "stop"
    log_every: int = 50
    sample_every: int = 500
    checkpoint_every: int = 1000
    keep: int = 2

    def __post_init__(self) -> None:
        for name in ("batch_size", "log_every", "sample_every", "checkpoint_every", "keep", "latent_size", "labels"):
            _positive(name, getattr(self, name))
        _positive("lr", self.lr)
        _positive("lr_discriminator", self.lr_discriminator)
        if (self.epochs is None) == (self.steps is None):
            raise OptionError("the length of a run is either --epochs or --steps, one of them")
        _positive("epochs", self.epochs)
        _positive("steps", self.steps)
        for name in ("beta1", "beta2", "ema"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise OptionError(f"--{name} is {value}, it has to be at least 0 and below 1")
        for name, choices in (("precision", PRECISIONS), ("on_nan", ON_NAN)):
            if getattr(self, name) not in choices:
                option = name.replace("_", "-")
                raise OptionError(f"--{option} is {getattr(self, name)!r}, it has to be {' or '.join(choices)}")
        if not 0 <= self.seed <= MAX_SEED:
            raise OptionError(f"--seed is {self.seed}, it has to be from 0 to 2^63 - 1")

    def total_steps(self, steps_per_epoch: int) -> int:
        """The length of the run; OptionError where its epochs are too many steps to be counted."""
        steps = self.steps or (self.epochs or 0) * steps_per_epoch
        if steps > MAX_STEPS:
            raise OptionError(f"--epochs is {self.epochs}, which makes {steps} steps, more than {MAX_STEPS}")
        return steps

    def learning_rate(self, player: str) -> float:
        """That of a game's player, by its name."""
        return learning_rate(player, self.lr, self.lr_discriminator)

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_file(cls, path: Path) -> TrainConfig:
        """Read train_config.json; ConfigError where it is missing, damaged or of another version."""
        try:
            return fields_of(cls, read_object(path), str(path))
        except ALIError as error:
            raise ConfigError(f"{path} is no training config of this version: {error}") from error


def learning_rate(player: str, lr: float, lr_discriminator: float | None) -> float:
    """That of a player; a game may have several discriminators."""
    return lr_discriminator if lr_discriminator is not None and player.endswith("discriminator") else lr


def configure(options: dict[str, Any], registry: Registry) -> TrainConfig:
    """Fill what the options leave open (None) from the architecture's recipe.

    Raises:
        UnknownName: nothing registers the architecture.
        OptionError: a value that cannot be.
    """
    recipe = registry.get(Architecture, options["architecture"]).training
    chosen = {name: value for name, value in options.items() if value is not None}
    defaults = {f.name: getattr(recipe, f.name) for f in fields(recipe)}
    if "steps" in chosen:
        del defaults["epochs"]
    known = {f.name for f in fields(TrainConfig)}
    config = TrainConfig(**{name: value for name, value in {**defaults, **chosen}.items() if name in known})
    return _with_absolute_folder(config, registry)


def continued(saved: TrainConfig, options: dict[str, Any], registry: Registry) -> TrainConfig:
    """The saved config of a run, with the options that a continued run may change.

    Raises:
        OptionError: an option contradicts the run.
    """
    given = {name: value for name, value in options.items() if value is not None}
    changed = {name: value for name, value in given.items() if value != getattr(saved, name)}
    if refused := sorted(set(changed) - RESUMABLE):
        name = refused[0]
        raise OptionError(
            f"the run was started with {name} {getattr(saved, name)!r}, not {changed[name]!r}; leave the option "
            "out to continue it, or start another run with another --out"
        )
    if "steps" in changed:
        changed.setdefault("epochs", None)
    elif "epochs" in changed:
        changed["steps"] = None
    continued = replace(saved, **changed)
    return _with_absolute_folder(continued, registry) if "data_dir" in changed else continued


def _with_absolute_folder(config: TrainConfig, registry: Registry) -> TrainConfig:
    """The config with its data folder named from the root, so that the run finds it from everywhere.

    Raises:
        UnknownName: nothing registers the dataset.
        DataError: the dataset is one of a person's own folder, which is not there.
    """
    if config.data_dir is None:
        return config
    folder = absolute(config.data_dir, "--data-dir")
    if registry.get(Dataset, config.dataset).needs_data_dir and not folder.is_dir():
        raise DataError(f"the data folder {config.data_dir!r} does not exist; name one with --data-dir")
    return replace(config, data_dir=str(folder))


def _positive(name: str, value: float | None) -> None:
    option = f"--{name.replace('_', '-')}"
    if value is not None and not (value > 0 and math.isfinite(value)):
        raise OptionError(f"{option} is {value}, it has to be positive")
    if value is not None and value > (most := MAX_SIZE if name == "latent_size" else MAX_STEPS):
        raise OptionError(f"{option} is {short(str(value), 24)}, it has to be at most {most}")
