"""Safetensors files: written as a whole, read against what they have to hold before memory is taken for it.

A tensor with several names (a layer that a net uses twice) is written once; the file's metadata say of the other
names whose tensor they have, in the form of safetensors' own ``save_model``.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ali_plugin.errors import FolderError, WeightsError
from ali_plugin.support import atomic
from ali_plugin.support.strict_json import short

MAX_HEADER_BYTES = 16 << 20
FLOATING = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
INTEGRAL = {"I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8,
            "BOOL": torch.bool}  # fmt: skip


def write(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Replace a file as a whole. Tensors may be anywhere and share memory in any way.

    Raises:
        FolderError: the disk is full, the folder cannot be written; ``path`` is as it was.
        WeightsError: a tensor is of a kind that the format does not have.
    """
    _refuse_odd_name(path)
    names = _same_memory(tensors)
    try:
        kept = _apart({name: tensors[name].detach() for name, first in names.items() if name == first})
        header = {**(metadata or {}), **{name: first for name, first in names.items() if name != first}}
        with atomic.replacing(path) as temporary:
            save_file(kept, temporary, metadata=header)
            if len(header) > 1:
                _sort_metadata(temporary)
    except SafetensorError as error:  # the disk is full, say; it is no OSError
        reason = str(error).rpartition("I/O error: ")[2]
        raise FolderError(f"cannot write {path}: {short(reason, 200)}") from error
    except (KeyError, TypeError, ValueError, NotImplementedError) as error:  # sparse tensors, types of later versions
        raise WeightsError(f"{path} cannot be written: {short(str(error), 200)}") from error


def _sort_metadata(path: Path) -> None:
    """Give the metadata an order, which the library leaves to chance: the same tensors make the same file."""
    with path.open("r+b") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        if len(text) <= size:
            file.seek(8)
            file.write(text.ljust(size))


def _same_memory(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Each name with the first name of the same numbers in the same memory."""
    first: dict[object, str] = {}

    def place(name: str, tensor: Tensor) -> object:
        if tensor.layout != torch.strided or not tensor.numel():
            return name
        return tensor.device, tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride()

    return {name: first.setdefault(place(name, tensor), name) for name, tensor in tensors.items()}


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """On the CPU, each with memory of its own, where the format asks for that."""
    seen: set[int] = set()
    found = {}
    for name, tensor in tensors.items():
        if tensor.layout != torch.strided:
            raise ValueError(f"{name} is {tensor.layout}")
        here = tensor.cpu().contiguous()
        storage = here.untyped_storage().data_ptr() if here.numel() else 0
        found[name] = here.clone() if storage in seen else here
        if storage:
            seen.add(storage)
    return found


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
            names = names_in(file)
            _compare(path, file, names, implied)
            wanted = {name: names[name] for name in implied if name.split(".")[0] in parts}
            held = {first: file.get_tensor(first) for first in dict.fromkeys(wanted.values())}
            return {name: held[first] for name, first in wanted.items()}
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is damaged ({short(str(error))}); fetch or write it again") from error


def check(path: Path, implied: Mapping[str, Tensor]) -> None:
    """Compare the header alone; raises as ``read`` does."""
    read(path, implied, ())


def read_all(path: Path) -> dict[str, Tensor]:
    """Every tensor of a file of one's own, under each of its names; raises as ``read`` does."""
    _bound_header(path)
    try:
        with safe_open(path, framework="pt") as file:
            held = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return {name: held[first] for name, first in names_in(file).items()}
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} is damaged ({short(str(error))}); fetch or write it again") from error


def names_in(file: Any) -> dict[str, str]:
    """Each name of a tensor with the name that the file holds it under."""
    held = {name: name for name in file.keys()}  # noqa: SIM118
    others = {name: first for name, first in (file.metadata() or {}).items() if first in held and name not in held}
    return held | others


def _refuse_odd_name(path: Path) -> None:
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise WeightsError(f"{str(path)!r} is not UTF-8, as safetensors wants it; rename the file or folder") from error


def _bound_header(path: Path) -> None:
    _refuse_odd_name(path)
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


def _compare(path: Path, file: Any, names: Mapping[str, str], implied: Mapping[str, Tensor]) -> None:
    if missing := sorted(set(implied) - set(names)):
        raise WeightsError(f"{path} lacks {len(missing)} tensors of the config's nets, such as {missing[0]!r}")
    if extra := sorted(set(names) - set(implied)):
        raise WeightsError(
            f"{path} has {len(extra)} tensors that the config's nets lack, such as {short(repr(extra[0]))}"
        )
    for name, tensor in implied.items():
        header = file.get_slice(names[name])
        shape, kind = tuple(header.get_shape()), header.get_dtype()
        if shape != tuple(tensor.shape):
            raise WeightsError(f"{path}: {name} has shape {shape}, the config implies {tuple(tensor.shape)}")
        wanted = FLOATING if tensor.is_floating_point() else INTEGRAL
        if kind not in wanted or (wanted is INTEGRAL and wanted[kind] != tensor.dtype):
            raise WeightsError(f"{path}: {name} holds {kind} numbers, the config implies {tensor.dtype}")
