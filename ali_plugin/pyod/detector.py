"""The detector: PyOD's contract around a training and a scorer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from ali_plugin.datasets.split import DataSplit
from ali_plugin.model import ALI
from ali_plugin.pyod.samples import Form, InvalidParameter, numbers
from ali_plugin.pyod.training import Length, train
from ali_plugin.scoring import AT_ONCE, Scoring
from ali_plugin.support.devices import resolve_device
from ali_plugin.support.extras import need
from ali_plugin.support.limits import MAX_STEPS
from ali_registry import default_registry
from ali_registry.text import printable

BaseDetector: Any = need("pyod.models.base", "ALIDetector", "pyod").BaseDetector

Scores = NDArray[np.float64]

OF_TABLES = {"of": ["features", "latent"]}
"""Of ``combined`` on tables: strange rows may lie far from all others, where the discriminator's logit is no guide."""
STEPS = 2000  # of a training whose length is not said
TABLES, PICTURES = "tabular", "residual-tiny"  # architectures where none is named
WORST_CONTAMINATION = 0.5
LONGEST = 60  # characters of a value that is quoted


class ALIDetector(BaseDetector):
    """Anomalies as what is strange to a model of ordinary samples: ALI, trained by the game of its architecture's
    recipe (relativistic pairs with gradient penalties and cycles), and one of ``ali list scorer`` for the score.

    X is a table (N, features), whose features are standardised here, or pictures (N, C, H, W), uint8 or from 0 to 1;
    with ``data_shape`` pictures may be flattened. It does best where the training data are ordinary ones only.

    Args:
        contamination: share of strange samples in the training data, in (0, .5], which sets the threshold; or one of
            PyThresh's objects.
        data_shape: of a sample, (C, H, W), where X is flattened.
        architecture: of the nets, as ``ali list architecture`` shows it; None: ``tabular`` for tables,
            ``residual-tiny`` for pictures.
        scorer, scorer_options: as ``ali list scorer`` and ``ali show`` tell. Without options ``combined`` has on tables
            the scores ``features`` and ``latent``, on pictures its own default.
        seconds: of wall time to train for.
        epochs, steps: passes over the data, or batches, to train for, in place of seconds. With none of the three, a
            training has 2,000 steps.
        batch_size: samples a step; None: as in the architecture's recipe.
        settings: options of the objective, the nets and the optimiser by room, such as
            ``{"objective": {"cycle_x": 10.0}, "encoder": {"width": 32}}``, in place of the recipe's.
        device: "cpu", "cuda", ...; "auto" for a GPU where there is one.
        random_state: an integer, a ``numpy.random.RandomState``, or None for numpy's own. The same integer gives the
            same scores, except where ``seconds`` end the training.

    Attributes:
        model_: the trained ``ALI``.
        n_steps_: how many steps its training had.
        n_features_in_: numbers of a sample.
        decision_scores_, threshold_, labels_: see PyOD's ``BaseDetector``.

    Raises:
        MissingExtra: on import, where PyOD is not installed.
        InvalidInput: a ``ValueError``; X has NaN, infinite numbers, text, another shape, or one sample for a fit.
        InvalidParameter: a ``ValueError``; a parameter cannot have its value.
    """

    def __init__(
        self,
        contamination: Any = 0.1,
        *,
        data_shape: Sequence[int] | None = None,
        architecture: str | None = None,
        scorer: str = "combined",
        scorer_options: Mapping[str, Any] | None = None,
        seconds: float | None = None,
        epochs: int | None = None,
        steps: int | None = None,
        batch_size: int | None = None,
        settings: Mapping[str, Mapping[str, Any]] | None = None,
        device: str = "auto",
        random_state: Any = None,
    ) -> None:
        super().__init__(contamination=contamination)
        self.data_shape = data_shape
        self.architecture = architecture
        self.scorer = scorer
        self.scorer_options = scorer_options
        self.seconds = seconds
        self.epochs = epochs
        self.steps = steps
        self.batch_size = batch_size
        self.settings = settings
        self.device = device
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: N803 - scikit-learn's name
        """Train a model on X and score it. ``y`` is not looked at.

        Raises:
            InvalidInput, InvalidParameter: see the class.
            ALIError: an architecture, scorer or device that there is not, or that does not go with X.
        """
        length = self.checked()
        array = numbers(X)
        form = Form.of(array, self.data_shape)
        samples = form.samples(array)
        registry = default_registry()
        architecture = self.architecture or (TABLES if len(form.shape) == 1 else PICTURES)
        options = {"batch_size": self.batch_size, "settings": dict(self.settings or {}), "device": self.device,
                   "seed": self._seed()}  # fmt: skip
        given = {name: value for name, value in options.items() if value is not None}
        self._new_scoring(torch.nn.Identity(), form)  # a wrong name costs no training
        return self.hold(*train(samples, architecture, length, given, registry), form, samples)

    def hold(self, model: ALI, steps: int, form: Form, training: DataSplit, scores: Scores | None = None) -> Self:
        """Take a trained model, and what it was trained on.

        Args:
            scores: of the training samples, (N,), where they are known.
        """
        self._set_n_classes(None)
        self.model_, self.n_steps_, self.form_, self.training_ = model, steps, form, training
        self.n_features_in_ = math.prod(form.shape)
        self._scoring: Scoring | None = None
        self.decision_scores_ = self._scores(training) if scores is None else scores
        self._process_decision_scores()
        return self

    def decision_function(self, X: Any) -> Scores:  # noqa: N803
        """How strange each sample of X is, (N,); higher is stranger.

        Raises:
            InvalidInput: see the class; or X has other samples than those of the fit.
            sklearn.exceptions.NotFittedError: there was no fit.
        """
        self._refuse_unfitted()
        return self._scores(self.form_.samples(numbers(X)))

    def codes(self, X: Any) -> NDArray[np.float32]:  # noqa: N803
        """The means (N, latent_size) of q(z|x), by which other detectors can judge."""
        self._refuse_unfitted()
        split = self.form_.samples(numbers(X))
        with torch.no_grad():
            parts = [self.model_.encode(x).mean.float().cpu() for x in _parts(split, self.model_)]
        return torch.cat(parts).numpy()

    def save(self, folder: str | Path) -> None:
        """Write the model's folder, with what the detector has beside it; nothing of it is pickled.

        Raises:
            FolderError: it cannot be written.
            InvalidParameter: a parameter is an object that JSON cannot hold.
        """
        from ali_plugin.pyod import saved

        self._refuse_unfitted()
        saved.write(self, Path(folder))

    @classmethod
    def load(cls, folder: str | Path, *, device: str = "auto") -> Self:
        """The detector of a folder that ``save`` wrote.

        Raises:
            FolderError, ConfigError, WeightsError: it is none, or damaged.
        """
        from ali_plugin.pyod import saved

        return saved.read(cls, Path(folder), device)

    def _scores(self, samples: DataSplit) -> Scores:
        scoring = self._fitted_scoring()
        scores = torch.cat([scoring(x).cpu() for x in _parts(samples, self.model_)])
        return scores.double().numpy()

    def _fitted_scoring(self) -> Scoring:
        if self._scoring is None:
            scoring = self._new_scoring(self.model_, self.form_)
            self._scoring = scoring.fit([(x, None) for x in _parts(self.training_, self.model_)])
        return self._scoring

    def _new_scoring(self, model: torch.nn.Module, form: Form) -> Scoring:
        usual = OF_TABLES if self.scorer == "combined" and len(form.shape) == 1 else None
        return Scoring(model, self.scorer, self.scorer_options or usual)

    def _refuse_unfitted(self) -> None:
        need("sklearn.utils.validation", "ALIDetector", "pyod").check_is_fitted(self, ["decision_scores_"])

    def checked(self) -> Length:
        """The length of a training, where all parameters have values that they can have.

        They may have been set after, or around, ``__init__``.

        Raises:
            InvalidParameter: one of them cannot have its value.
            DeviceError: there is no such device here.
        """
        if not hasattr(self.contamination, "fit"):
            wrong = not _is_real(self.contamination) or not 0 < self.contamination <= WORST_CONTAMINATION
            self._refuse("contamination", wrong, "above 0 and at most 0.5")
        self._refuse("seconds", self.seconds is not None and not _is_duration(self.seconds), "positive")
        for name in ("epochs", "steps", "batch_size"):
            value = getattr(self, name)
            self._refuse(name, value is not None and not _is_count(value), "a positive integer")
        for name in ("settings", "scorer_options"):
            value = getattr(self, name)
            self._refuse(name, value is not None and not isinstance(value, Mapping), "a mapping")
        resolve_device(str(self.device))
        lengths = {name: getattr(self, name) for name in ("seconds", "epochs", "steps")}
        given = {name: value for name, value in lengths.items() if value is not None}
        if len(given) > 1:
            raise InvalidParameter(f"{' and '.join(given)} are set; a training has the length of one of them")
        return Length(**given) if given else Length(steps=STEPS)

    def _refuse(self, name: str, wrong: bool, has_to_be: str) -> None:
        if wrong:
            raise InvalidParameter(f"{name} is {_quoted(getattr(self, name))}, it has to be {has_to_be}")

    def _seed(self) -> int:
        try:
            random = need("sklearn.utils", "ALIDetector", "pyod").check_random_state(self.random_state)
        except ValueError as error:
            raise InvalidParameter(f"random_state is {_quoted(self.random_state)}, it has to be an integer from 0 to "
                                   "4294967295, a numpy.random.RandomState, or None") from error  # fmt: skip
        return int(random.randint(np.iinfo(np.int32).max))

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_scoring": None}  # made again when it is asked; it holds the plugins


def _parts(split: DataSplit, model: ALI) -> list[torch.Tensor]:
    starts = range(0, len(split), AT_ONCE)
    return [split.rows(slice(start, start + AT_ONCE), device=model.device)[0] for start in starts]


def _is_duration(value: Any) -> bool:
    return _is_real(value) and bool(0 < value < math.inf)


def _is_real(value: object) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def _is_count(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and bool(0 < value <= MAX_STEPS)


def _quoted(value: object) -> str:
    return printable(repr(value), LONGEST)
