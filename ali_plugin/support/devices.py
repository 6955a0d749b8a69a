"""Devices by name, with an error that says what this machine has."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from ali_plugin.errors import DeviceError, OptionError
from ali_plugin.support.limits import MAX_SEED
from ali_registry.text import printable

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's mallopt
NO_LIMIT = 2**31 - 1


def resolve_device(name: str) -> torch.device:
    """The device of a name: "auto" is the GPU where there is one, else the CPU.

    Raises:
        DeviceError: there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise DeviceError(f"device {name!r} is not present; this machine has {', '.join(present())}") from error
    return device


def present() -> list[str]:
    """Names of the devices of this machine."""
    gpus = [f"cuda:{i}" for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return ["cpu", *gpus, *mps]


def keep_freed_memory() -> None:
    """Have the C library keep what this process frees for its next step, instead of giving it to the system.

    A step on a CPU allocates and frees some hundred MB; by default most of them go back with each tensor, and
    the system clears every page anew. Does nothing where the C library is not glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(M_MMAP_MAX, 0)
        mallopt(M_TRIM_THRESHOLD, NO_LIMIT)


def random_states(device: torch.device) -> list[Tensor]:
    """The states of the default generators: the CPU's, and the GPU's if the device is one."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]


def restore_random_states(states: Sequence[Tensor], device: torch.device) -> None:
    """Continue the default generators from what ``random_states`` returned."""
    torch.set_rng_state(states[0])
    if device.type == "cuda" and len(states) > 1:
        torch.cuda.set_rng_state(states[1], device)


def seeded(seed: int) -> torch.Generator:
    """A generator on the CPU, whose draws do not depend on the device of the model.

    Raises:
        OptionError: the seed is none that could be written into a record.
    """
    if not 0 <= seed <= MAX_SEED:
        raise OptionError(f"the seed is {printable(seed, 40)}, it has to be from 0 to {MAX_SEED}")
    return torch.Generator("cpu").manual_seed(seed)


@contextmanager
def float32_by_default() -> Iterator[None]:
    """Make what is built and drawn inside float32, whatever the program's default type: what a seed gives, and what a
    net is, does not depend on it."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def computes_bf16(device: torch.device) -> bool:
    """Whether the device multiplies matrices of bfloat16 by itself, faster than those of float32.

    A processor has to have tiles for it (AMX): its vectors of bfloat16 alone (AVX512-BF16) were no faster than those
    of float32 in the convolutions of our nets.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return device.type == "cpu" and torch.cpu._is_amx_tile_supported()


@contextmanager
def precision(name: str) -> Iterator[None]:
    """Let float32 matrix products and convolutions on a GPU use TF32, for "tf32" and "bf16"."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    fast = name != "float32"
    torch.set_float32_matmul_precision("high" if fast else "highest")
    torch.backends.cudnn.allow_tf32 = fast
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]
