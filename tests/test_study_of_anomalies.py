"""The study of anomalies on small tables: every method is there, it goes on, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.svm import OneClassSVM

from ali_plugin.datasets import load_split
from ali_plugin.datasets.split import DataSplit
from ali_plugin.experiments import anomaly, anomaly_peers
from ali_plugin.experiments.record import Options
from ali_plugin.experiments.training import Length
from ali_plugin.pyod import ALIDetector
from conftest import Ali

METHODS = [
    "ALI, combined",
    *(f"{method}, {view}" for view in ("raw", "codes")
      for method in ("nearest neighbour", "isolation forest", "one-class SVM")),
    "PyOD's ALAD, defaults", "PyOD's ALAD, same time", "PyOD's AnoGAN, same time",
]  # fmt: skip


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyOD's GANs for a moment; how long they take is theirs."""

    def gans(train: Any, test: Any, *_: Any) -> Any:
        for name in METHODS[-3:]:
            yield anomaly_peers.judged(name, lambda: None, lambda: np.abs(test).sum(1))

    monkeypatch.setattr(anomaly, "gans", gans)


@pytest.mark.usefixtures("short")
def test_each_class_in_turn_and_going_on(tmp_path: Path, ali: Ali) -> None:
    out = tmp_path / "out"
    command = ("experiment", "anomaly", "--dataset", "iris", "--steps", 3, "--seed", 4, "--out", out, "--json")
    whole = json.loads(ali(*command).out)
    assert [row["name"] for row in whole["rows"]] == [f"iris: {method}" for method in METHODS]
    runs = whole["settings"]["runs"]["iris"]
    assert list(runs) == ["iris-setosa-4", "iris-versicolor-4", "iris-virginica-4"]
    for row in whole["rows"]:
        of_classes = [run[row["name"].removeprefix("iris: ")]["auroc"] for run in runs.values()]
        assert row["figures"]["auroc"] == pytest.approx(np.mean(of_classes))
        assert row["figures"]["auroc_deviation"] == pytest.approx(np.std(of_classes))
        assert (row["figures"]["auroc_least"], row["figures"]["auroc_most"]) == (min(of_classes), max(of_classes))
        assert row["figures"]["runs"] == 3
    assert whole["rows"][0]["figures"]["steps"] == 3
    assert whole["rows"][1]["figures"]["auroc"] > 0.9, "flowers of another species are strange"
    assert (out / "figure.png").stat().st_size > 5000
    test = load_split("iris", "test", data_dir=None, data_shape=(4,))
    kept = ALIDetector.load(out / "runs" / "iris-setosa-4", device="cpu")
    again = roc_auc_score(test.labels != 0, kept.decision_function(test.data))
    assert again == pytest.approx(runs["iris-setosa-4"]["ALI, combined"]["auroc"])

    (out / "results.json").unlink()
    (out / "runs" / "iris-versicolor-4.json").unlink()
    times = {path: path.stat().st_mtime_ns for path in (out / "runs").glob("*.json")}
    continued = json.loads(ali(*command, "--resume").out)
    assert {path: path.stat().st_mtime_ns for path in times} == times, "what is there is not made again"
    for before, after in zip(whole["rows"], continued["rows"], strict=True):
        assert after["figures"]["auroc"] == before["figures"]["auroc"]
    other = ali("experiment", "anomaly", "--dataset", "iris", "--steps", 4, "--seed", 4, "--out", out, "--resume")
    assert (other.code, "is of another length, seed or architecture" in other.err) == (1, True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--dataset", "wine", "--classes", "class_9"], "dataset 'wine' has no class 'class_9'; did you mean 'class_"),
        (["--dataset", "image-folder"], "dataset 'image-folder' has no size of its own; name an --arch that has one"),
        (["--seconds", "1", "--minutes", "1"], "--minutes and --seconds are both the length of a training"),
        (["--seconds", "1", "--steps", "1"], "not both"),
        (["--seconds", "0"], "it has to be positive"),
        (["--dataset", "wine", "--arch", "fashion"], "architecture 'fashion' is for data of 1x28x28"),
    ],
)
def test_what_is_refused(words: list[str], message: str, tmp_path: Path, ali: Ali) -> None:
    done = ali("experiment", "anomaly", *words, "--out", tmp_path / "out")
    assert done.code != 0
    assert message in done.err
    assert "Traceback" not in done.err


def test_the_peers_are_what_they_are_called() -> None:
    """The nearest neighbour by hand, the SVM against scikit-learn's own kernel; PyOD's GANs keep to the time."""
    random = np.random.default_rng(0)
    train, test = (random.standard_normal((count, 5)).astype(np.float32) for count in (24, 30))
    near, forest, svm = anomaly_peers.classics("raw", train, test, 0)
    assert near.scores == pytest.approx(np.linalg.norm(test[:, None] - train, axis=2).min(1), abs=1e-5)
    assert forest.scores == pytest.approx(-IsolationForest(random_state=0).fit(train).score_samples(test))
    assert svm.scores == pytest.approx(-OneClassSVM().fit(train).decision_function(test), abs=1e-2)
    before = np.random.get_state()[1].copy()  # type: ignore[index]
    seconds = 0.1
    defaults, longer, anogan = anomaly_peers.gans(train, test, seconds, 0, torch.device("cpu"))
    assert (before == np.random.get_state()[1]).all()  # type: ignore[index]
    assert longer.fit_seconds >= max(seconds, defaults.fit_seconds)
    assert [one.name for one in (defaults, longer, anogan)] == METHODS[-3:]
    for one in (defaults, longer, anogan):
        assert one.scores.shape == (30,)
        assert np.isfinite(one.scores).all()


def test_a_class_is_fitted_to_all_that_is_not_tested(tmp_path: Path) -> None:
    (task,) = anomaly.tasks("digits", [0], Options(out=tmp_path, classes=("7",)))
    parts = [load_split("digits", split, data_dir=None, data_shape=(64,)) for split in ("train", "validation", "test")]
    assert len(task.train) == sum(int((own_labels(part) == 7).sum()) for part in parts[:2])
    assert (task.strange == (own_labels(parts[2]) != 7)).all()
    assert task.test is parts[2].data or (task.test == parts[2].data).all()


def own_labels(split: DataSplit) -> Any:
    assert split.labels is not None
    return split.labels


def test_lengths_are_those_of_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Any, Any]] = []

    class Stop(Exception):
        pass

    def fit(self: ALIDetector, _: Any) -> None:
        seen.append((self.steps, self.seconds))
        raise Stop

    monkeypatch.setattr(ALIDetector, "fit", fit)
    options = Options(out=tmp_path, classes=("class_0",), device="cpu")
    (task,) = anomaly.tasks("wine", [0], options)
    for length in (Length(steps=7), Length(minutes=0.5)):
        with pytest.raises(Stop):
            anomaly.measure(task, length, options)
    assert seen == [(7, None), (None, 30.0)]
