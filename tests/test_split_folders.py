"""Folders of splits: train, val and test beside each other are taken as they are."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from ali_plugin.datasets import load_split
from ali_plugin.datasets.split import SPLITS, DataSplit
from ali_plugin.errors import DataError

SHAPE = (1, 8, 8)


def paint(folder: Path, *names: str, ink: int = 90) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), ink).save(folder / name)


def splits(folder: Path) -> list[DataSplit]:
    """Train, validation, test."""
    return [load_split("image-folder", name, data_dir=folder, data_shape=SHAPE) for name in SPLITS]


def several(folder: str, count: int) -> list[str]:
    return [f"{folder}/{i}.png" for i in range(count)]


@pytest.mark.parametrize(
    "names", [("train", "val", "test"), ("Train", "Valid", "TEST"), ("training", "validation", "testing")]
)
@pytest.mark.parametrize("above", ["", "set/pictures/"])
def test_folders_are_taken_as_splits(names: tuple[str, ...], above: str, tmp_path: Path) -> None:
    for ink, (name, count) in enumerate(zip(names, (9, 4, 2), strict=True)):
        paint(tmp_path, *several(above + name, count), ink=50 * ink)
    for ink, (name, split) in enumerate(zip(names, splits(tmp_path), strict=True)):
        assert set(split.names) == set(several(above + name, (9, 4, 2)[ink]))
        assert set(split.data.flatten().tolist()) == {50 * ink}
        assert split.labels is None
        assert "folders are taken as splits, 9 for train, 4 for validation, 2 for test" in split.notes


def test_classes_are_below_the_splits(tmp_path: Path) -> None:
    """Numbered over all splits, so that a class that one lacks does not move the others."""
    paint(tmp_path, *several("train/ant", 4), *several("train/cat", 4), *several("val/cat", 2), *several("test/cat", 3))
    paint(tmp_path, *several("test/bee/deep/down", 2))
    train, validation, test = splits(tmp_path)
    assert train.classes == validation.classes == test.classes == ("ant", "bee", "cat")
    for split in (train, validation, test):
        assert split.labels is not None
        assert [split.classes[i] for i in split.labels] == [name.split("/")[1] for name in split.names]
        assert "classes without a picture to train on: 1 (bee)" in split.notes


def test_a_test_set_without_classes(tmp_path: Path) -> None:
    paint(tmp_path, *several("train/ant", 4), *several("train/cat", 4), *several("val/cat", 2), *several("test", 3))
    train, validation, test = splits(tmp_path)
    assert train.labels is not None
    assert validation.labels is not None
    assert test.labels is None


@pytest.mark.parametrize(("there", "missing"), [("val", 2), ("test", 1)])
def test_what_is_missing_is_drawn_from_train(there: str, missing: int, tmp_path: Path) -> None:
    paint(tmp_path, *several("train/ant", 40), *several("train/cat", 20), *several(f"{there}/ant", 5))
    found = splits(tmp_path)
    train, drawn, own = (set(found[i].names) for i in (0, missing, 3 - missing))
    assert own == set(several(f"{there}/ant", 5))
    assert train | drawn == {*several("train/ant", 40), *several("train/cat", 20)}
    assert not train & drawn
    assert (len(drawn), sum("cat" in name for name in drawn)) == (3, 1)
    assert any(f"{SPLITS[missing]} is drawn from train" in note for note in found[0].notes)


def test_pictures_outside_of_the_splits_are_passed_over(tmp_path: Path) -> None:
    paint(tmp_path, *several("train", 5), *several("test", 5), "cover.png", "unlabelled/1.png")
    found = splits(tmp_path)
    assert not {"cover.png", "unlabelled/1.png"} & {name for split in found for name in split.names}
    assert any("folders of the splits: 2 (cover.png; unlabelled/1.png)" in note for note in found[0].notes)


@pytest.mark.parametrize("names", [("train", "bus", "car"), ("train",), ("val", "test"), ("a", "train.d")])
def test_other_folders_are_classes(names: tuple[str, ...], tmp_path: Path) -> None:
    """A train may be one that runs on rails."""
    for name in names:
        paint(tmp_path, *several(name, 10))
    assert all(split.classes == tuple(sorted(names)) for split in splits(tmp_path))
    assert sum(len(split) for split in splits(tmp_path)) == 10 * len(names)


@pytest.mark.parametrize("above", ["train/", "all/pictures/", "test/Train/", "train/images/"])
def test_a_folder_that_holds_all_others_is_no_class(above: str, tmp_path: Path) -> None:
    """Such as a train whose val is empty, what an archive was unpacked into, or a folder of each split's pictures."""
    paint(tmp_path, *several(f"{above}ant", 20), *several(f"{above}cat/deep", 20))
    (tmp_path / "val").mkdir()
    if above.endswith("images/"):
        paint(tmp_path, *several("test/images/cat", 3))
    for split in splits(tmp_path):
        assert split.classes == ("ant", "cat")
        assert split.labels is not None
        assert ["cat" in name for name in split.names] == split.labels.tolist()


def test_a_split_whose_pictures_cannot_be_read(tmp_path: Path) -> None:
    paint(tmp_path, *several("train", 8), *several("test", 3))
    (tmp_path / "val").mkdir()
    (tmp_path / "val" / "a.png").write_bytes(b"no picture")
    assert [len(split) for split in splits(tmp_path)] == [6, 2, 3]
    for path in (tmp_path / "train").iterdir():
        path.write_bytes(b"no picture")
    with pytest.raises(DataError, match="no picture of the folder train"):
        splits(tmp_path)


@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_pictures_to_train_on(count: int, tmp_path: Path) -> None:
    paint(tmp_path, *several("train", count), *several("val", 3))
    assert [len(split) for split in splits(tmp_path)] == [1, 3, 1]
