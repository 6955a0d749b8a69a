"""Read a safetensors file against what it has to hold, before memory is taken for any of it."""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ali_plugin.errors import WeightsError
from ali_plugin.support.strict_json import short

MAX_HEADER_BYTES = 16 << 20
FLOATING = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
INTEGRAL = {"I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8,
            "BOOL": torch.bool}  # fmt: skip


def read(path: Path, implied: Mapping[str, Tensor], parts: Collection[str]) -> dict[str, Tensor]:
    """The tensors of some parts, once the whole header agrees with the implied ones.

    Args:
        implied: tensors of the right names, shapes and kinds of number; they may be on the meta device.
        parts: first components of the names to read; the bytes of the others stay on the disk.

    Raises:
        WeightsError: the file is missing, damaged, or holds something else.
    """
    _bound_header(path)
    try:
        with safe_open(path, framework="pt") as file:
            _compare(path, file, implied)
            return {name: file.get_tensor(name) for name in implied if name.split(".")[0] in parts}
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is damaged ({short(str(error))}); fetch or write it again") from error


def check(path: Path, implied: Mapping[str, Tensor]) -> None:
    """Compare the header alone; raises as ``read`` does."""
    read(path, implied, ())


def _bound_header(path: Path) -> None:
    try:
        if path.exists() and not path.is_file():
            raise WeightsError(f"{path} is no regular file")
        with path.open("rb") as file:
            start = file.read(8)
        longest = min(MAX_HEADER_BYTES, path.stat().st_size - 8)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read ({error.strerror}){_other_formats(path.parent)}") from error
    size = struct.unpack("<Q", start)[0] if len(start) == 8 else None
    if size is None or not 0 < size <= longest:
        raise WeightsError(f"{path} is damaged (its header's length is {size}); fetch or write it again")


def _other_formats(folder: Path) -> str:
    """What lies there in place of the file, and why it does not do."""
    if (folder / "model.safetensors.index.json").exists():
        return "; the weights are in shards, this library reads and writes one file: join them"
    if any(folder.glob("*.bin")) or any(folder.glob("*.pt*")) or any(folder.glob("*.pkl")):
        return "; pickled weights are there, which are never read: save them as safetensors"
    return ""


def _compare(path: Path, file: Any, implied: Mapping[str, Tensor]) -> None:
    names = set(file.keys())
    if missing := sorted(set(implied) - names):
        raise WeightsError(f"{path} lacks {len(missing)} tensors of the config's nets, such as {missing[0]!r}")
    if extra := sorted(names - set(implied)):
        raise WeightsError(
            f"{path} has {len(extra)} tensors that the config's nets lack, such as {short(repr(extra[0]))}"
        )
    for name, tensor in implied.items():
        header = file.get_slice(name)
        shape, kind = tuple(header.get_shape()), header.get_dtype()
        if shape != tuple(tensor.shape):
            raise WeightsError(f"{path}: {name} has shape {shape}, the config implies {tuple(tensor.shape)}")
        wanted = FLOATING if tensor.is_floating_point() else INTEGRAL
        if kind not in wanted or (wanted is INTEGRAL and wanted[kind] != tensor.dtype):
            raise WeightsError(f"{path}: {name} holds {kind} numbers, the config implies {tensor.dtype}")
