"""The detector: PyOD's own checks, scikit-learn's, pictures, folders, and what is refused in one line."""

from __future__ import annotations

import copy
import importlib
import json
import pickle
import sys
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pyod.models.base import BaseDetector
from pyod.utils.data import generate_data
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import check_estimator

from ali_plugin.datasets.fashion_mini import fashion_mini
from ali_plugin.errors import ALIError, MissingExtra
from ali_plugin.pyod import ALIDetector, InvalidInput, InvalidParameter, training
from ali_plugin.training.step import TrainingStep

Array = NDArray[Any]
SMALL = {part: {"width": 8, "blocks": 0} for part in ("encoder", "decoder", "discriminator")}


@pytest.fixture(scope="module")
def table() -> tuple[Array, Array, Array, Array]:
    """PyOD's own kind of data: training and test samples, 1 for the strange ones."""
    train, test, truth, test_truth = generate_data(
        n_train=160, n_test=60, n_features=7, contamination=0.1, random_state=42
    )
    return train, test, truth, test_truth


@pytest.fixture(scope="module")
def fitted(table: tuple[Array, Array, Array, Array]) -> ALIDetector:
    return ALIDetector(contamination=0.1, steps=40, random_state=0, device="cpu").fit(table[0])


def detector(**parameters: Any) -> ALIDetector:
    return ALIDetector(**{"steps": 2, "random_state": 0, "device": "cpu", **parameters})


# PyOD's suite checks of every detector what the next tests do (test_parameters, test_train_scores, ...).


def test_what_a_fit_leaves(fitted: ALIDetector, table: tuple[Array, Array, Array, Array]) -> None:
    train, _, truth, _ = table
    assert isinstance(fitted, BaseDetector)
    for name in ("decision_scores_", "labels_", "threshold_", "_mu", "_sigma", "model_"):
        assert getattr(fitted, name) is not None
    assert fitted.decision_scores_.shape == fitted.labels_.shape == (len(train),)
    assert fitted.decision_scores_.dtype == np.float64
    assert fitted.labels_.sum() == 16, "the share of the contamination"
    assert (fitted.labels_ == (fitted.decision_scores_ > fitted.threshold_)).all()
    assert roc_auc_score(truth, fitted.decision_scores_) > 0.9
    assert (fitted.n_steps_, fitted.n_features_in_) == (40, 7)


def test_predictions(fitted: ALIDetector, table: tuple[Array, Array, Array, Array]) -> None:
    _, test, _, truth = table
    scores = fitted.decision_function(test)
    assert scores.shape == truth.shape
    assert roc_auc_score(truth, scores) > 0.9
    labels, confidence = fitted.predict(test, return_confidence=True)
    assert (labels == (scores > fitted.threshold_)).all()
    assert confidence.shape == truth.shape
    assert ((confidence >= 0) & (confidence <= 1)).all()
    for method in ("linear", "unify"):
        probability, confidence = fitted.predict_proba(test, method=method, return_confidence=True)
        assert probability.shape == (len(test), 2)
        assert ((probability >= 0) & (probability <= 1)).all()
        assert probability.sum(1) == pytest.approx(1)
        assert confidence.shape == truth.shape
    with pytest.raises(ValueError, match="something"):
        fitted.predict_proba(test, method="something")
    rejected, (rate, bound, cost) = fitted.predict_with_rejection(test, return_stats=True)
    assert rejected.shape == truth.shape
    assert min(rate, bound, cost) >= 0
    ranks = fitted._predict_rank(test, normalized=True)
    assert ((ranks >= 0) & (ranks <= 1)).all()
    assert ranks[truth == 1].min() > np.median(ranks[truth == 0])


@pytest.mark.filterwarnings("ignore:Function .* is deprecated", "ignore:y should not be presented")
def test_fit_and_predict_in_one(table: tuple[Array, Array, Array, Array]) -> None:
    train, _, truth, _ = table
    one = detector()
    assert one.fit_predict(train).shape == truth.shape
    for scoring in ("roc_auc_score", "prc_n_score"):
        assert 0 <= one.fit_predict_score(train, truth, scoring=scoring) <= 1
    with pytest.raises(NotImplementedError):
        one.fit_predict_score(train, truth, scoring="something")


def test_scikit_learn_takes_it(table: tuple[Array, Array, Array, Array]) -> None:
    train, test, truth, test_truth = table
    one = detector(contamination=0.2, batch_size=32, settings={"objective": {"cycle_x": 1.0}})
    again = clone(one)
    assert again.get_params() == one.get_params()
    assert again.set_params(contamination=0.3, scorer="latent").contamination == 0.3
    with pytest.raises(ValueError, match="nothing"):
        again.set_params(nothing=1)
    pipeline = make_pipeline(MinMaxScaler(), detector())
    pipeline.fit(train)
    assert pipeline.predict(test).shape == test_truth.shape
    assert pipeline.decision_function(test) == pytest.approx(detector().fit(train).decision_function(test), abs=1e-3)
    search = GridSearchCV(
        detector(), {"scorer": ["latent", "features"]}, scoring="roc_auc", cv=KFold(2, shuffle=True, random_state=0)
    )
    assert search.fit(train, truth).best_score_ > 0.5


OTHERWISE = {
    "check_do_not_raise_errors_in_init_or_set_params": "PyOD's base class refuses a contamination at once",
    "check_dtype_object": "a TypeError is asked for; ours is a ValueError",
    "check_methods_subset_invariance": "float32 products of other sizes are rounded otherwise, by some 1e-6",
    "check_outliers_fit_predict": "PyOD's labels are 0 and 1",
    "check_outliers_train": "PyOD's labels are 0 and 1",
}


@pytest.mark.filterwarnings("ignore:Function .* is deprecated")
def test_scikit_learns_own_checks() -> None:
    """Those of every estimator; what a detector of PyOD does otherwise is left out by name."""
    found = check_estimator(detector(), expected_failed_checks=OTHERWISE, on_fail=None, on_skip=None)
    failed = {check["check_name"]: repr(check["exception"]) for check in found if check["status"] == "failed"}
    assert not failed
    assert len([check for check in found if check["status"] == "passed"]) > 35


def test_the_seed_decides(table: tuple[Array, Array, Array, Array]) -> None:
    train, test, _, _ = table
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index]
    scores = [detector(random_state=seed).fit(train).decision_function(test) for seed in (1, 1, 2)]
    assert (scores[0] == scores[1]).all()
    assert (scores[0] != scores[2]).any()
    assert torch.equal(before, torch.get_rng_state()), "the program's own stream is left alone"
    assert (numpy_before == np.random.get_state()[1]).all()  # type: ignore[index]
    state = np.random.RandomState(1)
    assert (detector(random_state=state).fit(train).decision_function(test) == scores[0]).all()


def test_how_long_it_trains(table: tuple[Array, Array, Array, Array], monkeypatch: pytest.MonkeyPatch) -> None:
    train = table[0]
    assert detector(steps=5).fit(train).n_steps_ == 5
    assert detector(steps=None, epochs=3, batch_size=50).fit(train).n_steps_ == 9, "three of 50 in 160, three times"
    looks, shares = count(), []
    monkeypatch.setattr(training, "time", SimpleNamespace(perf_counter=lambda: float(next(looks))))
    schedule = TrainingStep.schedule

    def spy(self: TrainingStep, step: int, total_steps: int, factor: float = 1.0) -> None:
        shares.append(step / total_steps)
        schedule(self, step, total_steps, factor)

    monkeypatch.setattr(TrainingStep, "schedule", spy)
    assert detector(steps=None, seconds=12.5).fit(train).n_steps_ == 13, "a second passes with each step"
    assert shares == sorted(shares), "schedules go by the time"
    assert shares[-1] > 0.9


def garments() -> tuple[Array, Array, Array]:
    """Trousers to fit, and test pictures of trousers and bags; 1 for bags."""
    train, test = fashion_mini("train"), fashion_mini("test")
    assert train.labels is not None
    assert test.labels is not None
    chosen = np.isin(test.labels, (1, 8))
    return train.data[train.labels == 1], test.data[chosen], test.labels[chosen] == 8


def test_pictures_as_they_are_and_flattened() -> None:
    train, test, strange = garments()
    parameters = {"settings": SMALL, "steps": 10}
    whole = detector(**parameters).fit(train)
    scores = whole.decision_function(test)
    assert roc_auc_score(strange, scores) > 0.9
    assert whole.predict_proba(test).shape == (len(test), 2)
    flat, flat_test = (x.reshape(len(x), -1) / 255 for x in (train, test))
    again = detector(**parameters, data_shape=(1, 28, 28)).fit(flat)
    assert again.decision_function(flat_test) == pytest.approx(scores, rel=1e-3, abs=1e-3)
    assert again.decision_function(test) == pytest.approx(scores, rel=1e-3, abs=1e-3)
    assert whole.codes(test[:3]).shape == (3, whole.model_.config.latent_size)


def test_features_of_any_scale_count_the_same() -> None:
    random = np.random.default_rng(0)
    train, test = random.standard_normal((80, 3)), random.standard_normal((20, 3))
    scale, shift = np.array([1e6, 1e-9, 1.0]), np.array([-1e6, 3e-9, 5.0])
    plain = detector().fit(train).decision_function(test)
    scaled = detector().fit(train * scale + shift).decision_function(test * scale + shift)
    assert scaled == pytest.approx(plain, rel=1e-2, abs=1e-2)
    constant = np.column_stack([train, np.full(80, 7.0)])
    far = np.array([[0, 0, 0, 7.0], [0, 0, 0, 1e300]])
    near, strange = detector().fit(constant).decision_function(far)
    assert near < strange < np.inf


def test_a_detector_of_a_folder(tmp_path: Path, fitted: ALIDetector, table: tuple[Array, Array, Array, Array]) -> None:
    test = table[1]
    scores = fitted.decision_function(test)
    fitted.save(tmp_path / "kept")
    assert {path.suffix for path in (tmp_path / "kept").iterdir()} == {".json", ".safetensors"}
    loaded = ALIDetector.load(tmp_path / "kept", device="cpu")
    assert loaded.decision_function(test) == pytest.approx(scores)
    assert (loaded.predict(test) == fitted.predict(test)).all()
    assert loaded.get_params() == fitted.get_params()
    for other in (copy.deepcopy(fitted), pickle.loads(pickle.dumps(fitted))):
        assert other.decision_function(test) == pytest.approx(scores)
    pictures = detector(settings=SMALL).fit(garments()[0][:20])
    pictures.save(tmp_path / "pictures")
    again = ALIDetector.load(tmp_path / "pictures", device="cpu")
    assert again.decision_scores_ == pytest.approx(pictures.decision_scores_)
    record = tmp_path / "kept" / "detector.json"
    for broken in ({}, {"parameters": {"contamination": 3}, "steps": 1}, {"parameters": {"odd": 1}, "steps": 1}):
        record.write_text(json.dumps(broken))
        with pytest.raises(ALIError, match=r"detector\.json"):
            ALIDetector.load(tmp_path / "kept")
    (tmp_path / "pictures" / "detector.safetensors").write_bytes(
        (tmp_path / "kept" / "detector.safetensors").read_bytes()
    )
    with pytest.raises(ALIError, match=r"detector\.safetensors is not what a detector of this model writes"):
        ALIDetector.load(tmp_path / "pictures")
    with pytest.raises(InvalidParameter, match="random_state is a RandomState, which a file cannot hold"):
        detector(random_state=np.random.RandomState(0)).fit(table[0]).save(tmp_path / "other")


GOOD = np.random.default_rng(0).standard_normal((12, 4))


def with_value(value: object, kind: Any = np.float64) -> Array:
    x = GOOD.astype(kind)
    x[3, 2] = value
    return x


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (with_value(np.nan), "X has NaN in row 3, at 2; fill it in"),
        (with_value(-np.inf), r"X has infinity \(inf\) in row 3, at 2"),
        (with_value(None, object), "X has NaN in row 3, at 2|X has None"),
        (with_value("red", object), "X has 'red', which is no number"),
        (GOOD.astype(str), "X has .*, which is no real number"),
        (GOOD + 1j, "X is complex"),
        ([[1.0, 2.0], [3.0]], "X cannot be made an array"),
        ([], r"X is of shape \(0,\)"),
        (np.zeros((0, 4)), r"X has 0 sample\(s\)"),
        (np.zeros((4, 0)), r"X has 0 feature\(s\)"),
        (GOOD[:1], "X has 1 sample, to fit takes at least 2"),
        (GOOD[0], r"X is of shape \(4,\).*Reshape"),
        (GOOD.reshape(3, 4, 4), r"X is of shape \(3, 4, 4\).*say data_shape"),
        (with_value(1e300), "feature 2 of X has numbers up to 1e\\+300, too large to be standardised"),
        (np.full((4, 1, 16, 16), 3.0), "X has the value 3; pictures are numbers from 0 to 1, or uint8"),
        (np.full((4, 1, 16, 16), -1), "X has the value -1; pictures"),
        (np.zeros((4, 1, 8, 8)), "take no pictures of 8x8"),
        ("a text", r"'a text'"),
        (None, "None"),
    ],
)
def test_what_cannot_be_fitted_is_refused_in_one_line(x: Any, message: str) -> None:
    with pytest.raises(ALIError, match=message) as caught:
        detector().fit(x)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"contamination": float("nan")}, "contamination is nan, it has to be above 0 and at most 0.5"),
        ({"contamination": 0.6}, "contamination is 0.6"),
        ({"contamination": "auto"}, "contamination is 'auto'"),
        ({"seconds": 1.0}, "seconds and steps are set; a training has the length of one of them"),
        ({"steps": None, "seconds": 0}, "seconds is 0, it has to be positive"),
        ({"steps": None, "seconds": "long"}, "seconds is 'long'"),
        ({"steps": None, "epochs": 1.5}, "epochs is 1.5, it has to be a positive integer"),
        ({"steps": 0}, "steps is 0"),
        ({"batch_size": True}, "batch_size is True"),
        ({"random_state": "seed"}, "random_state is 'seed'"),
        ({"settings": [1]}, r"settings is \[1\], it has to be a mapping"),
        ({"settings": {"objective": {"cycles": 1}}}, "cycles"),
        ({"data_shape": (2, 2)}, r"data_shape is \(2, 2\), it has to be"),
        ({"data_shape": (1, 16, 16)}, r"X has 4 features, but ALIDetector is expecting pictures of shape"),
        ({"scorer": "combine"}, "'combined'"),
        ({"scorer_options": {"off": 1}}, "off"),
        ({"architecture": "fashion"}, "architecture 'fashion' is for data of 1x28x28"),
        ({"architecture": "tabula"}, "'tabular'"),
        ({"device": "cuda:7"}, "device 'cuda:7' is not present"),
    ],
)
def test_a_parameter_that_cannot_be(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ALIError, match=message) as caught:
        detector().set_params(**parameters).fit(GOOD)
    assert "\n" not in str(caught.value)


def test_refusals_are_errors_of_both_families() -> None:
    assert issubclass(InvalidInput, ValueError)
    assert issubclass(InvalidParameter, ValueError)
    for contamination in (0, 0.51, -1, 1):
        with pytest.raises(ValueError, match="contamination"):
            ALIDetector(contamination=contamination)
    with pytest.raises(NotFittedError):
        detector().decision_function(GOOD)
    one = detector().fit(GOOD)
    assert one.decision_function(GOOD[:1]).shape == (1,), "a score takes one sample"
    for wrong, message in ((GOOD[:, :2], "X has 2 features, but ALIDetector is expecting 4 features as input"),
                           (with_value(np.nan), "NaN in row 3"), (GOOD[0], "Reshape")):  # fmt: skip
        with pytest.raises(InvalidInput, match=message):
            one.decision_function(wrong)


def test_without_pyod(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "pyod" or name.startswith("ali_plugin.pyod")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyod", None)
    with pytest.raises(MissingExtra, match=r"ALIDetector needs pyod.*: pip install 'ali-plugin\[pyod\]'"):
        importlib.import_module("ali_plugin.pyod")
