"""The built-in objectives. An objective's ``build(model)`` returns a ``Game``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ali_registry import Objective, Optimiser, Option, hookimpl

HERE = "ali_plugin.objectives"
HEAVIEST = 1e6  # of the weights; beyond it nothing but the one term is left, and float32 ends
OF_GAMMA, IN_X = ("gamma",), ("cycle_x", "cycle_features")  # what others say more about

SHARED = {
    "gamma": Option(default=0.0, low=0, high=HEAVIEST, scheduled=True, summary="of the gradient penalties R1 and R2"),
    "penalty": Option(
        default="both", choices=("r1", "r2", "both"), needs=OF_GAMMA, summary="on encoder pairs, decoder pairs, or both"
    ),
    "penalty_every": Option(
        default=1, low=1, needs=OF_GAMMA, summary="steps between penalties, which are as many times as strong"
    ),
    "penalty_share": Option(
        default=1.0, low=0, high=1, needs=OF_GAMMA, summary="of the batch that is penalised, at least one pack"
    ),
    "cycle_x": Option(
        default=0.0, low=0, high=HEAVIEST, scheduled=True, summary="weight of the mean distance of x -> z -> x"
    ),
    "cycle_features": Option(
        default=0.0, low=0, high=HEAVIEST, scheduled=True, summary="the same in the discriminator's features"
    ),
    "cycle_z": Option(
        default=0.0, low=0, high=HEAVIEST, scheduled=True, summary="weight of the mean square of z -> x -> z"
    ),
    "cycle_norm": Option(default="l2", choices=("l1", "l2"), needs=IN_X, summary="distance of x and of features"),
    "cycle_through": Option(
        default="draw", choices=("draw", "mean"), needs=(*IN_X, "cycle_z"), summary="of the posterior, on the way"
    ),
    "encoder_weight": Option(
        default=1.0, low=0, high=HEAVIEST, summary="of the game's own loss in the encoder, beside cycles and contrast"
    ),
    "contrast": Option(
        default=0.0, low=0, high=HEAVIEST, scheduled=True, summary="weight of InfoNCE between codes of changed pictures"
    ),
    "temperature": Option(default=0.2, low=0.01, high=100, needs=("contrast",), summary="of the contrast"),
    "packing": Option(default=1, low=1, high=1024, summary="pairs that the discriminator judges together"),
    "symmetric": Option(default=False, summary="the discriminator sees pictures in [-1, 1]"),
    "unary": Option(default=False, summary="the discriminator scores x and z alone, too"),
    "augment": Option(default="", summary="what it sees of x: colour, translation, cutout, with commas between"),
    "noise": Option(default=0.0, low=0, scheduled=True, summary="deviation of noise on the x that it sees"),
    "settle": Option(
        default=0.0, low=0, high=0.9, summary="share of the run, its last, in which the encoder moves alone"
    ),
}
"""Options of every adversarial game; see ``ali_plugin.objectives.adversarial``."""


def adversarial(name: str, summary: str, build: str, **defaults: Any) -> Objective:
    """An adversarial game with the shared options, some of them with a default of its own."""
    options = {option: replace(shared, default=defaults.get(option, shared.default))
               for option, shared in SHARED.items()}  # fmt: skip
    return Objective(
        name=name,
        summary=summary,
        build=f"{HERE}.{build}",
        options=options,
        takes_labels=True,
        of_discriminator=("packing", "symmetric", "unary"),
    )


OBJECTIVES = (
    Objective(
        name="ali",
        summary="adversarially learned inference, Algorithm 1, simultaneous updates",
        build=f"{HERE}.ali:ALIGame",
    ),
    adversarial(
        "relativistic",
        "relativistic pairs with gradient penalties R1 and R2 (R3GAN), on pairs of x and z",
        "relativistic:RelativisticGame",
        gamma=1.0,
    ),
    adversarial(
        "hinge",
        "BigBiGAN's game: the hinge loss of x, of z and of the pair",
        "hinge:HingeGame",
        unary=True,
    ),
    adversarial(
        "alice",
        "the paper's game with an L1 cycle x -> z -> x",
        "alice:AliceGame",
        cycle_x=1.0,
        cycle_norm="l1",
    ),
    Objective(
        name="semi-supervised",
        summary="ALI with a K-class discriminator and --labels N labelled samples (section 4.3)",
        build=f"{HERE}.semi_supervised:SemiSupervisedGame",
        uses_labels=True,
    ),
    Objective(
        name="supervised",
        summary="the same K-class discriminator on --labels N labelled samples alone, a baseline",
        build=f"{HERE}.semi_supervised:SupervisedGame",
        uses_labels=True,
    ),
    Objective(
        name="gan-inverse",
        summary="GAN, with an encoder learned as the decoder's inverse (figure 5b)",
        build=f"{HERE}.gan:InverseMappingGame",
    ),
    Objective(
        name="gan-posthoc",
        summary="GAN for half of the run, then an encoder for its frozen decoder (figure 5c)",
        build=f"{HERE}.gan:PostHocGame",
    ),
    Objective(
        name="vae",
        summary="variational autoencoder with the same nets (figure 5d)",
        build=f"{HERE}.vae:VAEGame",
    ),
)

DECAY = Option(default=0.0, low=0, summary="weight decay")
EPSILON = Option(default=1e-8, low=0, summary="added to the root of the second moment")

OPTIMISERS = (
    Optimiser(
        name="adam",
        summary="Adam, weight decay as L2",
        build=f"{HERE}.optimisers:adam",
        options={"weight_decay": DECAY, "eps": EPSILON},
    ),
    Optimiser(
        name="adamw",
        summary="Adam with decoupled weight decay",
        build=f"{HERE}.optimisers:adamw",
        options={"weight_decay": replace(DECAY, default=0.01), "eps": EPSILON},
    ),
    Optimiser(
        name="stable-adamw",
        summary="AdamW whose step of a tensor is at most the rate, for nets without norms (StableAdamW)",
        build=f"{HERE}.optimisers:stable_adamw",
        options={"weight_decay": DECAY, "eps": EPSILON},
    ),
    Optimiser(
        name="sgd",
        summary="gradient descent, beta1 is its momentum",
        build=f"{HERE}.optimisers:sgd",
        options={"weight_decay": DECAY, "nesterov": Option(default=False, summary="Nesterov's momentum")},
    ),
)


@hookimpl
def register_objectives(register: Callable[[Objective], None]) -> None:
    for objective in OBJECTIVES:
        register(objective)


@hookimpl
def register_optimisers(register: Callable[[Optimiser], None]) -> None:
    for optimiser in OPTIMISERS:
        register(optimiser)
