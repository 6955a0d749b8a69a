"""scikit-learn's small tables, which come inside the package: standardised, with fixed splits."""

from __future__ import annotations

from typing import Any

import numpy as np

from ali_plugin.datasets.split import SPLITS, DataSplit, Split
from ali_plugin.support.extras import need

SHARES = (0.6, 0.1, 0.3)  # of each class: training, validation, test
SEED = 1936


def table(name: str, load: str, split: Split) -> DataSplit:
    """Rows (N, features), float32, each feature less the training rows' mean and by their deviation.

    Args:
        load: name of the function of ``sklearn.datasets``.

    Raises:
        MissingExtra: scikit-learn is not installed.
    """
    whole: Any = getattr(need("sklearn.datasets", f"dataset {name!r}", "eval"), load)()
    labels = whole.target.astype(np.int64)
    random = np.random.default_rng(SEED)
    rows: dict[Split, list[Any]] = {part: [] for part in SPLITS}
    for number in range(labels.max() + 1):
        own = random.permutation(np.flatnonzero(labels == number))
        ends = np.round(np.cumsum(SHARES)[:-1] * len(own)).astype(int)
        for part, chosen in zip(SPLITS, np.split(own, ends), strict=True):
            rows[part].append(chosen)
    train = whole.data[np.concatenate(rows["train"])]
    deviation = train.std(0)
    chosen = np.sort(np.concatenate(rows[split]))
    data = (whole.data[chosen] - train.mean(0)) / np.where(deviation > 0, deviation, 1.0)
    return DataSplit(data.astype(np.float32), labels[chosen], tuple(str(one) for one in whole.target_names))


def breast_cancer(split: Split, **_: Any) -> DataSplit:
    """Breast cancer Wisconsin (Wolberg et al., 1995): 569 rows, 30 features, malignant or benign."""
    return table("breast-cancer", "load_breast_cancer", split)


def digits(split: Split, **_: Any) -> DataSplit:
    """Optical digits (Alpaydin and Kaynak, 1998): 1,797 rows, 8x8 counts as 64 features."""
    return table("digits", "load_digits", split)


def iris(split: Split, **_: Any) -> DataSplit:
    """Iris (Fisher, 1936): 150 rows, 4 features, three species."""
    return table("iris", "load_iris", split)


def wine(split: Split, **_: Any) -> DataSplit:
    """Wine (Aeberhard and Forina, 1991): 178 rows, 13 features, three cultivars."""
    return table("wine", "load_wine", split)
