"""What a plugin registers: plain records, so that listing names never imports torch."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ali_registry.errors import ALIError, BuildFailed, InvalidRecord, MissingPart
from ali_registry.guard import guarded, reason
from ali_registry.options import Option
from ali_registry.text import as_text

Builder = Callable[..., Any] | str
"""A callable, or "package.module:attribute", imported when it is first used."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_REFERENCE = re.compile(r"[\w.]+:\w+")


@dataclass(frozen=True, kw_only=True)
class Record:
    """A named thing that a plugin offers.

    Attributes:
        name: lower case letters, digits and ``-_.``, at most 64 characters.
        summary: one line for ``ali list``.
    """

    kind: ClassVar[str]
    name: str
    summary: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            raise InvalidRecord(f"{self.kind} name {self.name!r} is not made of a-z, 0-9, '-', '_' and '.'")
        self._refuse(not isinstance(self.summary, str) or "\n" in self.summary, "summary", "one line of text")

    def answers_to(self, name: str) -> bool:
        """Whether it is meant by a name, in which something may follow its own after a colon."""
        return name == self.name

    def _refuse(self, wrong: bool, attribute: str, expected: str) -> None:
        if wrong:
            value = getattr(self, attribute)
            raise InvalidRecord(f"{self.kind} {self.name!r}: {attribute} is {value!r}, not {expected}")


@dataclass(frozen=True, kw_only=True)
class Buildable(Record):
    """A record with code behind it."""

    build: Builder

    def __post_init__(self) -> None:
        super().__post_init__()
        self._refuse(not _is_builder(self.build), "build", "a callable or 'module:attribute'")

    def load(self) -> Callable[..., Any]:
        """Return the callable, importing it where it was given as text.

        Raises:
            MissingPart: the module or the attribute does not exist, or importing it fails.
        """
        return self._loaded(self.build)

    def call(self, *arguments: Any, **options: Any) -> Any:
        """What the code returns for these arguments.

        Raises:
            MissingPart: it cannot be imported.
            BuildFailed: it raises something that is no ALIError, which passes; the text names the record.
        """
        return self._called(self.load(), *arguments, **options)

    def _loaded(self, builder: Builder) -> Callable[..., Any]:
        if callable(builder):
            return builder
        module, _, attribute = builder.partition(":")
        try:
            with guarded():
                loaded = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise MissingPart(f"{self.kind} {self.name!r}: cannot import {builder!r}: {as_text(error)}") from error
        except ALIError:
            raise
        except Exception as error:
            raise MissingPart(f"{self.kind} {self.name!r}: cannot import {builder!r}: {reason(error)}") from error
        if not callable(loaded):
            raise MissingPart(f"{self.kind} {self.name!r}: {builder!r} is not callable")
        return loaded  # type: ignore[no-any-return]

    def _called(self, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        try:
            with guarded():
                return function(*arguments, **options)
        except ALIError:
            raise
        except Exception as error:
            raise BuildFailed(f"{self.kind} {self.name!r} failed: {reason(error)}") from error


@dataclass(frozen=True, kw_only=True)
class Adjustable(Buildable):
    """A record whose ``build`` takes further keyword arguments that people may set.

    Attributes:
        options: name -> default, or an ``Option`` that says more about it.
    """

    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        names = isinstance(self.options, Mapping) and all(
            isinstance(name, str) and name.isidentifier() for name in self.options
        )
        self._refuse(not names, "options", "a mapping of names that are identifiers")
        needed = {name for option in self._options(self.options).values() for name in option.needs}
        self._refuse(bool(needed) and not needed <= set(self.settings), "options", "one whose options need each other")

    @property
    def settings(self) -> dict[str, Option]:
        """Everything that may be set, by name."""
        return self._options(self.options)

    def _options(self, given: Mapping[str, Any]) -> dict[str, Option]:
        try:
            return {name: Option.of(default) for name, default in given.items()}
        except InvalidRecord as error:
            raise InvalidRecord(f"{self.kind} {self.name!r}: {error}") from error


@dataclass(frozen=True, kw_only=True)
class Part(Adjustable):
    """One of the three nets. ``build(data_shape=, latent_size=, **arguments)`` returns an ``nn.Module``.

    Attributes:
        data_shape: the data it takes, as (channels, height, width) or (features,); None for a free size.
        latent_size: the latent it takes, None for any.
        conditional: it also accepts ``condition_size`` (and its module a condition of that size).
        arguments: further keyword arguments of ``build`` with their defaults, all JSON values; config.json keeps
            all of them.
        options: more of them, which are handed on and kept only where somebody sets them.
    """

    data_shape: tuple[int | None, ...] | None = None
    latent_size: int | None = None
    conditional: bool = False
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._refuse(
            self.data_shape is not None and not _is_shape(self.data_shape, free=True),
            "data_shape",
            "None or a tuple of sizes, None for a free one",
        )
        self._refuse(self.latent_size is not None and not _is_size(self.latent_size), "latent_size", "a size or None")
        self._refuse(not isinstance(self.arguments, Mapping), "arguments", "a mapping")
        self._options(self.arguments)

    @property
    def settings(self) -> dict[str, Option]:
        return self._options({**self.arguments, **self.options})

    @property
    def defaults(self) -> dict[str, Any]:
        """The arguments with their defaults, as plain values."""
        return {name: Option.of(default).default for name, default in self.arguments.items()}


class Encoder(Part):
    """q(z|x): module(x (B, *data_shape)) -> a posterior over z, or z (B, latent) if deterministic."""

    kind = "encoder"


class Decoder(Part):
    """p(x|z): module(z (B, latent)) -> x (B, *data_shape), or a distribution over x."""

    kind = "decoder"


@dataclass(frozen=True, kw_only=True)
class Discriminator(Part):
    """D(x, z): module(x, z) -> logits (B, classes), positive for pairs of the encoder.

    Attributes:
        multiclass: ``build`` also accepts ``classes``, the number of real classes K (section 4.3).
    """

    kind = "discriminator"
    multiclass: bool = False


@dataclass(frozen=True, kw_only=True)
class TrainingDefaults:
    """The published recipe of an architecture: what ``ali train`` does when no option says otherwise."""

    dataset: str
    batch_size: int = 100
    epochs: int = 100
    lr: float | str = 1e-4
    lr_discriminator: float | str | None = None
    beta1: float = 0.5
    beta2: float | str = 0.999
    ema: float | None = None
    ema_half_life: float | str | None = None
    objective: str = "ali"
    optimiser: str = "adam"
    precision: str = "float32"
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Architecture(Record):
    """A named triple of parts that fit, with its data shape, latent size, recipe and source.

    Attributes:
        data_shape: of a sample; None for a size that the data, or whoever trains, decide.
        sides: of square pictures that the parts take where they are particular about it, () for any.
    """

    kind = "architecture"
    encoder: str
    decoder: str
    discriminator: str
    data_shape: tuple[int | None, ...]
    latent_size: int
    training: TrainingDefaults
    reference: str = ""
    condition_size: int = 0
    sides: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        for kind in ("encoder", "decoder", "discriminator"):
            self._refuse(not isinstance(getattr(self, kind), str), kind, "the name of a registered part")
        self._refuse(not _is_shape(self.data_shape, free=True), "data_shape", "a tuple of sizes, None for an open one")
        self._refuse(self.sides != () and not _is_shape(self.sides), "sides", "a tuple of sizes")
        self._refuse(not _is_size(self.latent_size), "latent_size", "a size")
        self._refuse(not isinstance(self.training, TrainingDefaults), "training", "a TrainingDefaults")


@dataclass(frozen=True, kw_only=True)
class Dataset(Buildable):
    """``build(split=, data_dir=, data_shape=)`` returns an ``ali_plugin.datasets.split.DataSplit``.

    For the training split that may be a ``datasets.streams.split.StreamSplit``.

    Attributes:
        data_shape: the shape of a sample, None if it is fitted to the architecture.
        needs_data_dir: the data cannot be had without ``--data-dir``.
        takes_background: its pictures may be transparent; ``build`` also accepts ``background``, the colour under them
            as ``--background`` takes it.
        survey: ``survey(data_dir=)``, which also accepts ``background`` if ``build`` does, looks at a person's own
            pictures and returns an ``ali_plugin.datasets.survey.Survey``, by which a run decides what nobody has said.
        in_shards: ``--data-dir`` names shards, also by brace lists such as ``{000..009}``, or their folder.
        takes_words: ``--dataset NAME:WORDS`` is it, too, and ``build`` also takes ``words``.
        hub_id: the dataset on the Hugging Face Hub that it is, or is a part of; model cards link to it.
    """

    kind = "dataset"
    data_shape: tuple[int, ...] | None = None
    needs_data_dir: bool = False
    takes_background: bool = False
    survey: Builder | None = None
    in_shards: bool = False
    takes_words: bool = False
    licence: str = ""
    hub_id: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        wrong = self.data_shape is not None and not _is_shape(self.data_shape)
        self._refuse(wrong, "data_shape", "None or a tuple of sizes")
        self._refuse(
            self.survey is not None and not _is_builder(self.survey), "survey", "None, a callable or 'module:attribute'"
        )

    def look(self, **options: Any) -> Any:
        """What ``survey`` returns, None where there is none; raises as ``call`` does."""
        return None if self.survey is None else self._called(self._loaded(self.survey), **options)

    def answers_to(self, name: str) -> bool:
        return name == self.name or (self.takes_words and name.startswith(f"{self.name}:"))

    def id_on_hub(self, name: str) -> str:
        """The dataset's id on the Hub, "" where there is none: the record's, or what ``hf:USER/NAME`` says."""
        said = name.split(":")[1] if self.takes_words and ":" in name else ""
        return self.hub_id or (said if "/" in said and "=" not in said else "")


@dataclass(frozen=True, kw_only=True)
class Objective(Adjustable):
    """``build(model, **options)`` returns an ``ali_plugin.objectives.game.Game``.

    Attributes:
        uses_labels: it learns classes from ``--labels N`` labelled samples, with a K-class discriminator.
        takes_labels: it does so where ``--labels`` is given, and does without where it is not.
        of_discriminator: names of its options that the discriminator is built with, too.
    """

    kind = "objective"
    uses_labels: bool = False
    takes_labels: bool = False
    of_discriminator: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        self._refuse(bool(set(self.of_discriminator) - set(self.options)), "of_discriminator", "names of its options")


class Optimiser(Adjustable):
    """``build(parameters, lr=, betas=, capturable=, **options)`` returns a ``torch.optim.Optimizer``.

    ``capturable`` says that its step goes into a CUDA graph.
    """

    kind = "optimiser"


class Scorer(Adjustable):
    """``build(**options)`` returns a function (model, x, condition) -> (B,), higher is stranger.

    Such a function may have more to it; see ``ali_plugin.scoring``.
    """

    kind = "scorer"


@dataclass(frozen=True, kw_only=True)
class Metric(Buildable):
    """``build(context)`` returns a mapping of figures; see ``ali_plugin.evaluation.context.Context``.

    Attributes:
        figures: what each means, in a line, by its name or by the words that its name begins with.
    """

    kind = "metric"
    figures: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        told = isinstance(self.figures, Mapping) and all(
            isinstance(text, str) and "\n" not in text for pair in self.figures.items() for text in pair
        )
        self._refuse(not told, "figures", "a mapping of names to lines of text")

    def meaning(self, figure: str) -> str:
        """What a figure means, "" where the metric does not say."""
        known = [name for name in self.figures if figure == name or figure.startswith((f"{name}_", f"{name} "))]
        return self.figures[max(known, key=len)] if known else ""


class Callback(Buildable):
    """``build()`` returns an ``ali_plugin.training.callbacks.Callback`` for ``ali train --callback NAME``."""

    kind = "callback"


class Command(Buildable):
    """``build()`` returns a ``click.Command`` that ``ali`` shows under ``name``."""

    kind = "command"


KINDS: dict[str, type[Record]] = {
    record.kind: record
    for record in (
        Encoder, Decoder, Discriminator, Architecture, Dataset, Objective, Optimiser, Scorer, Metric,
        Callback, Command,
    )
}  # fmt: skip


def _is_builder(value: object) -> bool:
    return callable(value) or (isinstance(value, str) and _REFERENCE.fullmatch(value) is not None)


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_shape(value: object, *, free: bool = False) -> bool:
    return (
        isinstance(value, tuple) and len(value) > 0 and all(_is_size(size) or (free and size is None) for size in value)
    )
