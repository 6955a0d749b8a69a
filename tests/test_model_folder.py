"""Model folders that are not sound are refused with a reason, before memory is taken."""

from __future__ import annotations

import json
import resource
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from ali_plugin import ALI, ALIError
from ali_plugin.folder.model_folder import WEIGHTS_NAME


@pytest.fixture
def folder(untrained_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(untrained_once, tmp_path / "model"))


def edit(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, **changes}))


CONFIG_FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda f: (f / "config.json").unlink(), r"config\.json cannot be read"),
    "truncated": (lambda f: (f / "config.json").write_text((f / "config.json").read_text()[:40]), "is not JSON"),
    "not an object": (lambda f: (f / "config.json").write_text("[1]"), "holds a list"),
    "deep": (lambda f: (f / "config.json").write_text("[" * 100_000), "is not JSON"),
    "huge": (lambda f: (f / "config.json").write_text(" " * (1 << 21)), "larger than"),
    "newer schema": (lambda f: edit(f, schema_version=99), "schema version 99.*upgrade ali-plugin"),
    "no schema": (lambda f: edit(f, schema_version=None), "schema_version is None"),
    "unknown keys": (lambda f: edit(f, surprise=1), "unknown keys: 'surprise'"),
    "absurd latent": (lambda f: edit(f, latent_size=1 << 40), "latent_size is 1099511627776"),
    "boolean latent": (lambda f: edit(f, latent_size=True), "latent_size is True"),
    "absurd shape": (lambda f: edit(f, data_shape=[65536, 65536, 65536]), "data_shape is"),
    "odd part": (lambda f: edit(f, encoder={"name": 3}), "encoder is not an object"),
    "unknown part": (lambda f: edit(f, encoder={"name": "fashio"}), "did you mean 'fashion'"),
    "unknown argument": (lambda f: edit(f, encoder={"name": "fashion", "arguments": {"a": 1}}), "cannot be built"),
    "no part": (lambda f: edit(f, encoder=None, decoder=None, discriminator=None), "names no part"),
}


@pytest.mark.parametrize("fault", CONFIG_FAULTS)
def test_unsound_configs(folder: Path, fault: str) -> None:
    damage, message = CONFIG_FAULTS[fault]
    damage(folder)
    with pytest.raises(ALIError, match=message):
        ALI.from_pretrained(folder)


def truncate(folder: Path) -> None:
    path = folder / WEIGHTS_NAME
    path.write_bytes(path.read_bytes()[:-100])


def claim(folder: Path, size: int) -> None:
    path = folder / WEIGHTS_NAME
    path.write_bytes(struct.pack("<Q", size) + path.read_bytes()[8:])


def reshape(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS_NAME)
    name = "encoder.output.operation.weight"
    save_file({**tensors, name: tensors[name].flatten().clone()}, folder / WEIGHTS_NAME)


def rename(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS_NAME)
    tensors["encoder.extra"] = torch.zeros(1)
    save_file(tensors, folder / WEIGHTS_NAME)


def drop(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS_NAME)
    del tensors["encoder.output.operation.weight"]
    save_file(tensors, folder / WEIGHTS_NAME)


WEIGHT_FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda f: (f / WEIGHTS_NAME).unlink(), "cannot be read"),
    "empty": (lambda f: (f / WEIGHTS_NAME).write_bytes(b""), "is damaged"),
    "truncated": (truncate, "is damaged"),
    "huge header": (lambda f: claim(f, 1 << 60), "is damaged"),
    "other shape": (reshape, r"has shape \(16384,\), the config implies \(32, 512\)"),
    "extra tensor": (rename, "the config's nets lack, such as 'encoder.extra'"),
    "missing tensor": (drop, "lacks 1 tensors"),
}


@pytest.mark.parametrize("fault", WEIGHT_FAULTS)
def test_unsound_weights(folder: Path, fault: str) -> None:
    damage, message = WEIGHT_FAULTS[fault]
    damage(folder)
    with pytest.raises(ALIError, match=message):
        ALI.from_pretrained(folder)


def test_shapes_are_compared_before_memory_is_taken(folder: Path) -> None:
    edit(folder, latent_size=65536)  # 2 x 65,536 x 512 floats and more: over 400 MB
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ALIError, match="the config implies"):
        ALI.from_pretrained(folder)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


def test_no_folder() -> None:
    with pytest.raises(ALIError, match="no-such-folder"):
        ALI.from_pretrained("./no-such-folder")


def test_saving_replaces_as_a_whole(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (folder / WEIGHTS_NAME).read_bytes()

    def full(tensors: object, path: Path, **_: object) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ali_plugin.folder.weights.save_file", full)
    with pytest.raises(ALIError, match="No space left"):
        ALI.from_architecture("fashion").save_pretrained(folder)
    assert (folder / WEIGHTS_NAME).read_bytes() == before
    assert sorted(path.name for path in folder.iterdir()) == ["config.json", WEIGHTS_NAME]
