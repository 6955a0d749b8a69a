"""The built-ins through the authors' test kit; then nets and data with one fault each, which it must find."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import tiny
from ali_plugin import Architecture, Dataset, Decoder, Discriminator, Encoder, hookimpl
from ali_plugin.datasets.split import DataSplit
from ali_plugin.testing import (
    ARCHITECTURE_CHECKS,
    DATASET_CHECKS,
    architecture_suite,
    check_architecture,
    check_dataset,
    dataset_suite,
)
from ali_plugin.testing.dataset import Subject
from ali_registry import Registry, build_registry

pytestmark = pytest.mark.usefixtures("tiny_registered")

BUILT_IN = build_registry(only=())
QUICK = 15_000_000
"""Parameters; an architecture with more takes seconds and is left to the slow tests."""


def size(name: str) -> int:
    from ali_plugin.config import shapes
    from ali_plugin.config.describe import describe_architecture

    shape = shapes.example(BUILT_IN.get(Architecture, name))
    return sum(line.parameters for line in describe_architecture(name, BUILT_IN, shape))


def architectures() -> Iterator[Any]:
    for entry in BUILT_IN.entries("architecture"):
        marks = [pytest.mark.slow] if size(entry.record.name) > QUICK else []
        for what, check in ARCHITECTURE_CHECKS.items():
            yield pytest.param(entry.record.name, check, id=f"{entry.record.name}-{what}", marks=marks)


@pytest.mark.parametrize(("name", "check"), list(architectures()))
def test_architecture(name: str, check: Callable[[str, Registry], None]) -> None:
    from ali_plugin.testing.architecture import NoDevice

    try:
        check(name, BUILT_IN)
    except NoDevice as missing:
        pytest.skip(str(missing))


def pictures(folder: Path) -> None:
    """Two classes of coloured noise."""
    generator = np.random.default_rng(0)
    for i in range(24):
        path = folder / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(generator.integers(0, 255, (40, 36, 3), dtype=np.uint8)).save(path)


# What puts a dataset's files into its folder; those that read a published set's own format from disk are
# covered where their readers are tested.
FILES: dict[str, Callable[[Path], None]] = {
    "fashion-mini": lambda _: None, "image-folder": pictures, "wine": lambda _: None, "digits": lambda _: None,
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("check", DATASET_CHECKS.values(), ids=DATASET_CHECKS)
def test_dataset(name: str, check: Callable[[Subject], None], tmp_path: Path) -> None:
    FILES[name](tmp_path)
    check(Subject(name, tmp_path, BUILT_IN))


# Nets with one fault each -------------------------------------------------------------------------------


class Unused(tiny.TinyEncoder):
    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.extra = torch.nn.Parameter(torch.ones(3))


class Wide(tiny.TinyEncoder):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).repeat(1, 2)


class Restless(tiny.TinyEncoder):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + 0.01 * torch.randn(1)


class Counting(tiny.TinyEncoder):
    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        assert isinstance(self.calls, Tensor)
        self.calls += 1
        return super().forward(x)


class Forgetful(tiny.TinyEncoder):
    """Keeps a random projection outside of its state."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.scale = torch.rand(1)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * self.scale


class Float32(tiny.TinyEncoder):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).float()


class Tanh(tiny.TinyDecoder):
    def forward(self, z: Tensor) -> Tensor:
        return super().forward(z) * 2 - 1


class Exploding(tiny.TinyDecoder):
    def forward(self, z: Tensor) -> Tensor:
        return super().forward(z) / 0


class Normed(tiny.TinyDiscriminator):
    """Batch norm, but says that it treats samples by themselves."""

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        return super().forward((x - x.mean(0)) / (x.std(0) + 1), z)


NET_FAULTS: dict[type[torch.nn.Module], tuple[str, str]] = {
    Unused: ("gradients", "no gradient reaches encoder.extra"),
    Wide: ("shapes", r"mean of q\(z\|x\) has shape \(1, 6\), expected \(1, 3\)"),
    Restless: ("determinism", r"the mean of q\(z\|x\) differs between two calls in eval mode"),
    Counting: ("determinism", "encoder.calls changed in eval mode"),
    Forgetful: ("round-trip", "differs after save and load"),
    Float32: ("dtypes", "the encoder with torch.bfloat16 parameters returns torch.float32"),
    Tanh: ("value-range", "values down to -"),
    Exploding: ("training", "is nan after step|is inf after step|not finite"),
    Normed: ("independence", "one pair's logit depends on the other pairs"),
}


def faulty(net: type[torch.nn.Module]) -> Registry:
    """The tiny architecture with one net replaced."""
    kinds = {tiny.TinyEncoder: Encoder, tiny.TinyDecoder: Decoder, tiny.TinyDiscriminator: Discriminator}
    kind = next(record for base, record in kinds.items() if issubclass(net, base))

    @hookimpl
    def register(register: Callable[[Any], None]) -> None:
        register(kind(name="faulty", build=net))

    @hookimpl
    def register_architectures(register: Callable[[Architecture], None]) -> None:
        taken: list[Architecture] = []
        tiny.register_architectures(taken.append)
        replaced: dict[str, Any] = {"name": "faulty", kind.kind: "faulty"}
        register(replace(taken[0], **replaced))

    hooks = {f"register_{kind.kind}s": register, "register_architectures": register_architectures}
    return build_registry((), [tiny, SimpleNamespace(__name__="faulty", **hooks)])


@pytest.mark.parametrize("net", NET_FAULTS)
def test_a_faulty_net_is_found_out(net: type[torch.nn.Module]) -> None:
    check, sentence = NET_FAULTS[net]
    with pytest.raises(AssertionError, match=sentence):
        ARCHITECTURE_CHECKS[check]("faulty", faulty(net))


def test_every_check_of_an_architecture_can_fail() -> None:
    without = {"gpu"}  # as `training`, on a device that may not be here
    assert {check for check, _ in NET_FAULTS.values()} == set(ARCHITECTURE_CHECKS) - without


# Data with one fault each -------------------------------------------------------------------------------


def data(split: str, **changes: Any) -> DataSplit:
    return replace(tiny.stripes(split), **changes)


DATA_FAULTS: dict[str, tuple[Callable[..., DataSplit], str]] = {
    "splits": (lambda split, **_: data(split, data=tiny.stripes(split).data[:, :, :2]), "samples of shape"),
    "values": (lambda split, **_: data(split, data=tiny.stripes(split).data // 255), "all samples|largest value"),
    "labels": (lambda split, **_: data(split, classes=("0", "1")), "a label is 3, but there are 2 classes"),
    "repeatable": (
        lambda split, **_: data(split, data=np.random.default_rng().permutation(tiny.stripes(split).data)),
        "differs from one loading to the next",
    ),
    "held-out": (lambda split, **_: tiny.stripes("train"), "100% of the validation samples are training samples"),
}


def test_every_check_of_a_dataset_can_fail() -> None:
    assert set(DATA_FAULTS) == set(DATASET_CHECKS)


@pytest.mark.parametrize("check", DATA_FAULTS)
def test_faulty_data_are_found_out(check: str) -> None:
    build, sentence = DATA_FAULTS[check]

    @hookimpl
    def register_datasets(register: Callable[[Dataset], None]) -> None:
        register(Dataset(name="faulty", build=build, data_shape=tiny.SHAPE))

    registry = build_registry((), [SimpleNamespace(__name__="faulty", register_datasets=register_datasets)])
    with pytest.raises(Exception, match=sentence):
        DATASET_CHECKS[check](Subject("faulty", None, registry))


# The two ways to use it ---------------------------------------------------------------------------------


def test_sound_parts_pass_without_pytest() -> None:
    registry = build_registry((), [tiny])
    without_gpu = {name: check for name, check in ARCHITECTURE_CHECKS.items() if name != "gpu"}
    for check in without_gpu.values():
        check("tiny", registry)
    check_dataset("stripes", registry=registry)


@pytest.mark.gpu
def test_all_checks_with_a_gpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    check_architecture("tiny", build_registry((), [tiny]))


test_suite_for_an_architecture = architecture_suite("tiny")
test_suite_for_a_dataset = dataset_suite("stripes")


def test_suites_have_readable_cases() -> None:
    cases = architecture_suite("tiny", "fashion").pytestmark[0].args[1]  # type: ignore[attr-defined]
    assert [case.id for case in cases][:2] == ["tiny-shapes", "tiny-value-range"]
    assert len(cases) == 2 * len(ARCHITECTURE_CHECKS)
