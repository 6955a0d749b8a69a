"""The built-in architectures, registered through the same hooks as anybody's."""

from __future__ import annotations

from collections.abc import Callable

from ali_plugin.architectures.celeba import CELEBA, CELEBA_CONDITIONAL
from ali_plugin.architectures.cifar10 import CIFAR10, CIFAR10_RELEASED
from ali_plugin.architectures.fashion import FASHION
from ali_plugin.architectures.fourier import MIXTURE_FOURIER
from ali_plugin.architectures.fourier import parts as fourier_parts
from ali_plugin.architectures.mixture import MIXTURE
from ali_plugin.architectures.mnist_mlp import MNIST_MLP
from ali_plugin.architectures.residual import FASHION_RESIDUAL, GARMENTS, PRESETS, STACKED_DIGITS
from ali_plugin.architectures.svhn import SVHN
from ali_plugin.architectures.tabular import TABULAR
from ali_plugin.architectures.tiny_imagenet import TINY_IMAGENET
from ali_registry import Architecture, Decoder, Discriminator, Encoder, Part, hookimpl

TRIPLES = (FASHION, CIFAR10, CIFAR10_RELEASED, SVHN, CELEBA, TINY_IMAGENET, MIXTURE, MNIST_MLP, TABULAR)


def _register(kind: type[Part], register: Callable[..., None]) -> None:
    of_families = (part for family in (*TRIPLES, *PRESETS) for part in family.parts())
    for part in (*of_families, *fourier_parts()):
        if isinstance(part, kind):
            register(part)


@hookimpl
def register_encoders(register: Callable[[Encoder], None]) -> None:
    _register(Encoder, register)


@hookimpl
def register_decoders(register: Callable[[Decoder], None]) -> None:
    _register(Decoder, register)


@hookimpl
def register_discriminators(register: Callable[[Discriminator], None]) -> None:
    _register(Discriminator, register)


@hookimpl
def register_architectures(register: Callable[[Architecture], None]) -> None:
    for triple in TRIPLES:
        register(triple.architecture())
    for architecture in (
        *(preset.architecture() for preset in PRESETS),
        CELEBA_CONDITIONAL,
        FASHION_RESIDUAL,
        GARMENTS,
        MIXTURE_FOURIER,
        STACKED_DIGITS,
    ):
        register(architecture)
