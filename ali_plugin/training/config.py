"""What a training run is: every choice, checked, as train_config.json keeps it. No torch here."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, TypeVar, get_args

from ali_plugin.config import settings, shapes
from ali_plugin.config.schedule import Schedule
from ali_plugin.config.settings import Settings
from ali_plugin.errors import ALIError, ConfigError, OptionError
from ali_plugin.pictures import background
from ali_plugin.support.limits import MAX_SEED, MAX_SIZE, MAX_STEPS
from ali_plugin.support.strict_json import read_object, short
from ali_plugin.support.typed import fields_of
from ali_plugin.training.option import Option
from ali_registry import (
    Decoder,
    Discriminator,
    Encoder,
    Part,
)

Precision = Literal["auto", "float32", "tf32", "bf16"]
OnNaN = Literal["stop", "rewind"]
PART_RECORDS: dict[str, type[Part]] = {record.kind: record for record in (Encoder, Decoder, Discriminator)}
PRECISIONS, ON_NAN = get_args(Precision), get_args(OnNaN)
TRAIN_CONFIG_NAME = "train_config.json"
DEFAULT_ARCHITECTURE = "garments"
OF_PICTURES, OF_PICTURES_ON_GPU = "residual-tiny", "residual-small"  # one's own
RECIPE = "the architecture's"  # of a default
NO_SIZE = dict.fromkeys(("image_size", "channels"))

Rate = TypeVar("Rate", float, float | str)


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """The choices of one run, each with what ``ali train`` says of it.

    One of ``epochs`` and ``steps`` is set, the other None. ``image_size`` and ``channels`` are set where the
    architecture leaves them open and the data are pictures. ``data_dir`` is absolute. It may differ in a continued run,
    as a folder may be moved: what is in it is compared by its fingerprint. ``lr_discriminator`` makes two time scales
    (Heusel et al., 2017). Where text is allowed beside a number, it is a ``Schedule`` over the run. ``settings`` holds
    options of the objective, the parts and the optimiser, by room; ``configure`` fills in defaults.
    """

    architecture: str = field(
        metadata=Option(
            "Architecture.",
            name="arch",
            default=f"{DEFAULT_ARCHITECTURE}; of your own pictures {OF_PICTURES}, with a GPU {OF_PICTURES_ON_GPU}",
        ).told
    )
    dataset: str = field(metadata=Option("Dataset.", default=RECIPE).told)
    encoder: str | None = field(default=None, metadata=Option("Encoder in place of the architecture's.").told)
    decoder: str | None = field(default=None, metadata=Option("Decoder in place of the architecture's.").told)
    discriminator: str | None = field(
        default=None, metadata=Option("Discriminator in place of the architecture's.").told
    )
    latent_size: int | None = field(default=None, metadata=Option("Size of z in place of the architecture's.").told)
    data_dir: str | None = field(
        default=None,
        metadata=Option("Folder of the dataset's files, or its shards.", is_folder=True, resumable=True).told,
    )
    image_size: int | str | None = field(
        default=None,
        metadata=Option(
            "Of pictures, 64 or 48x64 (height first), where the architecture is for any size.", default="the data's"
        ).told,
    )
    channels: int | None = field(
        default=None, metadata=Option("1 for grey, 3 for colour, where it is for both.", default="the data's").told
    )
    background: str | None = field(
        default=None,
        metadata=Option("Under what is transparent in pictures: white, black or #rrggbb.", default="white").told,
    )
    flip: bool = field(
        default=False,
        metadata=Option("Mirror half of the training pictures, drawn anew each time.", default="where it helps").told,
    )
    objective: str = field(default="ali", metadata=Option("What the players play.", default=RECIPE).told)
    settings: Settings = field(
        default_factory=dict,
        metadata=Option(
            "An option of the objective, a part or the optimiser; may be repeated. `ali show` lists them.", name="set"
        ).told,
    )
    condition: bool = field(
        default=False, metadata=Option("Condition all nets on the data's labels or attributes.").told
    )
    labels: int | None = field(
        default=None, metadata=Option("Labelled samples, for objectives that learn classes.").told
    )
    epochs: int | None = field(
        default=None, metadata=Option("Length, in passes over the data.", default=RECIPE, resumable=True).told
    )
    steps: int | None = field(default=None, metadata=Option("Length, in steps.", resumable=True).told)
    batch_size: int = field(default=100, metadata=Option("Samples per step.", default=RECIPE).told)
    optimiser: str = field(default="adam", metadata=Option("Of all players.", default=RECIPE).told)
    lr: float | str = field(default=1e-4, metadata=Option("Learning rate, or a schedule of it.", default=RECIPE).told)
    lr_discriminator: float | str | None = field(
        default=None, metadata=Option("The discriminator's learning rate.", default="as --lr").told
    )
    lr_decay: bool = field(default=False, metadata=Option("Let the learning rates fall to 0 over the run.").told)
    beta1: float = field(default=0.5, metadata=Option("Adam's beta1.", default=RECIPE).told)
    beta2: float | str = field(
        default=0.999, metadata=Option("Adam's beta2, or a schedule of it.", default=RECIPE).told
    )
    ema: float | None = field(default=None, metadata=Option("Publish averaged weights with this decay per step.").told)
    ema_half_life: float | str | None = field(
        default=None, metadata=Option("In place of --ema: after so many samples old weights count half.").told
    )
    seed: int = field(default=0, metadata=Option("Same seed, same device: same weights.").told)
    device: str = field(
        default="auto",
        metadata=Option("cpu, cuda, cuda:1, mps.", default="a GPU if present", resumable=True, learned=False).told,
    )
    precision: Precision = field(
        default="float32",
        metadata=Option(
            "float32, tf32, bf16 (losses stay float32), or auto: bf16 where the device computes it natively.",
            default=RECIPE,
        ).told,
    )
    compile: bool = field(default=False, metadata=Option("Run the nets through torch.compile.").told)
    cuda_graphs: bool = field(default=False, metadata=Option("Replay the whole step as one CUDA graph.").told)
    on_nan: OnNaN = field(
        default="stop",
        metadata=Option("stop, or rewind to the last checkpoint with half the rate.", resumable=True).told,
    )
    log_every: int = field(default=50, metadata=Option("Steps between log lines.", resumable=True, learned=False).told)
    sample_every: int = field(
        default=500, metadata=Option("Steps between picture grids.", resumable=True, learned=False).told
    )
    checkpoint_every: int = field(
        default=1000, metadata=Option("Steps between checkpoints.", resumable=True, learned=False).told
    )
    keep: int = field(
        default=2, metadata=Option("How many of the last checkpoints stay.", resumable=True, learned=False).told
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "settings", settings.nested(self.settings))
        if self.image_size is not None:
            object.__setattr__(self, "image_size", shapes.image_size(self.image_size))
        if self.channels is not None:
            shapes.channels(self.channels)
        if self.background is not None:
            object.__setattr__(self, "background", background.named(self.background))
        for name in ("batch_size", "log_every", "sample_every", "checkpoint_every", "keep", "latent_size", "labels"):
            _positive(name, getattr(self, name))
        for name in ("lr", "lr_discriminator"):
            for end in _ends(name, getattr(self, name)):
                _positive(name, end)
        for end in _ends("ema_half_life", self.ema_half_life):
            if not (end >= 0 and math.isfinite(end)):
                raise OptionError(f"--ema-half-life is {self.ema_half_life}, it has to be at least 0")
        if self.ema is not None and self.ema_half_life is not None:
            raise OptionError("averaged weights have --ema or --ema-half-life, one of them")
        if (self.epochs is None) == (self.steps is None):
            raise OptionError("the length of a run is either --epochs or --steps, one of them")
        _positive("epochs", self.epochs)
        _positive("steps", self.steps)
        for name in ("beta1", "beta2", "ema"):
            for end in _ends(name, getattr(self, name)):
                if not 0 <= end < 1:
                    raise OptionError(f"--{name} is {getattr(self, name)}, it has to be at least 0 and below 1")
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

    def learning_rate(self, player: str, share: float = 0.0) -> float:
        """That of a game's player, by its name, when this share of the run is done."""
        rate = learning_rate(player, self.lr, self.lr_discriminator)
        return Schedule.of(rate).at(share) * (1 - share if self.lr_decay else 1.0)

    def ema_decay(self, share: float) -> float | None:
        """Of the averaged weights per step; None where there are none."""
        if self.ema_half_life is None:
            return self.ema
        half_life = Schedule.of(self.ema_half_life).at(share)
        return 0.5 ** (self.batch_size / half_life) if half_life else 0.0

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_file(cls, path: Path) -> TrainConfig:
        """Read train_config.json; ConfigError where it is missing, damaged or of another version."""
        try:
            return fields_of(cls, read_object(path), str(path))
        except ALIError as error:
            raise ConfigError(f"{path} is no training config of this version: {error}") from error


def learning_rate(player: str, lr: Rate, lr_discriminator: Rate | None) -> Rate:
    """That of a player; a game may have several discriminators."""
    return lr_discriminator if lr_discriminator is not None and player.endswith("discriminator") else lr


def _ends(name: str, value: float | str | None) -> tuple[float, ...]:
    """The first and last value of what may be a schedule; raises OptionError where it is none."""
    if value is None:
        return ()
    if not isinstance(value, str):
        return (value,)
    try:
        return Schedule.of(value).ends
    except ValueError as error:
        raise OptionError(f"--{name.replace('_', '-')}: {short(str(error), 200)}") from error


def _positive(name: str, value: float | None) -> None:
    option = f"--{name.replace('_', '-')}"
    if value is not None and not (value > 0 and math.isfinite(value)):
        raise OptionError(f"{option} is {value}, it has to be positive")
    if value is not None and value > (most := MAX_SIZE if name == "latent_size" else MAX_STEPS):
        raise OptionError(f"{option} is {short(str(value), 24)}, it has to be at most {most}")
