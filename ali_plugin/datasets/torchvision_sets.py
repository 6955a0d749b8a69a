"""Published sets through torchvision's own loaders, which check each file's digest before they read it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ali_plugin.datasets.cache import decoded
from ali_plugin.datasets.split import DataSplit, Split
from ali_plugin.errors import DataError, MissingExtra
from ali_plugin.support import dry_run

HELD_OUT = 5000  # of the training images, for validation: CIFAR-10 45,000/5,000, (Fashion-)MNIST 55,000/5,000
FASHION_CLASSES = (
    "T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip
CELEBA_PICTURES = "img_align_celeba"
MAX_IDX_BYTES = 16 + 60_000 * 28 * 28
IDX_FILES = "train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte"


def found(name: str, make: Callable[..., Any], root: Path, advice: str, **options: Any) -> Any:
    """A torchvision dataset, downloaded where it is not there.

    Raises:
        DataError: it is not there and cannot be downloaded, or is damaged; the text says what belongs where.
        MissingExtra: reading or downloading it needs a package that is not installed.
    """
    try:
        try:
            return make(str(root), **options)
        except RuntimeError:  # torchvision's "Dataset not found"
            if dry_run.active.get():
                raise
            return make(str(root), download=True, **options)
    except ModuleNotFoundError as error:
        raise MissingExtra(f"dataset {name!r} needs {error.name}: pip install 'ali-plugin[data]'") from error
    except Exception as error:  # torchvision raises what its parsers meet: ValueError, AssertionError, ...
        what = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(":")
        raise DataError(
            f"{name} cannot be read or downloaded ({what}); put {advice}, or name another folder with --data-dir"
        ) from error


def fashion_mnist(split: Split, data_dir: Path | None = None, **_: Any) -> DataSplit:
    """Fashion-MNIST (Xiao et al., 2017): 55,000 / 5,000 / 10,000 images, 1x28x28, from IDX files."""
    from torchvision.datasets import FashionMNIST

    return _idx("fashion-mnist", FashionMNIST, split, data_dir, FASHION_CLASSES)


def mnist(split: Split, data_dir: Path | None = None, **_: Any) -> DataSplit:
    """MNIST: 55,000 / 5,000 / 10,000 images, 1x28x28, from IDX files."""
    from torchvision.datasets import MNIST

    return _idx("mnist", MNIST, split, data_dir, tuple("0123456789"))


def _idx(name: str, make: Any, split: Split, data_dir: Path | None, classes: tuple[str, ...]) -> DataSplit:
    root = data_dir or Path("data")
    advice = f"{IDX_FILES} into {root / make.__name__ / 'raw'}"
    for path in (root / make.__name__ / "raw").glob("*-ubyte"):  # torchvision reads them whole, whatever they are
        if path.is_file() and path.stat().st_size > MAX_IDX_BYTES:
            raise DataError(f"{str(path)!r} is larger than any file of {name}; put {advice}")
    whole = found(name, make, root, advice, train=split != "test")
    images, labels = whole.data.numpy()[:, None], whole.targets.numpy()  # (N, 1, 28, 28)
    return DataSplit(_part(images, split), _part(labels, split), classes)


def cifar10(split: Split, data_dir: Path | None = None, **_: Any) -> DataSplit:
    """CIFAR-10: 45,000 / 5,000 / 10,000 images, 3x32x32 (paper.md section 2: the split of train)."""
    from torchvision.datasets import CIFAR10

    root = data_dir or Path("data")
    advice = f"data_batch_1 to data_batch_5, test_batch and batches.meta into {root / CIFAR10.base_folder}"
    whole = found("cifar10", CIFAR10, root, advice, train=split != "test")
    images = np.ascontiguousarray(whole.data.transpose(0, 3, 1, 2))  # (N, 3, 32, 32)
    labels = np.array(whole.targets, np.int64)
    return DataSplit(_part(images, split), _part(labels, split), tuple(whole.classes))


def svhn(split: Split, data_dir: Path | None = None, **_: Any) -> DataSplit:
    """SVHN, 3x32x32: trained on `extra`, validated on `train` (paper.md section 2), tested on `test`."""
    from torchvision.datasets import SVHN

    root = data_dir or Path("data")
    part = {"train": "extra", "validation": "train", "test": "test"}[split]
    whole = found("svhn", SVHN, root, f"{part}_32x32.mat into {root}", split=part)
    return DataSplit(np.ascontiguousarray(whole.data), whole.labels, tuple("0123456789"))


def celeba(split: Split, data_dir: Path | None = None, data_shape: tuple[int, ...] = (), **_: Any) -> DataSplit:
    """CelebA, 40 binary attributes, resized by the shorter side and centre-cropped; decoded into the cache."""
    from torchvision.datasets import CelebA

    root = data_dir or Path("data")
    folder = root / CelebA.base_folder
    advice = f"img_align_celeba/*.jpg and the list_*.txt and identity_CelebA.txt files into {folder}"
    part = {"train": "train", "validation": "valid", "test": "test"}[split]
    whole = found("celeba", CelebA, root, advice, split=part)
    there = set(os.listdir(place)) if (place := folder / CELEBA_PICTURES).is_dir() else set[str]()
    if missing := [name for name in whole.filename if name not in there]:
        raise DataError(f"celeba lacks {len(missing)} of its pictures, such as {place / missing[0]}")
    pictures = decoded(folder, [f"{CELEBA_PICTURES}/{name}" for name in whole.filename], data_shape, f"celeba-{part}")
    labels = whole.attr.numpy().astype(np.int64)[pictures.kept]
    names = tuple(name for name in whole.attr_names if name)
    notes = pictures.notes
    files_of = tuple(whole.filename)
    return DataSplit(pictures.data, labels, names, notes, files=files_of, digest=pictures.digest)


def _part(array: Any, split: Split) -> Any:
    """The training or validation part of a training set; the whole of a test set."""
    if split == "train":
        return array[:-HELD_OUT]
    return array[-HELD_OUT:] if split == "validation" else array
