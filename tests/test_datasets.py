"""Data: the embedded subset, real IDX files, real picture files, and what goes wrong with them."""

from __future__ import annotations

import hashlib
import struct
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ali_plugin import ALIError
from ali_plugin.datasets import load_split
from ali_plugin.datasets.split import SPLITS, DataSplit, Split
from conftest import TINY, Ali


def load(name: str, split: Split, folder: Path | None = None, shape: tuple[int, ...] = (1, 28, 28)) -> DataSplit:
    return load_split(name, split, data_dir=folder, data_shape=shape)


def test_embedded_pictures_are_balanced_real_and_small() -> None:
    train, validation, test = (load("fashion-mini", split) for split in SPLITS)
    assert train.data.shape == (2000, 1, 28, 28)
    assert validation.data.shape == test.data.shape == (500, 1, 28, 28)
    for split, of_each in ((train, 200), (validation, 50), (test, 50)):
        assert split.labels is not None
        assert np.bincount(split.labels).tolist() == [of_each] * 10
    digests = {hashlib.sha256(picture.tobytes()).digest() for picture in (*train.data, *validation.data, *test.data)}
    assert len(digests) == 3000  # no picture is in two
    folder = files("ali_plugin.datasets") / "data"
    assert sum(len(path.read_bytes()) for path in folder.iterdir()) < 3_000_000
    assert "Zalando SE" in (folder / "LICENSE-fashion-mnist").read_text()


def write_idx(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


def write_mnist_format(folder: Path, train: int = 60, test: int = 20) -> np.ndarray:
    pictures = np.random.default_rng(0).integers(0, 256, (train + test, 28, 28), dtype=np.uint8)
    labels = np.arange(train + test) % 10
    write_idx(folder / "train-images-idx3-ubyte", pictures[:train])
    write_idx(folder / "train-labels-idx1-ubyte", labels[:train])
    write_idx(folder / "t10k-images-idx3-ubyte", pictures[train:])
    write_idx(folder / "t10k-labels-idx1-ubyte", labels[train:])
    return pictures


def test_complete_set_from_its_own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ali_plugin.datasets.torchvision_sets.HELD_OUT", 10)
    pictures = write_mnist_format(tmp_path / "FashionMNIST" / "raw")
    train, validation, test = (load("fashion-mnist", split, tmp_path) for split in ("train", "validation", "test"))
    assert (len(train), len(validation), len(test)) == (50, 10, 20)
    assert np.array_equal(train.data[:, 0], pictures[:50])
    assert np.array_equal(validation.data[:, 0], pictures[50:60])
    assert np.array_equal(test.data[:, 0], pictures[60:])
    assert validation.labels is not None
    assert validation.labels.tolist() == [i % 10 for i in range(50, 60)]


def test_missing_files_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise RuntimeError("Error downloading train-images-idx3-ubyte.gz:\nTried http://mirror, got:\nno route\n")

    monkeypatch.setattr("torchvision.datasets.mnist.download_and_extract_archive", unreachable)
    with pytest.raises(ALIError, match=r"ubyte.gz\); put train-images-idx3-ubyte.*FashionMNIST/raw.*--data-dir"):
        load("fashion-mnist", "train", tmp_path)


def test_damaged_files(tmp_path: Path) -> None:
    write_mnist_format(tmp_path / "FashionMNIST" / "raw")
    path = tmp_path / "FashionMNIST" / "raw" / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(ALIError, match="cannot be read"):
        load("fashion-mnist", "train", tmp_path)


def paint(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (40, 30)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def test_own_pictures_with_classes(tmp_path: Path) -> None:
    for i in range(10):
        paint(tmp_path / "red" / f"{i}.png", (255, 0, 0))
        paint(tmp_path / "blue" / "deeper" / f"{i}.JPG", (0, 0, 255), (30, 60))
    train, test = (load("image-folder", split, tmp_path, (3, 32, 32)) for split in ("train", "test"))
    assert train.data.shape == (16, 3, 32, 32)
    assert test.data.shape == (2, 3, 32, 32)
    assert train.classes == ("blue", "red")
    assert train.labels is not None
    for picture, label in zip(train.data, train.labels, strict=True):
        assert picture[2 if label == 0 else 0].min() > 250
        assert picture[1].max() < 5


def test_own_pictures_without_classes_in_grey(tmp_path: Path) -> None:
    for i in range(4):
        paint(tmp_path / f"{i}.png", (10 * i, 10 * i, 10 * i))
    splits = [load("image-folder", split, tmp_path) for split in ("train", "validation", "test")]
    assert [len(split) for split in splits] == [2, 1, 1]
    assert all(split.labels is None for split in splits)
    assert sorted(int(picture.mean()) for split in splits for picture in split.data) == [0, 10, 20, 30]


def test_crop_keeps_the_middle(tmp_path: Path) -> None:
    picture = Image.new("L", (60, 20), 0)
    picture.paste(255, (20, 0, 40, 20))  # the middle third is white
    for i in range(2):
        picture.save(tmp_path / f"{i}.png")
    assert load("image-folder", "train", tmp_path, (1, 20, 20)).data.min() > 250


def test_unreadable_pictures_are_counted_and_named(tmp_path: Path, ali: Ali) -> None:
    for i in range(30):
        paint(tmp_path / "pictures" / f"{i:02}.png", (i, i, i))
    (tmp_path / "pictures" / "05.png").write_bytes(b"no picture")
    whole = (tmp_path / "pictures" / "06.png").read_bytes()
    (tmp_path / "pictures" / "06.png").write_bytes(whole[: len(whole) // 2])
    arguments = ("--arch", "fashion", "--dataset", "image-folder", "--data-dir", tmp_path / "pictures", *TINY)
    result = ali("train", *arguments, "--steps", 1, "--out", tmp_path / "run")
    assert result.code == 0, result.err
    assert "2 pictures could not be read and are left out" in result.err
    assert "05.png" in result.err
    assert "06.png" in result.err


def test_no_picture_can_be_read(tmp_path: Path, ali: Ali) -> None:
    for i in range(3):
        (tmp_path / f"{i}.png").write_bytes(b"no picture")
    result = ali("train", "--dataset", "image-folder", "--data-dir", tmp_path, "--out", tmp_path / "run")
    assert result.code == 1
    assert "none of the 3 pictures" in result.err


def test_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(ALIError, match="has no pictures"):
        load("image-folder", "train", tmp_path)
