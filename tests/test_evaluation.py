"""What the metrics measure, against data where the answer is known, and through the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from ali_plugin import ALI
from ali_plugin.datasets import load_split
from ali_plugin.datasets.mixture import MEANS, STDDEV
from ali_plugin.datasets.split import balanced_subset
from ali_plugin.evaluation.baselines import baselines
from ali_plugin.evaluation.context import Context
from ali_plugin.evaluation.evaluate import evaluate
from ali_plugin.evaluation.extractors import load_extractor
from ali_plugin.evaluation.features import encoder_features, standardise
from ali_plugin.evaluation.frechet import Statistics, frechet_distance
from ali_plugin.evaluation.interpolation import interpolation
from ali_plugin.evaluation.linear import L2SVM
from ali_plugin.evaluation.modes import mode_counts
from ali_plugin.evaluation.neighbours import fidelity_and_diversity, nearest_neighbours
from ali_plugin.evaluation.ssim import ssim
from conftest import Ali


def context(**options: Any) -> Context:
    torch.manual_seed(0)
    return Context(ALI.from_architecture("fashion").eval(), "fashion-mini", **options)


def test_mode_counts() -> None:
    random = torch.Generator().manual_seed(0)
    means = torch.from_numpy(MEANS).float()
    five = means[:5].repeat(2000, 1)  # 10,000 samples of five modes
    perfect = five + STDDEV * torch.randn(five.shape, generator=random)
    found = mode_counts(perfect)
    assert found["modes"] == found["modes_by_responsibility"] == 5
    assert found["high_quality"] == pytest.approx(1 - np.exp(-9 / 2), abs=0.01)  # of a Gaussian within 3 sigma
    assert found["reverse_kl"] == pytest.approx(np.log(25 / 5), abs=1e-3)
    between = mode_counts(means.repeat(400, 1) + 0.5)
    assert (between["modes"], between["modes_by_responsibility"], between["high_quality"]) == (0, 25, 0)


def test_fidelity_and_diversity() -> None:
    random = torch.Generator().manual_seed(0)
    real, same, far = (torch.randn(600, 4, generator=random) for _ in range(3))
    equal = fidelity_and_diversity(real, same)
    assert equal["precision"] > 0.85
    assert equal["recall"] > 0.85
    assert equal["density"] == pytest.approx(1, abs=0.15)
    assert equal["coverage"] > 0.9
    assert set(fidelity_and_diversity(real, far + 100).values()) == {0}
    dropped = fidelity_and_diversity(real, same[same[:, 0] > 0])
    assert dropped["precision"] > 0.85
    assert dropped["coverage"] < 0.7


def test_nearest_neighbours_over_several_parts() -> None:
    random = np.random.default_rng(0)
    points, queries = random.standard_normal((4500, 3), np.float32), random.standard_normal((2500, 3), np.float32)
    distances = ((queries[:, None] - points[None]) ** 2).sum(2)
    assert (nearest_neighbours(queries, points).numpy() == distances.argmin(1)).mean() > 0.999


def test_frechet_distance_of_gaussians() -> None:
    eye = torch.eye(3, dtype=torch.float64)
    zero, first = torch.zeros(3, dtype=torch.float64), torch.empty(0)
    a, b = Statistics(zero, eye, first), Statistics(zero + 2, 9 * eye, first)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(a, b) == pytest.approx(3 * 4 + 3 * (3 - 1) ** 2)


def test_ssim() -> None:
    image = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    assert ssim(image, image).tolist() == pytest.approx([1, 1])
    # Constant pictures differ by their luminance alone.
    dark, light = torch.full((1, 3, 16, 16), 0.2), torch.full((1, 3, 16, 16), 0.6)
    assert ssim(dark, light).item() == pytest.approx((2 * 0.2 * 0.6 + 1e-4) / (0.2**2 + 0.6**2 + 1e-4), rel=1e-3)
    assert ssim(torch.rand(1, 1, 4, 4), torch.rand(1, 1, 4, 4)).shape == (1,)


def test_features_are_the_last_layers_and_the_mean() -> None:
    measured = context(batch_size=60)
    features = encoder_features(measured, "test")
    assert features.shape == (500, 512 + 512 + 16)
    np.testing.assert_allclose(features[:, -16:], measured.codes("test").numpy(), atol=1e-5)
    train = np.array(features[:400])
    standardise(train, features)
    moving = train.std(0) > 0.5
    np.testing.assert_allclose(train.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(train[:, moving].std(0), 1, atol=1e-3)


def test_baselines_are_the_data_and_their_principal_components() -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier

    measured = context()
    found = baselines(measured)
    train, test = measured.split("train"), measured.split("test")
    x, y = (split.data.reshape(len(split), -1).astype(np.float64) / 255 for split in (train, test))
    assert found["raw"]["nearest_neighbour_accuracy"] == pytest.approx(
        KNeighborsClassifier(1, algorithm="brute").fit(x, train.labels).score(y, test.labels), abs=0.003
    )
    mean = x.mean(0)
    basis = np.linalg.eigh(np.cov(x.T))[1][:, -16:].T
    codes, test_codes = (x - mean) @ basis.T, (y - mean) @ basis.T
    assert found["pca"]["mse"] == pytest.approx(np.square(test_codes @ basis + mean - y).mean(), rel=1e-3)
    assert found["pca"]["nearest_neighbour_accuracy"] == pytest.approx(
        KNeighborsClassifier(1, algorithm="brute").fit(codes, train.labels).score(test_codes, test.labels), abs=0.005
    )
    scale = codes.std(0)
    probe = LogisticRegression(max_iter=1000).fit(codes / scale, train.labels)
    assert found["pca"]["probe_accuracy"] == pytest.approx(probe.score(test_codes / scale, test.labels), abs=0.01)
    assert found == baselines(measured), "they change nothing that they are made of"


def test_there_are_no_more_components_than_numbers_in_a_sample() -> None:
    torch.manual_seed(0)
    wide = Context(ALI.from_architecture("fashion", latent_size=800).eval(), "fashion-mini")
    found = baselines(wide)
    assert found["pca"]["mse"] == pytest.approx(0, abs=1e-6)
    raw = found["raw"]["nearest_neighbour_accuracy"]
    assert found["pca"]["nearest_neighbour_accuracy"] == pytest.approx(raw, abs=0.003)


def test_l2_svm_prepares_a_label_set_once_for_all_penalties(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    labels = random.integers(2, size=200)
    svm = L2SVM((labels[:, None] + random.standard_normal((200, 50))).astype(np.float32), labels, count=20, seed=0)
    prepare = Mock(side_effect=svm.label_set)
    monkeypatch.setattr(svm, "label_set", prepare)
    svm.choose()
    assert [call.args for call in prepare.call_args_list] == [(-1,), (-2,), (-3,)]


def test_l2_svm_is_scikit_learns() -> None:
    from sklearn.svm import LinearSVC

    random = np.random.default_rng(0)
    centres = random.standard_normal((3, 300))
    labels = random.integers(3, size=600)
    rows = (centres[labels] + 4 * random.standard_normal((600, 300))).astype(np.float32)
    svm = L2SVM(rows[:500], labels[:500], count=30, seed=1)
    penalty = svm.choose()
    errors = [svm.error(svm.label_set(i), penalty, rows[500:], labels[500:]) for i in range(3)]
    assert errors == [svm.error(svm.label_set(i), penalty, rows[500:], labels[500:]) for i in range(3)]
    assert len(set(svm.pool) & set(svm.held_out)) == 0
    # In the span of 30 samples and in all of the 300 dimensions it is the same classifier.
    unit = rows / np.sqrt(300)
    for i, error in enumerate(errors):
        chosen = svm.pool[balanced_subset(labels[svm.pool], 3, 30, (1 << 20) + 1000 + i)]
        full = LinearSVC(C=penalty, loss="squared_hinge", dual=False, tol=1e-3).fit(unit[chosen], labels[chosen])
        assert error == pytest.approx(1 - full.score(unit[500:], labels[500:]), abs=0.011)  # one sample of 100
    # Features that are always 0 change nothing but the scale.
    wide = np.concatenate([rows, np.zeros_like(rows)], 1)
    again = L2SVM(wide[:500], labels[:500], count=30, seed=1)
    assert again.error(again.label_set(0), 2 * penalty, wide[500:], labels[500:]) == pytest.approx(errors[0], abs=0.02)
    guess = LinearSVC(C=penalty / 300, dual=False).fit(rows[svm.pool], labels[svm.pool]).score(rows[500:], labels[500:])
    assert min(errors) > 1 - guess - 0.05  # 30 labels do not beat 400
    assert np.mean(errors) < 0.5


def test_figures_depend_on_the_seed_and_not_on_the_batch_size() -> None:
    names = ["reconstruction", "interpolation"]
    first, same = (evaluate(context(seed=3), names) for _ in range(2))
    assert first == same
    other = evaluate(context(seed=4), names)
    assert first["reconstruction"]["latent_mse"] != other["reconstruction"]["latent_mse"]
    parts = evaluate(context(seed=3, batch_size=77), names)
    assert parts["reconstruction"]["mse"] == pytest.approx(first["reconstruction"]["mse"], rel=1e-4)
    assert parts["interpolation"] == pytest.approx(first["interpolation"], rel=1e-4)


def test_a_cross_fade_is_smooth() -> None:
    class Identity(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.reshape(len(x), -1, *([] if x.ndim == 4 else [28, 28])) if x.ndim == 2 else x.flatten(1)

    model = ALI.from_architecture("fashion", latent_size=784)
    model.encoder = model.decoder = Identity()
    found = interpolation(Context(model, "fashion-mini"))
    assert found == {"path_length": pytest.approx(1, rel=1e-3), "largest_step": pytest.approx(1, rel=1e-3)}
    perfect = evaluate(Context(model, "fashion-mini"), ["reconstruction"])["reconstruction"]
    assert perfect["mse"] == perfect["latent_mse"] == 0
    assert perfect["ssim"] == pytest.approx(1)


def test_evaluate_command(trained: Path, ali: Ali) -> None:
    figures = json.loads(ali("evaluate", trained, "--labels", 100, "--labels", 200, "--label-sets", 2, "--json").out)[
        "metrics"
    ]
    assert set(figures) == {"reconstruction", "representation", "interpolation"}
    found = figures["representation"]
    assert 0 < found["l2_svm_error_100"] < 0.9
    assert found["l2_svm_error_100_deviation"] >= 0
    assert found["feature_size"] == 1040
    assert found["nearest_neighbour_accuracy"] > 0.1
    assert found["probe_accuracy_features"] > 0.3
    assert found["nearest_neighbour_accuracy_raw"] > found["nearest_neighbour_accuracy"]
    assert found["probe_accuracy_raw"] > 0.75
    assert 0.015 < found["mse_pca"] < 0.025


@pytest.mark.usefixtures("hasty_classifier")
def test_frechet_command(trained: Path, ali: Ali) -> None:
    command = ("evaluate", trained, "--metric", "frechet", "--extractor", "classifier", "--samples", 200)
    first = ali(*command)
    assert "fashion-mini-classifier-" in first.out
    found = json.loads(ali(*command, "--json").out)["metrics"]["frechet"]
    worth = ("--metric", "reconstruction", "--metric", "representation", "--label-sets", 1, "--json")
    together = json.loads(ali(*command, *worth).out)["metrics"]
    assert found == together["frechet"]
    assert together["reconstruction"].keys() >= {"mse", "latent_mse"}
    assert together["representation"].keys() >= {"nearest_neighbour_accuracy", "nearest_neighbour_accuracy_pca"}
    figures = {name.split(" (")[0]: value for name, value in found.items()}
    assert 0 < figures["floor"] < figures["distance"]
    asked = Context(ALI.from_pretrained(trained), "fashion-mini", samples=200, extractor="classifier")
    extractor = load_extractor(asked)
    real, _ = load_split("fashion-mini", "test", data_dir=None, data_shape=(1, 28, 28)).rows(slice(200))
    fake = torch.cat(list(asked.generated(200)))
    with torch.no_grad():
        expected = fidelity_and_diversity(extractor.features(real), extractor.features(fake))
    assert {name: figures[name] for name in expected} == pytest.approx(expected, abs=0.01)


def test_frechet_of_a_local_checkpoint(trained: Path, tmp_path: Path, ali: Ali) -> None:
    from torchvision.models import get_model

    weights = tmp_path / "weights.safetensors"
    torch.manual_seed(0)
    save_file(get_model("squeezenet1_1").state_dict(), weights)
    command = ("evaluate", trained, "--metric", "frechet", "--samples", 100, "--extractor")
    assert "does not end in a linear layer" in ali(*command, f"squeezenet1_1:{weights}").err
    assert "lacks" in ali(*command, f"mobilenet_v3_small:{weights}").err


@pytest.mark.slow
def test_frechet_of_resnet(trained: Path, tmp_path: Path, ali: Ali) -> None:
    from torchvision.models import get_model

    weights = tmp_path / "weights.safetensors"
    torch.manual_seed(0)
    save_file(get_model("resnet18").state_dict(), weights)
    result = ali("evaluate", trained, "--metric", "frechet", "--samples", 100, "--extractor", f"resnet18:{weights}")
    assert "distance (resnet18-" in result.out


def test_few_labelled_pictures_are_enough_where_nobody_says_how_many(trained: Path, tmp_path: Path, ali: Ali) -> None:
    """Of the smaller class as many as are left when a fifth is held out, and as many of the other."""
    for i, picture in enumerate(load_split("fashion-mini", "test", data_dir=None, data_shape=(1, 28, 28)).data[:60]):
        path = tmp_path / ("bag" if i % 4 else "coat") / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(picture[0]).save(path)
    of_these = ("evaluate", trained, "--dataset", "image-folder", "--data-dir", tmp_path)
    result = ali(*of_these, "--label-sets", 2, "--json")
    assert "left out" not in result.err
    count = json.loads(result.out)["metrics"]["representation"].keys() & {f"l2_svm_error_{2 * n}" for n in range(6, 15)}
    assert len(count) == 1
    refused = ali(*of_these, "--metric", "representation", "--labels", 1000)
    assert "--labels is 1000, 500 of class 0, which has" in refused.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--metric", "modes"], "counts the modes of dataset 'mixture', not of 'fashion-mini'"),
        (["--metric", "frechet", "--samples", "20"], "--samples is 20; metric 'frechet' needs at least 100"),
        (["--metric", "frechet", "--extractor", "resnet"], "--extractor is 'resnet'"),
        (["--metric", "frechet", "--extractor", "resnet18:nowhere"], "'nowhere' cannot be read as a safetensors file"),
        (["--metric", "representation", "--labels", "5"], "--labels is 5, but there are 10 classes"),
        (["--metric", "representation", "--labels", "5000"], "500 of class 0, which has"),
        (["--metric", "representation", "--label-sets", "0"], "--label-sets is 0"),
    ],
)
def test_bad_input(arguments: list[str], message: str, trained: Path, ali: Ali) -> None:
    result = ali("evaluate", trained, *arguments)
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert message in result.err


def test_missing_labels_and_extras(trained: Path, tmp_path: Path, ali: Ali, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(12):
        Image.fromarray(np.full((28, 28), 20 * i, np.uint8)).save(tmp_path / f"{i}.png")
    plain = ("evaluate", trained, "--dataset", "image-folder", "--data-dir", tmp_path)
    assert "has no class labels" in ali(*plain, "--metric", "representation").err
    assert set(json.loads(ali(*plain, "--json").out)["metrics"]) == {"reconstruction", "interpolation"}
    monkeypatch.setitem(__import__("sys").modules, "sklearn", None)
    assert "pip install 'ali-plugin[eval]'" in ali("evaluate", trained, "--metric", "representation").err
    monkeypatch.setitem(__import__("sys").modules, "timm", None)  # which is in no extra
    other = ali("evaluate", trained, "--metric", "frechet", "--extractor", "vit_small:weights.safetensors")
    assert "torchvision has no model 'vit_small'; if timm has it: pip install timm" in other.err
    without = ali("evaluate", trained, "--json")
    assert "representation is left out" in without.err
    assert "reconstruction" in json.loads(without.out)["metrics"]
