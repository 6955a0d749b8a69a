"""The kernel distance of features (Binkowski et al., 2018), which does not grow as the samples become fewer."""

from __future__ import annotations

from torch import Tensor

from ali_plugin.errors import DataError
from ali_plugin.evaluation.context import Context
from ali_plugin.evaluation.frechet import compared
from ali_plugin.support.extras import need

SUBSETS, SUBSET = 100, 1000  # random subsets on either side, and their size where there are so many samples


def kid(context: Context) -> dict[str, float]:
    """``distance`` of the model's samples to training samples, its ``stddev`` over random subsets, and the ``floor``,
    which test samples have: the squared maximum mean discrepancy of a cubic kernel, unbiased, by torch-fidelity.

    The features are those of metric ``frechet``, at most 5,000 on a side, and each figure's name ends in the
    extractor's. Real data are expected at 0; the estimate may be slightly below it.

    Raises:
        OptionError, DataError: too few samples.
        MissingExtra: torch-fidelity is not installed.
    """
    module = need("torch_fidelity.metric_kid", "metric 'kid'", "eval")
    sides = compared(context, "kid")
    train, subset = sides.train.first, min(SUBSET, len(sides.fake.first))
    if len(train) < subset:
        raise DataError(f"metric 'kid' needs at least {subset} training samples, there are {len(train)}")

    def distance(features: Tensor) -> tuple[float, float]:
        found = module.kid_features_to_metric(
            features, train, kid_subsets=SUBSETS, kid_subset_size=subset, rng_seed=context.seed % 2**32, verbose=False
        )
        return found[module.KEY_METRIC_KID_MEAN], found[module.KEY_METRIC_KID_STD]

    mean, stddev = distance(sides.fake.first)
    figures = {"distance": mean, "stddev": stddev, "floor": distance(sides.test.first)[0]}
    return {f"{name} ({sides.extractor.name})": value for name, value in figures.items()}
