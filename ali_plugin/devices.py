"""Devices by name, with an error that says what this machine has."""

from __future__ import annotations

import torch

from ali_plugin.errors import DeviceError


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
