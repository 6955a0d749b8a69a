"""The built-in objectives. An objective's ``build(model)`` returns a ``Game``."""

from __future__ import annotations

from collections.abc import Callable

from ali_registry import Objective, hookimpl

HERE = "ali_plugin.objectives"

OBJECTIVES = (
    Objective(
        name="ali",
        summary="adversarially learned inference, Algorithm 1, simultaneous updates",
        build=f"{HERE}.ali:ALIGame",
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


@hookimpl
def register_objectives(register: Callable[[Objective], None]) -> None:
    for objective in OBJECTIVES:
        register(objective)
