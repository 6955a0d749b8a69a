"""Linear classifiers on features: the paper's L2-SVM on few labels, and a probe on many."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ali_plugin.datasets.split import balanced_subset
from ali_plugin.errors import DataError
from ali_plugin.evaluation.features import Array
from ali_plugin.support.extras import need
from ali_plugin.support.progress import track

Labels = NDArray[np.int64]
HELD_OUT = 10_000  # training samples on which C is chosen, at most a fifth of them
PENALTIES = tuple(10.0**power for power in range(-2, 3))  # C, where a sample's mean squared norm is 1
CHOOSING_SETS = 3  # label sets that C is chosen with
PROBE_NUMBERS = 1 << 26  # of the probe's training matrix, which has to be in memory
SMALLEST = 10
USUAL = 1000  # labelled samples, where nobody says how many
ROWS = 2000
TOLERANCE = 1e-3
PROBE_ITERATIONS = 200


@dataclass(frozen=True)
class LabelSet:
    """A few labelled samples (N, D) in an orthonormal basis of their span.

    A norm-penalised linear classifier has its weights in the span, so that it is the same there and cheaper; the basis,
    which costs more than a classifier does, is found once for all values of C.

    Attributes:
        rows: (N, min(N, D)), of samples whose mean squared norm is 1.
        basis: (D, min(N, D)).
    """

    rows: NDArray[np.float64]
    basis: NDArray[np.float64]
    labels: Labels


class L2SVM:
    """The paper's protocol (section 4.2): a linear SVM with the squared hinge loss on random, class balanced sets
    of a few labelled training samples.

    Args:
        train: standardised features (N, D), of which some are held out to choose C.
        count: labelled samples in a set; the usual 1,000 if None, or as many as there are of each class.

    Raises:
        DataError: too few samples to hold some out, or none of a class are left to draw from.
    """

    def __init__(self, train: Array, labels: Labels, count: int | None, seed: int) -> None:
        self.svm = need("sklearn.svm", "the L2-SVM", "eval")
        if len(train) < SMALLEST:
            raise DataError(f"the L2-SVM needs at least {SMALLEST} training samples, there are {len(train)}")
        self.train, self.labels, self.seed = train, labels, seed
        order = np.random.default_rng([seed, 0]).permutation(len(train))
        self.held_out, self.pool = np.split(order, [min(HELD_OUT, len(train) // 5)])
        self.count = self._usual() if count is None else count
        self.scale = np.sqrt(train.shape[1])  # gives samples a mean squared norm of 1, so that C means the same

    def _usual(self) -> int:
        sizes = np.bincount(self.labels[self.pool], minlength=int(self.labels.max()) + 1)
        if missing := np.flatnonzero(sizes == 0).tolist():
            raise DataError(f"the L2-SVM has no sample of class {missing[0]} to train on; take more of it")
        return min(USUAL, len(sizes) * int(sizes.min()))

    def figures(self, sets: int, features: Array, labels: Labels) -> dict[str, float]:
        """Mean and deviation of the error on other features (M, D) over the label sets, and the C that was chosen."""
        penalty, name = self.choose(), f"l2_svm_error_{self.count}"
        numbers = track(range(sets), "L2-SVM", sets)
        errors = [self.error(self.label_set(i), penalty, features, labels) for i in numbers]
        return {
            name: float(np.mean(errors)),
            f"{name}_deviation": float(np.std(errors)),
            f"l2_svm_c_{self.count}": penalty,
        }

    def choose(self) -> float:
        """The C with the least error on the held-out samples; it stops growing when the error does not fall."""
        rows = np.sort(self.held_out)
        features, labels = np.array(self.train[rows]), self.labels[rows]
        sets = [self.label_set(-1 - i) for i in range(CHOOSING_SETS)]
        best, least, worse = PENALTIES[0], float("inf"), 0
        for penalty in track(PENALTIES, "choosing C", len(PENALTIES)):
            found = float(np.mean([self.error(one, penalty, features, labels) for one in sets]))
            best, least, worse = (penalty, found, 0) if found < least else (best, least, worse + 1)
            if worse == 2:
                break
        return best

    def label_set(self, number: int) -> LabelSet:
        """The random set of this number, of as many samples of each class.

        Raises:
            OptionError: fewer labels than classes, or more than there are.
        """
        classes = int(self.labels.max()) + 1
        picked = balanced_subset(self.labels[self.pool], classes, self.count, (self.seed << 20) + 1000 + number)
        chosen = self.pool[picked]
        rows, basis = _compact(np.array(self.train[chosen]) / self.scale)
        return LabelSet(rows, basis, self.labels[chosen])

    def error(self, known: LabelSet, penalty: float, features: Array, labels: Labels) -> float:
        """Share of wrong classes among other features (M, D), after training on a label set."""
        fitted = self.svm.LinearSVC(C=penalty, loss="squared_hinge", dual=False, tol=TOLERANCE)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an iteration that was cut is judged by its held-out error like others
            fitted.fit(known.rows, known.labels)
        weights = known.basis @ fitted.coef_.T / self.scale  # (D, K), or (D, 1) of two classes
        wrong = 0
        for start in range(0, len(features), ROWS):
            scores = features[start : start + ROWS] @ weights.astype(np.float32) + fitted.intercept_
            best = scores.argmax(1) if scores.shape[1] > 1 else (scores[:, 0] > 0).astype(np.int64)
            wrong += int((fitted.classes_[best] != labels[start : start + ROWS]).sum())
        return wrong / len(features)


def _compact(rows: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rows (N, D) in an orthonormal basis (D, min(N, D)) of their span, and the basis."""
    if rows.shape[0] >= rows.shape[1]:
        return rows.astype(np.float64), np.eye(rows.shape[1])
    basis, triangle = np.linalg.qr(rows.T.astype(np.float64))
    return triangle.T, basis


def fitting_rows(train: Array, seed: int) -> NDArray[np.int64]:
    """Indices of as many rows (N, D) as fit into memory, all or drawn by the seed, in order."""
    most = max(PROBE_NUMBERS // train.shape[1], 1)
    return np.sort(np.random.default_rng([seed, 1]).permutation(len(train))[:most])


def probe(train: Array, labels: Labels, test: Array, test_labels: Labels, seed: int) -> float:
    """Accuracy of logistic regression on standardised features (N, D), trained on as many as fit into memory."""
    linear_model = need("sklearn.linear_model", "the linear probe", "eval")
    rows = fitting_rows(train, seed)
    fitted = linear_model.LogisticRegression(max_iter=PROBE_ITERATIONS, tol=1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of reaching max_iter
        fitted.fit(np.array(train[rows]), labels[rows])
    parts = range(0, len(test), ROWS)
    right = [(fitted.predict(test[i : i + ROWS]) == test_labels[i : i + ROWS]).sum() for i in parts]
    return float(np.sum(right) / len(test))
