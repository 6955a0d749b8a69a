"""Architectures that leave the shape of their data open: who decides it, where it is kept, what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import open_plugin
import tiny
from ali_plugin import ALI, Architecture, TrainingDefaults
from ali_plugin.bench.bench import bench
from ali_plugin.config import shapes
from ali_plugin.errors import ALIError, OptionError, PartMismatch
from ali_plugin.testing import ARCHITECTURE_CHECKS
from ali_registry import InvalidRecord, Registry, build_registry, default_registry
from conftest import Ali, Result


@pytest.fixture
def registry() -> Registry:
    return build_registry(plugins=[tiny, open_plugin])


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    open_plugin.installed(tmp_path / "site", monkeypatch)
    yield
    default_registry.cache_clear()


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Colour pictures of 40 x 30 pixels."""
    generator = np.random.default_rng(0)
    for i in range(24):
        path = tmp_path / "pictures" / f"{i:02}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (30, 40, 3), dtype=np.uint8)).save(path)
    return tmp_path / "pictures"


SHORT = ("--steps", 2, "--batch-size", 4, "--device", "cpu")


def train(ali: Ali, out: Path, *more: object) -> Result:
    return ali("train", "-q", *SHORT, "--out", out, *more)


def kept(out: Path) -> tuple[object, ...]:
    """The size in train_config.json, and the shape in config.json."""
    run, model = (json.loads((out / name).read_text()) for name in ("train_config.json", "config.json"))
    return run["image_size"], run["channels"], tuple(model["data_shape"])


@pytest.mark.parametrize(
    ("said", "size"),
    [
        ("16", 16),
        ("16x16", 16),
        (" 48 x 64 ", "48x64"),
        ("48X64", "48x64"),
        ("48\u00d764", "48x64"),
        (64, 64),
    ],
)
def test_a_size_is_said_in_one_way(said: object, size: object) -> None:
    assert shapes.image_size(said) == size


@pytest.mark.parametrize(
    "said", ["", "0", "-4", "64x", "x64", "64x0", "64.5", "1e3", "64x64x3", "9" * 5000, True, "64 64"]
)
def test_what_is_no_size(said: object) -> None:
    with pytest.raises(OptionError, match="--image-size is ") as error:
        shapes.image_size(said)
    assert len(str(error.value)) < 200


def test_from_python(registry: Registry) -> None:
    model = ALI.from_architecture("open", data_shape=(3, 8, 6), registry=registry)
    assert model.config.data_shape == (3, 8, 6)
    assert model.sample(2).shape == (2, 3, 8, 6)
    with pytest.raises(PartMismatch, match=r"any x any x any; say which, such as data_shape=\(3, 64, 64\)"):
        ALI.from_architecture("open", registry=registry)
    for wrong in ((3, 8), (3, 8, 6, 1), "3x8x6", 8):
        with pytest.raises(PartMismatch, match="any x any x any, not of shape"):
            ALI.from_architecture("open", data_shape=wrong, registry=registry)
    with pytest.raises(PartMismatch, match="1 x any x any, not of shape"):
        ALI.from_architecture("open-grey", data_shape=(3, 8, 8), registry=registry)
    with pytest.raises(PartMismatch, match=r"of 1x4x4, not of shape \(1, 8, 8\)"):
        ALI.from_architecture("tiny", data_shape=(1, 8, 8), registry=registry)
    for absurd in ((3, 0, 8), (3, 10**9, 8), (True, 8, 8), (3, 8.0, 8)):
        with pytest.raises(ALIError, match="data_shape is "):
            ALI.from_architecture("open", data_shape=absurd, registry=registry)  # type: ignore[arg-type, unused-ignore]
    assert ALI.from_architecture("tiny", data_shape=[1, 4, 4], registry=registry).config.data_shape == (1, 4, 4)


def test_a_model_comes_back_with_its_shape(registry: Registry, tmp_path: Path) -> None:
    model = ALI.from_architecture("open", data_shape=(1, 6, 8), registry=registry)
    model.save_pretrained(tmp_path)
    assert ALI.from_pretrained(tmp_path, registry=registry).config == model.config


@pytest.mark.parametrize("name", ["open", "open-grey", "open-even", "open-points"])
def test_the_kit_tries_an_open_architecture(name: str, registry: Registry) -> None:
    for what, check in ARCHITECTURE_CHECKS.items():
        if what != "gpu" or torch.cuda.is_available():
            check(name, registry)


@pytest.mark.slow
def test_the_bench_takes_a_shape(installed: None) -> None:
    result = bench("open", torch.device("cpu"), data_shape=(1, 16, 24), batch_size=2, repeats=1)
    assert result.data_shape == (1, 16, 24)
    assert result.peak_memory_bytes >= 0


def test_records_say_what_is_open() -> None:
    record: dict[str, Any] = {"encoder": "a", "decoder": "a", "discriminator": "a", "latent_size": 2,
                              "training": TrainingDefaults(dataset="mixture")}  # fmt: skip
    odd: tuple[Any, ...] = ((), (0, None), ("any",), [None], None)
    odd_sides: tuple[Any, ...] = ((0,), 16, ("16",))
    for shape in odd:
        with pytest.raises(InvalidRecord, match="data_shape"):
            Architecture(name="odd", data_shape=shape, **record)
    for sides in odd_sides:
        with pytest.raises(InvalidRecord, match="sides"):
            Architecture(name="odd", data_shape=(3, None, None), sides=sides, **record)


def test_show(installed: None, ali: Ali) -> None:
    shown = ali("show", "open")
    assert "data any x any x any, latent 3" in shown.out
    assert "below for data of 3x64x64" in shown.out
    other = json.loads(ali("show", "open", "--image-size", "16x24", "--channels", 1, "--json").out)
    assert (other["data_shape"], other["shown_for"]) == ([None, None, None], [1, 16, 24])
    assert other["parameters"]["discriminator"] == (16 * 24 + tiny.LATENT + 1) * 6 + 7
    assert "below for" not in ali("show", "fashion", "--image-size", 28).out
    for words, said in (
        (["open-even", "--image-size", 17], "take 16 or 18"),
        (
            ["fashion", "--image-size", 32],
            "--image-size is 32x32, but architecture 'fashion' is for data of shape 1x28x28",
        ),
        (["fashion", "--channels", 3], "--channels is 3, but architecture 'fashion'"),
        (["fashion-mini", "--image-size", 28], "'fashion-mini' is no architecture"),
        (["open", "--channels", 2], "--channels is 2, it has to be 1 (grey) or 3 (colour)"),
        (["open-points", "--image-size", 8], "--image-size is for pictures"),
    ):
        refused = ali("show", *words)
        assert (refused.code, refused.out) == (1, "")
        assert said in refused.err
        assert refused.err.count("\n") == 1


def test_a_run_keeps_what_was_said(installed: None, ali: Ali, pictures: Path, tmp_path: Path) -> None:
    data = ("--arch", "open", "--dataset", "image-folder", "--data-dir", pictures)
    assert train(ali, tmp_path / "a", *data, "--image-size", "8x12", "--channels", 1).code == 0
    assert kept(tmp_path / "a") == ("8x12", 1, (1, 8, 12))
    again = ("train", "-q", "--resume", "--out", tmp_path / "a", "--steps")
    assert ali(*again, 3).code == 0
    assert ali(*again, 4, "--image-size", "8x12", "--channels", 1).code == 0
    for other, said in (
        (("--image-size", "12x8"), "the run was started with image_size '8x12', not '12x8'"),
        (("--image-size", 8), "the run was started with image_size '8x12', not '8'"),
        (("--channels", 3), "the run was started with channels 1, not 3"),
        (("--image-size", "none"), "--image-size is 'none', it has to be"),
    ):
        refused = ali(*again, 5, *other)
        assert refused.code == 1
        assert said in refused.err
    assert kept(tmp_path / "a") == ("8x12", 1, (1, 8, 12))
    for command in (["reconstruct", tmp_path / "a", "--out", tmp_path / "r.png"], ["evaluate", tmp_path / "a"]):
        assert ali(*command).code == 0, command
    fixed = train(ali, tmp_path / "b", "--arch", "open", "--config", tmp_path / "a" / "train_config.json")
    assert fixed.code == 0
    assert kept(tmp_path / "b") == kept(tmp_path / "a")


def test_the_data_decide(installed: None, ali: Ali, tmp_path: Path) -> None:
    assert train(ali, tmp_path / "a", "--arch", "open", "--dataset", "fashion-mini").code == 0
    assert kept(tmp_path / "a") == (28, 1, (1, 28, 28))
    assert train(ali, tmp_path / "b", "--arch", "open-points").code == 0
    assert kept(tmp_path / "b") == (None, None, (2,))
    assert train(ali, tmp_path / "c", "--arch", "open", "--dataset", "stripes", "--image-size", 4).code == 0
    assert kept(tmp_path / "c") == (4, 1, tiny.SHAPE)


def test_a_fixed_shape_may_be_said(ali: Ali, tmp_path: Path) -> None:
    assert train(ali, tmp_path / "a", "--image-size", 28, "--channels", 1).code == 0
    assert kept(tmp_path / "a") == (None, None, (1, 28, 28))
    again = ("train", "-q", "--resume", "--out", tmp_path / "a", "--steps", 3, "--image-size")
    assert ali(*again, "28x28").code == 0
    assert "the run was started with image_size 28, not '32'" in ali(*again, "32").err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--arch", "fashion", "--image-size", 32], "--image-size is 32x32, but architecture 'fashion' is for data of "
         "shape 1x28x28; leave it out, or take an --arch that is for any size"),
        (["--arch", "svhn", "--channels", 1], "--channels is 1, but architecture 'svhn' is for data of shape 3x32x32"),
        (["--arch", "mixture", "--image-size", 2], "--image-size is for pictures"),
        (["--arch", "open", "--dataset", "fashion-mini", "--image-size", 32], "--image-size is 32x32, but dataset "
         "'fashion-mini' has samples of shape 1x28x28; leave it out"),
        (["--arch", "open-grey", "--dataset", "cifar10"], "dataset 'cifar10' has samples of shape 3x32x32, but "
         "architecture 'open-grey' is for data of shape 1 x any x any"),
        (["--arch", "open", "--dataset", "mixture"], "dataset 'mixture' has samples of shape 2, but"),
        (["--arch", "open", "--dataset", "celeba"], "dataset 'celeba' has no size of its own; say --image-size"),
        (["--arch", "open", "--dataset", "celeba", "--image-size", "99999"], "sides are from 1 to 65536"),
        (["--arch", "open", "--image-size", "60000"], "data_shape"),
        (["--arch", "open", "--channels", 4], "--channels is 4, it has to be 1 (grey) or 3 (colour)"),
        (["--arch", "open-even", "--image-size", "17"], "the even nets take no side of 17; take 16 or 18"),
    ],
)  # fmt: skip
def test_what_contradicts_is_one_line(
    words: list[object], said: str, installed: None, ali: Ali, pictures: Path, tmp_path: Path
) -> None:
    for dry in ((), ("--dry-run",)):
        result = train(ali, tmp_path / "run", "--data-dir", pictures, *words, *dry)
        assert (result.code, result.out) == (1, "")
        assert said in result.err
        assert result.err.count("\n") == 1
    assert not (tmp_path / "run").exists()
