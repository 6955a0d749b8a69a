"""What our detector is held against: classics that need no training to speak of, and PyOD's GANs in the same time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ali_plugin.evaluation.neighbours import nearest_distances
from ali_plugin.support.extras import need

Array = NDArray[Any]

AT_ONCE = 1000  # rows of a kernel
MORE = 100  # steps of ALAD between two looks at the time
PROBE_EPOCHS = 50  # of a single batch, by which AnoGAN's speed is measured


@dataclass(frozen=True)
class Judged:
    """The scores (M,) of test samples, with the seconds that a fit and the scores took."""

    name: str
    scores: Array
    fit_seconds: float
    score_seconds: float


def classics(view: str, train: Array, test: Array, seed: int) -> Iterator[Judged]:
    """The nearest neighbour's distance, an isolation forest and a one-class SVM, on rows (N, D) and (M, D).

    The latter two are scikit-learn's with its defaults.
    """
    began = time.perf_counter()
    distances = nearest_distances(torch.from_numpy(test), torch.from_numpy(train), 1)
    yield Judged(f"nearest neighbour, {view}", distances[:, 0].numpy(), 0.0, time.perf_counter() - began)
    forest = need("sklearn.ensemble", "an isolation forest", "eval").IsolationForest(random_state=seed)
    yield judged(f"isolation forest, {view}", lambda: forest.fit(train), lambda: -forest.score_samples(test))
    yield _svm(f"one-class SVM, {view}", train, test)


def _svm(name: str, train: Array, test: Array) -> Judged:
    """Its kernel as a product of matrices, which is much faster than the SVM's own loop over pairs."""
    pairwise = need("sklearn.metrics.pairwise", "the kernel of an SVM", "eval")
    svm = need("sklearn.svm", "a one-class SVM", "eval").OneClassSVM(kernel="precomputed")
    gamma = 1 / (train.shape[1] * max(float(train.var()), 1e-12))  # scikit-learn's default, "scale"
    parts = [test[start : start + AT_ONCE] for start in range(0, len(test), AT_ONCE)]
    return judged(
        name,
        lambda: svm.fit(pairwise.rbf_kernel(train, gamma=gamma)),
        lambda: np.concatenate(
            [-svm.decision_function(pairwise.rbf_kernel(part, train, gamma=gamma)) for part in parts]
        ),
    )


def gans(train: Array, test: Array, seconds: float, seed: int, device: torch.device) -> Iterator[Judged]:
    """PyOD's ALAD with its defaults; the same, trained on until ``seconds`` have passed; its AnoGAN in this time."""
    with _seeded(seed):
        yield from _alad(train, test, seconds, device)
        yield _anogan(train, test, seconds, device)


def _alad(train: Array, test: Array, seconds: float, device: torch.device) -> Iterator[Judged]:
    alad = need("pyod.models.alad", "ALAD", "pyod").ALAD(device=device)
    first = judged("PyOD's ALAD, defaults", lambda: alad.fit(train), lambda: alad.decision_function(test))
    yield first

    def longer() -> None:
        began = time.perf_counter()
        while first.fit_seconds + time.perf_counter() - began < seconds:
            alad.train_more(train, epochs=MORE)

    more = judged("PyOD's ALAD, same time", longer, lambda: alad.decision_function(test))
    yield Judged(more.name, more.scores, first.fit_seconds + more.fit_seconds, more.score_seconds)


def _anogan(train: Array, test: Array, seconds: float, device: torch.device) -> Judged:
    """Half of the time is for epochs, of which there are at most the default 500. The other half is for a search in the
    latent space for each training sample, of which AnoGAN is given as many as it gets through."""
    module = need("pyod.models.anogan", "AnoGAN", "pyod")
    default = module.AnoGAN()
    probe = train[: default.batch_size]

    def probed(**lengths: int) -> float:
        return judged("", lambda: module.AnoGAN(device=device, **lengths).fit(probe), lambda: probe).fit_seconds

    search = probed(epochs=1) / len(probe)  # for one row; a batch beside it is nothing
    batches = probed(epochs=PROBE_EPOCHS, epochs_query=1)
    batch = max(batches - search * len(probe) / default.epochs_query, batches / 10) / PROBE_EPOCHS
    rows = int(np.clip(seconds / 2 / search, len(probe), len(train)))
    epochs = int(np.clip(seconds / 2 / (batch * -(-rows // default.batch_size)), 1, default.epochs))
    anogan = module.AnoGAN(epochs=epochs, device=device)
    chosen = train[np.random.permutation(len(train))[:rows]]
    return judged("PyOD's AnoGAN, same time", lambda: anogan.fit(chosen), lambda: anogan.decision_function(test))


def judged(name: str, fit: Callable[[], object], score: Callable[[], Array]) -> Judged:
    """Both, timed."""
    began = time.perf_counter()
    fit()
    fitted = time.perf_counter()
    scores = score()
    return Judged(name, np.asarray(scores), fitted - began, time.perf_counter() - fitted)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """PyOD draws from the program's own generators, which are put back."""
    before = np.random.get_state()
    with torch.random.fork_rng():
        np.random.seed(seed % (1 << 32))
        torch.manual_seed(seed)
        try:
            yield
        finally:
            np.random.set_state(before)
