"""The built-in metrics and anomaly scores. A metric's ``build(context)`` returns a mapping of figures."""

from __future__ import annotations

from collections.abc import Callable

from ali_plugin.evaluation.scorers import SCORERS
from ali_registry import Metric, Scorer, hookimpl

HERE = "ali_plugin.evaluation"

METRICS = (
    Metric(
        name="reconstruction",
        summary="x -> z -> x through the posterior mean: squared error, PSNR, SSIM; z -> x -> z: squared error",
        build=f"{HERE}.reconstruction:reconstruction",
        figures={
            "mse": "squared error per element of reconstructed held-out data; 0 is perfect",
            "psnr": "the same in decibels; higher is better",
            "ssim": "likeness of local structure (Wang et al., 2004); 1 is perfect",
            "latent_mse": "squared error per element of a drawn z, decoded and encoded; guessing 0 gives 1",
        },
    ),
    Metric(
        name="representation",
        summary="classes: L2-SVM, linear probe and nearest neighbour on codes and encoder features, raw data and PCA",
        build=f"{HERE}.representation:representation",
        figures={
            "l2_svm_error": "test error of a linear SVM on so many labels, over sets of them; lower is better",
            "l2_svm_c": "the SVM's regularisation, chosen on held-out training samples",
            "nearest_neighbour_accuracy": "right answers of the nearest neighbour, by codes; higher is better",
            "nearest_neighbour_accuracy_features": "right answers of the nearest neighbour, by features",
            "probe_accuracy": "right answers of logistic regression on codes; higher is better",
            "probe_accuracy_features": "right answers of logistic regression on features",
            "nearest_neighbour_accuracy_raw": "what the samples as they are have; a code should keep it",
            "nearest_neighbour_accuracy_pca": "what as many principal components have; a code should beat it",
            "probe_accuracy_raw": "right answers of logistic regression on the samples as they are",
            "probe_accuracy_pca": "right answers of logistic regression on the principal components",
            "mse_pca": "squared error per element that the principal components leave; a code should beat it",
            "feature_size": "how many features the encoder's last layers and the code make",
        },
    ),
    Metric(
        name="modes",
        summary="mixture: modes covered, high quality within 3 sigma (2,500 samples), the prior's coverage by q(z)",
        build=f"{HERE}.modes:modes",
        figures={
            "modes": "modes of 25 that samples reach; 25 is all",
            "modes_by_responsibility": "modes that are the likeliest of any of 10,000 samples, as the ALI paper counts",
            "high_quality": "share of samples within 3 sigma of a mode; 1 is all",
            "reverse_kl": "how unevenly samples spread over the modes, in nats; 0 is even",
            "latent_coverage": "share of the prior that codes of data cover; near 1 where they agree",
            "latent_density": "density of codes where the prior is; near 1 where they agree",
        },
    ),
    Metric(
        name="frechet",
        summary="Frechet distance, precision, recall, density, coverage, with the extractor's name and floor",
        build=f"{HERE}.frechet:frechet",
        figures={
            "distance": "of samples to the training data in an extractor's features; lower is better",
            "floor": "the distance of as many test samples; no model is expected below it",
            "precision": "share of samples that lie among real data; higher is better",
            "recall": "share of real data that lie among samples; higher is better",
            "density": "how densely real data surround samples; higher is better",
            "coverage": "share of real data with a sample nearby; higher is better",
        },
    ),
    Metric(
        name="kid",
        summary="kernel distance (KID) in the same features, with its deviation and floor",
        build=f"{HERE}.kid:kid",
        figures={
            "distance": "squared kernel distance of samples to training data in an extractor's features; 0 is perfect",
            "stddev": "its deviation over random subsets",
            "floor": "the distance of test samples, near 0",
        },
    ),
    Metric(
        name="stacked-modes",
        summary="stacked digits: modes of 1,000 covered by 26,000 samples, their KL, by a digit classifier",
        build=f"{HERE}.stacked_modes:stacked_modes",
        figures={
            "modes": "modes of 1,000 that samples reach; 1,000 is all",
            "kl": "KL of the samples' modes to the data's, in nats; about .02 is what as many real samples have",
            "digit_accuracy": "right answers of the classifier that tells modes, on held-out digits",
        },
    ),
    Metric(
        name="interpolation",
        summary="smoothness of decoded lines between the codes of held-out samples",
        build=f"{HERE}.interpolation:interpolation",
        figures={
            "path_length": "length of decoded lines over the distance of their ends; 1 is a cross-fade",
            "largest_step": "the largest step over the mean step; 1 is even, 15 is one jump",
        },
    ),
    Metric(
        name="anomaly",
        summary="AUROC and average precision of strange samples against ordinary ones, by a scorer",
        build=f"{HERE}.anomaly:anomaly",
    ),
)


@hookimpl
def register_metrics(register: Callable[[Metric], None]) -> None:
    for metric in METRICS:
        register(metric)


@hookimpl
def register_scorers(register: Callable[[Scorer], None]) -> None:
    for scorer in SCORERS:
        register(scorer)
