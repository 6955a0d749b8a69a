"""The published sets, read by torchvision's own loaders from small files in each set's on-disk format.

torchvision checks digests before it reads; the tests put those of their small files in the place of the
published ones, so that the check itself stays in force.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torchvision.datasets as published
from PIL import Image
from scipy.io import savemat

from ali_plugin import ALIError
from ali_plugin.datasets import load_split
from ali_plugin.datasets.cache import cache_root
from ali_plugin.datasets.mixture import MEANS
from ali_plugin.datasets.split import DataSplit, Split

RANDOM = np.random.default_rng(0)


def load(name: str, split: Split, folder: Path | None = None, shape: tuple[int, ...] = (3, 32, 32)) -> DataSplit:
    return load_split(name, split, data_dir=folder, data_shape=shape)


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def write_cifar10(root: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Five batches and a test batch of 20 images each, pickled as the published ones are."""
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    pictures = RANDOM.integers(0, 256, (120, 3072), dtype=np.uint8)
    names = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
    for i, name in enumerate(names):
        rows = slice(20 * i, 20 * i + 20)
        content = {"data": pictures[rows], "labels": [j % 10 for j in range(20)]}
        (folder / name).write_bytes(pickle.dumps(content))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": [f"class{i}" for i in range(10)]}))
    cifar: Any = published.CIFAR10
    monkeypatch.setattr(cifar, "train_list", [[name, md5(folder / name)] for name in names[:5]])
    monkeypatch.setattr(cifar, "test_list", [["test_batch", md5(folder / "test_batch")]])
    monkeypatch.setattr(cifar, "meta", {**cifar.meta, "md5": md5(folder / "batches.meta")})
    monkeypatch.setattr("ali_plugin.datasets.torchvision_sets.HELD_OUT", 10)
    return pictures.reshape(120, 3, 32, 32)


def test_cifar10(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = write_cifar10(tmp_path, monkeypatch)
    train, validation, test = (load("cifar10", split, tmp_path) for split in ("train", "validation", "test"))
    assert (len(train), len(validation), len(test)) == (90, 10, 20)
    assert np.array_equal(train.data, pictures[:90])  # channels first, as in the file
    assert np.array_equal(validation.data, pictures[90:100])
    assert np.array_equal(test.data, pictures[100:])
    assert train.classes[3] == "class3"
    assert validation.labels is not None
    assert validation.labels.tolist() == list(range(10))


def test_held_out_parts_are_the_published_sizes() -> None:
    from ali_plugin.datasets.torchvision_sets import HELD_OUT

    assert 50_000 - HELD_OUT == 45_000


def test_altered_cifar10_is_never_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cifar10(tmp_path, monkeypatch)

    class Payload:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "executed"),)

    (tmp_path / "cifar-10-batches-py" / "data_batch_1").write_bytes(pickle.dumps(Payload()))
    forbid_downloads(monkeypatch)
    with pytest.raises(ALIError, match=r"cifar10 cannot be read or downloaded.*put data_batch_1"):
        load("cifar10", "train", tmp_path)
    assert not (tmp_path / "executed").exists()


def forbid_downloads(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr("torchvision.datasets.cifar.download_and_extract_archive", refuse)
    monkeypatch.setattr("torchvision.datasets.svhn.download_url", refuse)
    monkeypatch.setattr("torchvision.datasets.celeba.download_file_from_google_drive", refuse)


def test_svhn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lists: dict[str, list[str]] = {}
    pictures = {}
    for part, count in (("train", 20), ("extra", 30), ("test", 10)):
        pictures[part] = RANDOM.integers(0, 256, (32, 32, 3, count), dtype=np.uint8)
        path = tmp_path / f"{part}_32x32.mat"
        savemat(path, {"X": pictures[part], "y": np.arange(count)[:, None] % 10 + 1})
        lists[part] = ["", path.name, md5(path)]
    monkeypatch.setattr(published.SVHN, "split_list", lists)
    train, validation, test = (load("svhn", split, tmp_path) for split in ("train", "validation", "test"))
    assert (len(train), len(validation), len(test)) == (30, 20, 10)
    assert np.array_equal(train.data, pictures["extra"].transpose(3, 2, 0, 1))
    assert test.labels is not None
    assert test.labels.tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]  # the file's class 10 is the digit 0


ATTRIBUTES = [f"Attribute_{i}" for i in range(40)]


def write_celeba(root: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray[Any, Any]:
    folder = root / "celeba"
    (folder / "img_align_celeba").mkdir(parents=True)
    names = [f"{i:06}.jpg" for i in range(1, 13)]
    attributes = RANDOM.integers(0, 2, (12, 40)) * 2 - 1
    for i, name in enumerate(names):
        Image.new("RGB", (178, 218), (20 * i, 0, 255 - 20 * i)).save(folder / "img_align_celeba" / name, quality=95)

    def table(values: np.ndarray[Any, Any], header: str = "") -> str:
        rows = [f"{name} {' '.join(map(str, row))}" for name, row in zip(names, values, strict=True)]
        return header + "\n".join(rows) + "\n"

    (folder / "list_attr_celeba.txt").write_text(table(attributes, f"12\n{' '.join(ATTRIBUTES)}\n"))
    parts = np.array([[0]] * 8 + [[1]] * 2 + [[2]] * 2)
    (folder / "list_eval_partition.txt").write_text(table(parts))
    (folder / "identity_CelebA.txt").write_text(table(np.arange(12)[:, None]))
    (folder / "list_bbox_celeba.txt").write_text(table(np.ones((12, 4), int), "12\nimage_id x_1 y_1 width height\n"))
    landmarks = table(np.ones((12, 10), int), "12\nx y x y x y x y x y\n")
    (folder / "list_landmarks_align_celeba.txt").write_text(landmarks)
    celeba: Any = published.CelebA
    listed = [(a, md5(folder / name) if name.endswith(".txt") else b, name) for a, b, name in celeba.file_list]
    monkeypatch.setattr(celeba, "file_list", listed)
    return (attributes + 1) // 2


def test_celeba(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    attributes = write_celeba(tmp_path, monkeypatch)
    train, validation, test = (load("celeba", s, tmp_path, (3, 64, 64)) for s in ("train", "validation", "test"))
    assert (len(train), len(validation), len(test)) == (8, 2, 2)
    assert train.classes == tuple(ATTRIBUTES)
    assert train.labels is not None
    assert np.array_equal(train.labels, attributes[:8])
    assert isinstance(train.data, np.memmap)
    for i, picture in enumerate(train.data):
        assert abs(int(picture[0].mean()) - 20 * i) < 4
        assert abs(int(picture[2].mean()) - (255 - 20 * i)) < 4


def test_missing_celeba_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_celeba(tmp_path, monkeypatch)
    (tmp_path / "celeba" / "img_align_celeba" / "000003.jpg").unlink()
    with pytest.raises(ALIError, match="celeba lacks 1 of its pictures"):
        load("celeba", "train", tmp_path, (3, 64, 64))


@pytest.mark.parametrize("annotated", [True, False])
def test_tiny_imagenet(tmp_path: Path, annotated: bool) -> None:
    lines = []
    for c, name in enumerate(("n01", "n02")):
        inner = tmp_path / "train" / name / ("images" if annotated else "")
        inner.mkdir(parents=True)
        for i in range(3):
            Image.new("RGB", (80, 64), (100 * c, 9, 9)).save(inner / f"{name}_{i}.JPEG")
        held_out = tmp_path / "val" / ("images" if annotated else name)
        held_out.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 64), (100 * c, 9, 9)).save(held_out / f"val_{c}.JPEG")
        lines.append(f"val_{c}.JPEG\t{name}\t0\t0\t62\t62")
    if annotated:
        (tmp_path / "val" / "val_annotations.txt").write_text("\n".join(lines) + "\n")
    train, validation, test = (
        load("tiny-imagenet", split, tmp_path, (3, 64, 64)) for split in ("train", "validation", "test")
    )
    assert (len(train), len(validation), len(test)) == (5, 1, 2)
    for split in (train, validation, test):
        assert split.labels is not None
        for picture, label in zip(split.data, split.labels, strict=True):
            assert abs(int(picture[0].mean()) - 100 * int(label)) < 4


@pytest.mark.parametrize("name", ["cifar10", "svhn", "celeba", "fashion-mnist", "mnist", "tiny-imagenet"])
def test_folder_of_another_set(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "holiday.png")
    forbid_downloads(monkeypatch)
    monkeypatch.setattr("torchvision.datasets.mnist.download_and_extract_archive", lambda *_, **__: 1 / 0)
    shape = (1, 28, 28) if "mnist" in name else (3, 32, 32)
    with pytest.raises(ALIError, match=r"--data-dir"):
        load(name, "train", tmp_path, shape)
    assert "holiday.png" in {path.name for path in tmp_path.iterdir()}


def test_mixture() -> None:
    train = load("mixture", "train", shape=(2,))
    assert train.data.shape == (100_000, 2)
    assert train.labels is not None
    assert np.array_equal(load("mixture", "train", shape=(2,)).data, train.data)
    counts = np.bincount(train.labels)
    assert len(counts) == 25
    assert counts.min() > 3700
    assert sorted(map(tuple, MEANS)) == sorted((x, y) for x in (-4, -2, 0, 2, 4) for y in (-4, -2, 0, 2, 4))
    deviations = train.data - MEANS[train.labels]
    assert deviations.std() == pytest.approx(0.05, rel=0.01)


def pictures(folder: Path, count: int = 5) -> Path:
    folder.mkdir()
    for i in range(count):
        Image.new("L", (40, 40), 10 * i).save(folder / f"{i}.png")
    return folder


def caches() -> set[Path]:
    return {path for path in cache_root().iterdir() if not path.name.startswith(".")}


def test_cache_is_used_and_rebuilt_when_the_source_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALI_CACHE", str(tmp_path / "cache"))
    folder = pictures(tmp_path / "p")
    first = load("image-folder", "train", folder, (1, 8, 8)).data.copy()
    (built,) = caches()
    monkeypatch.setattr("ali_plugin.pictures.decode.read_image", lambda *_: 1 / 0)  # nothing is decoded again
    assert np.array_equal(load("image-folder", "train", folder, (1, 8, 8)).data, first)
    monkeypatch.undo()
    monkeypatch.setenv("ALI_CACHE", str(tmp_path / "cache"))
    Image.new("L", (40, 40), 250).save(folder / "2.png")
    again = load("image-folder", "train", folder, (1, 8, 8)).data
    assert 250 in again.min((1, 2, 3)) or 250 in load("image-folder", "test", folder, (1, 8, 8)).data
    assert len(caches()) == 1  # the outdated one is gone
    assert caches() != {built}


def test_damaged_cache_is_built_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALI_CACHE", str(tmp_path / "cache"))
    folder = pictures(tmp_path / "p")
    first = load("image-folder", "train", folder, (1, 8, 8)).data.copy()
    (built,) = caches()
    whole = (built / "pictures.bin").read_bytes()
    for name, damaged in (
        ("pictures.bin", whole[:-7]),
        ("pictures.bin", bytes([whole[0] ^ 1]) + whole[1:]),
        ("manifest.json", b'{"files": 4'),
        ("manifest.json", b"[]"),
        ("manifest.json", b"[" * 100_000),
    ):
        (built / name).write_bytes(damaged)
        assert np.array_equal(load("image-folder", "train", folder, (1, 8, 8)).data, first)
        assert caches() == {built}
        assert (built / "pictures.bin").read_bytes() == whole


def test_interrupted_cache_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALI_CACHE", str(tmp_path / "cache"))
    folder = pictures(tmp_path / "p")

    def interrupt(*_: object) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("ali_plugin.datasets.cache.read_images", interrupt)
    with pytest.raises(KeyboardInterrupt):
        load("image-folder", "train", folder, (1, 8, 8))
    assert caches() == set()
