"""What codes and encoder features know about the labels, beside what the data themselves say."""

from __future__ import annotations

import numpy as np

from ali_plugin.errors import DataError, OptionError
from ali_plugin.evaluation.baselines import baselines
from ali_plugin.evaluation.classes import accuracies
from ali_plugin.evaluation.context import Context
from ali_plugin.evaluation.features import encoder_features, standardise
from ali_plugin.evaluation.linear import L2SVM
from ali_plugin.support.extras import need


def representation(context: Context) -> dict[str, float]:
    """``of_encoder``, and the figures of ``baselines`` with ``_raw`` and ``_pca`` at the end of their names.

    Raises:
        ALIError: see there.
    """
    found = of_encoder(context)
    for name, figures in baselines(context).items():
        found |= {f"{figure}_{name}": value for figure, value in figures.items()}
    return found


def of_encoder(context: Context) -> dict[str, float]:
    """Figures on test samples, from training samples; codes are posterior means, features see ``features.py``.

    ``l2_svm_error_N`` and its deviation over random sets of N labels follow the paper (section 4.2); for the rest see
    ``accuracies``, once of codes and once of ``features``.

    Raises:
        DataError: the dataset has no class labels.
        OptionError: more labels than there are, or fewer than classes.
        MissingExtra: scikit-learn is not installed.
    """
    need("sklearn", "metric 'representation'", "eval")
    labels, test_labels = context.class_labels("train"), context.class_labels("test")
    if len(np.unique(labels)) < 2:
        raise DataError(f"dataset {context.dataset!r} has one class only, which leaves nothing to tell apart")
    if context.label_sets < 1:
        raise OptionError(f"--label-sets is {context.label_sets}, at least 1")
    train, test = encoder_features(context, "train"), encoder_features(context, "test")
    size = context.model.config.latent_size
    codes, test_codes = np.array(train[:, -size:]), np.array(test[:, -size:])
    standardise(train, test)
    figures: dict[str, float] = {}
    for count in context.labels or (None,):
        figures |= L2SVM(train, labels, count, context.seed).figures(context.label_sets, test, test_labels)
    figures |= accuracies(codes, labels, test_codes, test_labels, context.seed)
    of_features = accuracies(train, labels, test, test_labels, context.seed)
    figures |= {f"{name}_features": value for name, value in of_features.items()}
    return {**figures, "feature_size": float(train.shape[1])}
