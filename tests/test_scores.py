"""Anomaly scores: against a linear model where the answer is known, through the command, and what is refused."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

import tiny
from ali_plugin import ALI, Scorer, hookimpl
from ali_plugin.config.model_config import PARTS, ModelConfig, PartConfig
from ali_plugin.datasets.fashion_mini import fashion_mini
from ali_plugin.errors import ALIError
from ali_plugin.evaluation.context import Context
from ali_plugin.evaluation.evaluate import evaluate
from ali_plugin.evaluation.neighbours import nearest_distances
from ali_plugin.pictures.decode import read_image
from ali_plugin.pictures.scored import heat
from ali_plugin.scoring import Scoring
from ali_registry import InvalidRecord, PluginFailed, build_registry
from conftest import Ali

CODE = 2


class Keep(nn.Module):
    """z: the first two elements of x; D's logit of (x, z) is their sum, its features of x are 10 x."""

    def __init__(self, part: str) -> None:
        super().__init__()
        self.part, self.weight = part, nn.Parameter(torch.zeros(()))

    def forward(self, first: Tensor, z: Tensor | None = None) -> Tensor:
        if self.part == "encoder":
            return first.flatten(1)[:, :CODE]
        if self.part == "decoder":
            return nn.functional.pad(first, (0, 2)).reshape(-1, 1, 2, 2)
        assert z is not None
        return z.sum(1, keepdim=True)

    def x_features(self, x: Tensor) -> Tensor:
        return 10 * x


def kept() -> ALI:
    """A model whose reconstruction of (1, 2, 2) pictures loses the second row."""
    part = PartConfig("keep")
    config = ModelConfig(part, part, part, latent_size=CODE, data_shape=(1, 2, 2))
    return ALI(config, **{kind: Keep(kind) for kind in PARTS}).eval()


X = torch.tensor([[0.1, 0.2, 0.3, 0.4], [1.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0]]).reshape(3, 1, 2, 2)
LOST = X.flatten(1)[:, CODE:]  # (3, 2), what does not come back


def test_reconstruction() -> None:
    model = kept()
    torch.testing.assert_close(model.score(X), LOST.square().sum(1) / 4)
    torch.testing.assert_close(model.score(X, norm="l1"), LOST.abs().sum(1) / 4)
    torch.testing.assert_close(model.score(X, features=True), 100 * LOST.square().sum(1) / 4)
    where = Scoring(model, "reconstruction", {"norm": "l1"}).where(X)
    torch.testing.assert_close(where, torch.cat([torch.zeros(3, 1, 2), LOST[:, None]], 1))


def test_published_scores() -> None:
    model, logit = kept(), X.flatten(1)[:, :CODE].sum(1)
    doubt = -torch.log(torch.sigmoid(logit))
    torch.testing.assert_close(model.score(X, "egbad"), 0.9 * LOST.abs().sum(1) + 0.1 * doubt)
    torch.testing.assert_close(model.score(X, "egbad", weight=0.0), doubt)
    torch.testing.assert_close(model.score(X, "alad"), 10 * LOST.abs().sum(1))
    torch.testing.assert_close(model.score(X, "judgement"), -logit)


def cloud(count: int = 400) -> Tensor:
    """Pictures whose codes are Gaussian with deviations 2 and .5."""
    drawn = torch.randn(count, 4, generator=torch.Generator().manual_seed(0))
    return (drawn * torch.tensor([2, 0.5, 1, 1])).reshape(count, 1, 2, 2)


def test_distances_from_the_prior_and_from_the_training_data() -> None:
    model, training = kept(), cloud()
    codes = X.flatten(1)[:, :CODE]
    torch.testing.assert_close(model.score(X, "latent", against="prior"), codes.norm(dim=1))
    seen = training.flatten(1)[:, :CODE]
    centred, covariance = codes - seen.mean(0), torch.cov(seen.T, correction=0)
    expected = (centred @ torch.linalg.inv(covariance) * centred).sum(1).sqrt()
    torch.testing.assert_close(model.score(X, "latent", training=training), expected, rtol=2e-3, atol=2e-3)
    nearest = torch.cdist(codes, seen).sort(1).values
    for k in (1, 5):
        found = model.score(X, "latent", training=training, against="knn", k=k)
        torch.testing.assert_close(found, nearest[:, :k].mean(1), rtol=1e-4, atol=1e-5)
    found = model.score(X, "features", training=training)
    torch.testing.assert_close(found, 10 * torch.cdist(X.flatten(1), training.flatten(1)).min(1).values)


def test_a_training_sample_is_not_its_own_neighbour() -> None:
    points = torch.randn(4500, 3, generator=torch.Generator().manual_seed(1))  # more than are compared at once
    found = nearest_distances(points, points, 2)
    distances = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist").sort(1).values
    torch.testing.assert_close(found, distances[:, 1:3])
    twice = torch.cat([points[:10], points[:10]])
    assert nearest_distances(twice, twice, 1).eq(0).all()  # but another one that is the same is


def test_features_of_many_numbers_are_projected() -> None:
    class Wide(Keep):
        def x_features(self, x: Tensor) -> Tensor:
            return x.flatten(1).repeat(1, 1000)

    model, training = kept(), cloud(50)
    model.discriminator = Wide("discriminator")
    exact = 1000**0.5 * torch.cdist(X.flatten(1), training.flatten(1)).min(1).values
    torch.testing.assert_close(model.score(X, "features", training=training), exact, rtol=0.15, atol=0.1)


def test_combined_is_the_mean_of_standardised_scores() -> None:
    model, training = kept(), cloud()
    of = ["judgement", "reconstruction"]
    expected = torch.zeros(3)
    for name in of:
        seen = model.score(training, name)
        low, high = torch.quantile(seen.double(), torch.tensor([0.16, 0.84], dtype=torch.float64)).tolist()
        expected += (model.score(X, name) - seen.median()) / (
            high - low
        )  # of which the deviation is half, of two scores
    torch.testing.assert_close(model.score(X, "combined", training=training, of=of), expected, rtol=1e-4, atol=1e-4)
    assert model.score(X, "combined", training=training).shape == (3,)


def test_scores_do_not_depend_on_how_many_there_are_at_once() -> None:
    torch.manual_seed(0)
    model = ALI.from_architecture("fashion").eval()
    x = torch.rand(300, 1, 28, 28)
    scoring = Scoring(model, "combined").fit(x)
    torch.testing.assert_close(scoring(x)[260:], torch.cat([scoring(part) for part in x[260:].split(7)]))
    assert scoring(x[:0]).shape == (0,)


@pytest.mark.parametrize(
    ("scorer", "options", "message"),
    [
        ("reconstrution", {}, "unknown scorer 'reconstrution'; did you mean 'reconstruction'"),
        ("reconstruction", {"norm": "l3"}, "scorer.norm is 'l3', not 'l1' or 'l2'"),
        ("reconstruction", {"norms": "l1"}, "has no option 'norms'; did you mean 'norm'"),
        ("egbad", {"weight": 1.5}, "scorer.weight is 1.5, not a number from 0 to 1"),
        ("latent", {}, "compares with the training data"),
        ("combined", {"of": []}, "name scorers, each once"),
        ("combined", {"of": ["combined"]}, "others than 'combined'"),
        ("combined", {"of": ["alad", "alad"]}, "each once"),
    ],
)
def test_refused(scorer: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ALIError, match=message):
        kept().score(X, scorer, **options)


@pytest.mark.parametrize(
    ("options", "count", "message"),
    [
        ({"against": "knn", "k": 3}, 3, "scorer.k is 3, it has to be below the 3 training samples"),
        ({}, 1, "needs at least 2 samples, there is 1"),
    ],
)
def test_refused_of_the_training_data(options: dict[str, Any], count: int, message: str) -> None:
    with pytest.raises(ALIError, match=message):
        kept().score(X, "latent", training=cloud(count), **options)


def test_what_a_model_does_not_have(trained: Path, tmp_path: Path, ali: Ali) -> None:
    plain = Scoring(ALI.from_architecture("tiny", registry=build_registry((), [tiny])), "alad")
    with pytest.raises(ALIError, match="discriminator 'tiny' gives no features of x, which scorer 'alad' compares"):
        plain(torch.rand(2, *tiny.SHAPE))
    ali("export", trained, "--no-discriminator", "--out", tmp_path / "half")
    for scorer in ("egbad", "alad", "judgement", "features", "combined"):
        done = ali("score", tmp_path / "half", "--scorer", scorer, "--dataset", "fashion-mini", "--out", "s.csv")
        assert (done.code, done.err.count("\n")) == (1, 1)
        assert "this model has no discriminator" in done.err
    with pytest.raises(ALIError, match="NaN or infinite"):
        kept().score(torch.full((1, 1, 2, 2), float("nan")))


def plugin(build: Any) -> SimpleNamespace:
    """A plugin with one scorer."""

    @hookimpl
    def register_scorers(register: Any) -> None:
        register(Scorer(name="odd", build=build))

    return SimpleNamespace(__name__="odd-scores", register_scorers=register_scorers)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: 3, "built a int, which cannot be called"),
        (lambda: lambda model, x, condition: x, "gave a shape .3, 1, 2, 2. for 3 samples, not one number each"),
        (lambda: lambda model, x, condition: [1.0, 2.0, 3.0], "gave a list for 3 samples"),
        (lambda: lambda model, x, condition: x.flatten(1).sum(1) * float("inf"), "NaN or infinite"),
        (lambda: lambda model, x, condition: 1 / 0, "ZeroDivisionError"),
        (lambda: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_a_scorer_of_a_plugin_that_does_not_keep_its_word(build: Any, message: str) -> None:
    registry = build_registry((), [plugin(build)])
    with pytest.raises((InvalidRecord, PluginFailed), match=message) as raised:
        Scoring(kept(), "odd", registry=registry)(X)
    assert "odd" in str(raised.value)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_score_command(trained: Path, tmp_path: Path, ali: Ali) -> None:
    out = tmp_path / "scores.csv"
    shown = json.loads(ali("score", trained, "--threshold", 0.9, "--out", out, "--json").out)
    table = rows(out)
    assert (shown["samples"], len(table), shown["scorer"]) == (500, 500, "reconstruction")
    scores = np.array([float(row["score"]) for row in table])
    assert shown["highest"] == pytest.approx(scores.max(), rel=1e-6)
    assert [int(row["strange"]) for row in table] == (scores > shown["limit"]).astype(int).tolist()
    assert 20 < shown["strange"] < 90  # a tenth of what is like the validation data
    assert {row["label"] for row in table} == set("0123456789")
    assert ali("score", trained, "--out", tmp_path / "s.safetensors", "-n", 40).code == 0
    tensors = load_file(tmp_path / "s.safetensors")
    assert tensors["scores"].shape == tensors["labels"].shape == (40,)


def test_pictures_that_are_named(trained: Path, tmp_path: Path, ali: Ali) -> None:
    random = np.random.default_rng(0)
    for name, top in (("noise", 255), ("black", 1)):
        Image.fromarray(random.integers(0, top, (40, 40, 3), np.uint8)).save(tmp_path / f"{name}.png")
    pictures = (tmp_path / "noise.png", tmp_path / "black.png")
    model = ALI.from_pretrained(trained)
    training, held_out = (fashion_mini(split).rows(slice(None))[0] for split in ("train", "validation"))
    x = torch.from_numpy(np.stack([read_image(path, (1, 28, 28)) for path in pictures])).float() / 255
    for scorer in ("reconstruction", "combined", "features"):
        options = ("--scorer", scorer, "--threshold", 0.8, "--out", tmp_path / "s.csv", "--json")
        limit = json.loads(ali("score", trained, *pictures, *options).out)["limit"]
        found = rows(tmp_path / "s.csv")
        assert [row["name"] for row in found] == list(map(str, pictures))
        expected = model.score(x, scorer, training=training).tolist()
        assert [float(row["score"]) for row in found] == pytest.approx(expected, rel=1e-3)
        beyond = model.score(held_out, scorer, training=training) > limit
        assert beyond.float().mean().item() == pytest.approx(0.2, abs=0.005)
        assert [row["strange"] for row in found] == [str(int(score > limit)) for score in expected]
    one = ali("score", trained, pictures[0], "--set", "scorer.norm=l1", "--out", tmp_path / "one.png")
    assert one.code == 0, one.err


def test_the_picture_shows_the_strangest_first_and_where(trained: Path, tmp_path: Path, ali: Ali) -> None:
    (tmp_path / "p").mkdir()
    for i in range(12):
        pixels = np.full((28, 28), 10 * i, np.uint8)
        pixels[4:8, 4:8] = 255 if i == 5 else 10 * i
        Image.fromarray(pixels).save(tmp_path / "p" / f"{i:02}.png")
    assert ali("score", trained, tmp_path / "p", "--out", tmp_path / "s.png").code == 0
    assert ali("score", trained, tmp_path / "p", "--out", tmp_path / "s.csv").code == 0
    scores = [float(row["score"]) for row in rows(tmp_path / "s.csv")]
    strangest = rows(tmp_path / "s.csv")[int(np.argmax(scores))]["name"]
    with Image.open(strangest) as original, Image.open(tmp_path / "s.png") as sheet:
        first = np.asarray(sheet.crop((6, 20, 6 + 84, 20 + 84)).convert("L"))  # three times its size
        np.testing.assert_array_equal(first[::3, ::3], np.asarray(original))
        beside = np.asarray(sheet.crop((6 + 84, 20, 6 + 168, 20 + 84)))
        assert beside.max() == 255  # the strangest pixel of all is among the strangest picture's
    plain = ali("score", trained, tmp_path / "p", "--scorer", "judgement", "--out", tmp_path / "plain.png")
    assert plain.code == 0
    with Image.open(tmp_path / "plain.png") as narrow, Image.open(tmp_path / "s.png") as wide:
        assert narrow.width < wide.width  # no maps


def test_heat() -> None:
    colours = heat(torch.tensor([[0, 1 / 3, 2 / 3, 1]]))
    assert colours.tolist() == [[[0, 0, 0], [255, 0, 0], [255, 255, 0], [255, 255, 255]]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--threshold", "1.5"], "--threshold is 1.5, it has to be a share from 0 to 1"),
        (["--threshold", "-1"], "--threshold is -1,"),
        (["--threshold", "nan"], "--threshold is nan,"),
        (["--scorer", "recon"], "unknown scorer 'recon'; did you mean 'reconstruction'"),
        (["--set", "scorer.norm=l3"], "scorer.norm is 'l3'"),
        (["--set", "objective.gamma=1"], "they are called scorer.NAME"),
        (["--set", "scorer"], "--set takes ROOM.NAME=VALUE, such as scorer.k=5"),
        (["--dataset", "mixture"], "has samples of shape (2,)"),
        (["missing.png"], "'missing.png' cannot be read as a picture"),
    ],
)
def test_bad_input(arguments: list[str], message: str, trained: Path, tmp_path: Path, ali: Ali,
                   monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    done = ali("score", trained, *arguments, "--out", "s.csv")
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert message in done.err
    assert not Path("s.csv").exists()


def test_a_model_that_does_not_know_its_data(trained: Path, tmp_path: Path, ali: Ali) -> None:
    """What is scored is not what it is compared with, wherever that can be told."""
    (tmp_path / "p").mkdir()
    for i in range(20):
        Image.fromarray(np.full((28, 28), 12 * i, np.uint8)).save(tmp_path / "p" / f"{i:02}.png")
    strange = ("--dataset", "image-folder", "--data-dir", tmp_path / "p", "--threshold", 0.99)
    assert ali("score", trained, *strange, "--out", tmp_path / "run.csv").code == 0  # a run knows
    limits = []
    for data in (strange, ("--threshold", 0.99)):
        limits.append(json.loads(ali("score", trained, *data, "--out", tmp_path / "a.csv", "--json").out)["limit"])
    assert limits[0] == limits[1]
    ALI.from_pretrained(trained).save_pretrained(tmp_path / "bare")
    config = json.loads((tmp_path / "bare" / "config.json").read_text())
    (tmp_path / "bare" / "config.json").write_text(json.dumps({**config, "architecture": None}))
    done = ali("score", tmp_path / "bare", tmp_path / "p", "--scorer", "latent", "--out", tmp_path / "s.csv")
    assert "does not say what it was trained on; name a --dataset" in done.err
    told = ali("score", tmp_path / "bare", tmp_path / "p", "--scorer", "latent", "--dataset", "fashion-mini",
               "--out", tmp_path / "s.csv")  # fmt: skip
    assert told.code == 0, told.err


def stripes(*, normal: tuple[str, ...] = (), strange: tuple[str, ...] = (), scorer: str = "brightness") -> Context:
    """The metric where a score tells what it shall."""

    def bright(model: ALI, x: Tensor, condition: Tensor | None) -> Tensor:
        return x[..., 3].flatten(1).mean(1)  # the column that is bright in class 3

    @hookimpl
    def register_scorers(register: Any) -> None:
        register(Scorer(name="brightness", build=lambda: bright))

    registry = build_registry((), [tiny, SimpleNamespace(__name__="bright", register_scorers=register_scorers)])
    model = ALI.from_architecture("tiny", registry=registry).eval()
    return Context(model, "stripes", registry=registry, normal=normal, strange=strange, scorer=scorer)


def anomaly(context: Context) -> dict[str, float]:
    return evaluate(context, ["anomaly"], context.registry)["anomaly"]


def test_the_metric_of_classes() -> None:
    assert anomaly(stripes(strange=("3",))) == {
        "auroc (brightness; 3)": 1.0,
        "average_precision (brightness; 3)": 1.0,
    }
    worst = anomaly(stripes(normal=("3",)))
    assert worst["auroc (brightness; not 3)"] == 0.0
    assert anomaly(stripes(strange=("0", "1", "2"))).popitem()[1] == worst.popitem()[1]
    fitted = anomaly(stripes(normal=("0", "1"), scorer="latent"))
    assert 0 <= fitted["auroc (latent; not 0, 1)"] <= 1


def test_the_metric_of_a_folder(trained: Path, tmp_path: Path, ali: Ali) -> None:
    (tmp_path / "noise").mkdir()
    random = np.random.default_rng(0)
    for i in range(9):
        Image.fromarray(random.integers(0, 256, (28, 28), np.uint8)).save(tmp_path / "noise" / f"{i}.png")
    command = ("evaluate", trained, "--metric", "anomaly", "--strange", tmp_path / "noise", "--scorer", "combined")
    found = json.loads(ali(*command, "--json").out)["metrics"]["anomaly"]
    assert len(found) == 2
    assert min(found.values()) > 0.95
    kept_figures = json.loads((trained / "evaluation.json").read_text())
    assert {row["figure"] for row in kept_figures} == set(found)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "has to know what is strange: say --strange CLASS"),
        (("--strange", "bag", "--normal", "shirt"), "has to know what is strange"),
        (("--strange", "bagg"), "has no class 'bagg', nor is there such a folder; did you mean 'bag'"),
        (("--normal", "x.png"), "has no class 'x.png'"),
        (("--strange", "bag", "--scorer", "nothing"), "unknown scorer 'nothing'"),
        (("--strange", "bag", "--set", "scorer.norm=2"), "scorer.norm is '2'"),
    ],
)
def test_the_metric_refuses(options: tuple[str, ...], message: str, trained: Path, ali: Ali) -> None:
    done = ali("evaluate", trained, "--metric", "anomaly", *options)
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert message in done.err


def test_the_metric_needs_both_sides() -> None:
    with pytest.raises(ALIError, match="all test samples are strange"):
        anomaly(stripes(strange=("0", "1", "2", "3")))


@pytest.fixture(autouse=True)
def same_start() -> None:
    torch.manual_seed(0)
