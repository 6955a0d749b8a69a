"""The built-in anomaly scores. A scorer's ``build(**options)`` returns a ``Score``; see ``ali_plugin.scoring``."""

from __future__ import annotations

from ali_registry import Option, Scorer

HERE = "ali_plugin.evaluation.scorers"
NORM = Option(default="l2", choices=("l1", "l2"), summary="mean absolute difference, or mean square")
NEAREST = Option(default=1, low=1, summary="how many nearest ones, of knn")

SCORERS = (
    Scorer(
        name="reconstruction",
        summary="how much of x is lost on the way x -> z -> x",
        build=f"{HERE}.reconstruction:Reconstruction",
        options={
            "norm": NORM,
            "features": Option(default=False, summary="in the discriminator's features of x, in place of x itself"),
        },
    ),
    Scorer(
        name="egbad",
        summary="EGBAD: reconstruction, and what D thinks of (x, E(x)) (Zenati et al., 2018)",
        build=f"{HERE}.egbad:EGBAD",
        options={"weight": Option(default=0.9, low=0, high=1, summary="of the reconstruction; the rest is D's")},
    ),
    Scorer(
        name="alad",
        summary="ALAD: L1 between D's features of x and of its reconstruction (Zenati et al., 2018)",
        build=f"{HERE}.alad:alad",
    ),
    Scorer(
        name="judgement",
        summary="how little D takes (x, E(x)) for a pair of the encoder: minus its logit",
        build=f"{HERE}.judgement:judgement",
    ),
    Scorer(
        name="latent",
        summary="how far the code of x is from the prior, or from the codes of the training data",
        build=f"{HERE}.latent:latent",
        options={
            "against": Option(
                default="mahalanobis",
                choices=("prior", "mahalanobis", "knn"),
                summary="the prior, the training codes' Gaussian, or the nearest of them",
            ),
            "k": NEAREST,
        },
    ),
    Scorer(
        name="features",
        summary="how far D's features of x are from those of the training data",
        build=f"{HERE}.latent:features",
        options={
            "against": Option(
                default="knn", choices=("mahalanobis", "knn"), summary="their Gaussian, or the nearest of them"
            ),
            "k": NEAREST,
        },
    ),
    Scorer(
        name="combined",
        summary="the mean of several scores, each standardised by the training data's",
        build=f"{HERE}.combined:Combined",
        options={"of": Option(default=["judgement", "features", "latent"], summary="names of scorers")},
    ),
)
