"""Pipeline folders from anybody are refused with a reason, before memory is taken; nothing of them is run."""

from __future__ import annotations

import json
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from safetensors.torch import load_file, save_file

from ali_plugin import ALI, ALIError
from ali_plugin.diffusers import ALIDecoder, ALIPipeline

LOADS: list[Callable[..., Any]] = [ALI.from_pretrained, ALIPipeline.from_pretrained]
WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sound")
    ALIPipeline.from_model(ALI.from_architecture("mixture").eval()).save_pretrained(folder)
    return folder


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "pipeline"))


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def index(**changes: Any) -> Callable[[Path], None]:
    return lambda folder: edit(folder / "model_index.json", **changes)


def decoder(**changes: Any) -> Callable[[Path], None]:
    return lambda folder: edit(folder / "decoder" / "config.json", **changes)


def reshape(folder: Path) -> None:
    tensors = load_file(folder / "decoder" / WEIGHTS)
    name = next(iter(tensors))
    save_file({**tensors, name: torch.zeros(3)}, folder / "decoder" / WEIGHTS)


def drop(folder: Path) -> None:
    tensors = load_file(folder / "decoder" / WEIGHTS)
    del tensors[next(iter(tensors))]
    save_file(tensors, folder / "decoder" / WEIGHTS)


def pickled(folder: Path) -> None:
    tensors = load_file(folder / "decoder" / WEIGHTS)
    torch.save(tensors, folder / "decoder" / "diffusion_pytorch_model.bin")
    (folder / "decoder" / WEIGHTS).unlink()


def truncate(folder: Path) -> None:
    path = folder / "decoder" / WEIGHTS
    path.write_bytes(path.read_bytes()[:-50])


def link(folder: Path) -> None:
    moved = folder.parent / "elsewhere"
    (folder / "decoder").rename(moved)
    (folder / "decoder").symlink_to(moved)


# What any part of the model says is found however it is opened.
PART_FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "config missing": (lambda f: (f / "decoder" / "config.json").unlink(), "cannot be read|no decoder"),
    "config huge": (lambda f: (f / "decoder" / "config.json").write_text(" " * (1 << 21)), "larger than"),
    "config of another class": (decoder(_class_name="ALIEncoder"), "not of an ALIDecoder"),
    "config with code": (decoder(auto_map={"AutoModel": "evil.Evil"}), "unknown keys: 'auto_map'"),
    "config of quantized weights": (decoder(quantization_config={"quant_method": "x"}), "unknown keys"),
    "latent absurd": (decoder(latent_size=1 << 40), "latent_size is"),
    "part unknown": (decoder(name="mixtur"), "did you mean 'mixture'"),
    "argument unknown": (decoder(arguments={"a": 1}), "cannot be built"),
    "newer schema": (decoder(schema_version=99), "upgrade ali-plugin"),
    "other shape": (reshape, "the config implies"),
    "missing tensor": (drop, "lacks 1 tensors"),
    "truncated": (truncate, "is damaged"),
    "pickled": (pickled, "never read: save them as safetensors"),
    "link": (link, "link out of its folder"),
}


@pytest.mark.parametrize("fault", PART_FAULTS)
def test_unsound_parts(folder: Path, fault: str) -> None:
    damage, message = PART_FAULTS[fault]
    damage(folder)
    for load in LOADS:
        with pytest.raises(ALIError, match=message):
            load(folder)
    if fault in ("config missing", "link"):  # which the host answers itself, or cannot see
        return
    for by_host in (diffusers.DiffusionPipeline.from_pretrained, ALIDecoder.from_pretrained):
        with pytest.raises(ALIError, match=message):
            by_host(folder)


INDEX_FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "another pipeline": (index(_class_name="DDPMPipeline"), "not of an ALIPipeline"),
    "code": (index(_class_name=["evil", "ALIPipeline"]), "not of an ALIPipeline"),
    "another class": (index(decoder=["os", "system"]), "decoder is .*'os'"),
    "another component": (index(scheduler=["diffusers", "DDPMScheduler"]), "unknown keys: 'scheduler'"),
    "no part": (index(encoder=[None, None], decoder=[None, None], discriminator=[None, None]), "names no part"),
    "not JSON": (lambda f: (f / "model_index.json").write_text("{"), "is not JSON"),
    "parts of two models": (
        lambda f: edit(f / "encoder" / "config.json", latent_size=3),
        "the encoder is for latent_size 3, but the decoder is for 2",
    ),
}


@pytest.mark.parametrize("fault", INDEX_FAULTS)
def test_unsound_indices(folder: Path, fault: str) -> None:
    damage, message = INDEX_FAULTS[fault]
    damage(folder)
    for load in LOADS:
        with pytest.raises(ALIError, match=message):
            load(folder)


def test_shapes_are_compared_before_memory_is_taken(folder: Path) -> None:
    for kind in ("encoder", "decoder", "discriminator"):
        edit(folder / kind / "config.json", latent_size=65536)
    loads = (ALIPipeline.from_pretrained, diffusers.DiffusionPipeline.from_pretrained, ALIDecoder.from_pretrained)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for load in loads:
        with pytest.raises(ALIError, match="the config implies"):
            load(folder)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB; the nets would take 1 GB


def test_code_in_the_folder_is_not_run(folder: Path) -> None:
    evil = "raise SystemExit('run')\nopen('was-run', 'w')\n"
    for name in ("pipeline.py", "ALIPipeline.py", "ali_plugin.py", "decoder/evil.py"):
        (folder / name).write_text(evil)
    for load in (*LOADS, diffusers.DiffusionPipeline.from_pretrained, ALIDecoder.from_pretrained):
        assert load(folder) is not None
    options: list[dict[str, Any]] = [
        {"trust_remote_code": True},
        {"custom_pipeline": "pipeline"},
        {"use_safetensors": False},
    ]
    for option in options:
        with pytest.raises(ALIError, match=f"drop {next(iter(option))}"):
            ALIPipeline.from_pretrained(folder, **option)
        with pytest.raises(ALIError, match=f"drop {next(iter(option))}"):
            ALIDecoder.from_pretrained(folder, **option)


def test_pickles_and_shards_are_not_written(sound: Path, tmp_path: Path) -> None:
    pipe = ALIPipeline.from_pretrained(sound)
    options: list[dict[str, Any]] = [{"safe_serialization": False}, {"max_shard_size": "1KB"}, {"use_flashpack": True}]
    for option in options:
        for saved in (pipe, pipe.decoder):
            with pytest.raises(ALIError, match=next(iter(option))):
                saved.save_pretrained(tmp_path, **option)
    assert list(tmp_path.iterdir()) == []


def test_no_place_of_this_machine_is_written(sound: Path, tmp_path: Path) -> None:
    ALIPipeline.from_pretrained(sound).save_pretrained(tmp_path)
    texts = [path.read_text() for path in tmp_path.rglob("*.json")]
    assert len(texts) == 4
    assert not [text for text in texts if str(sound) in text or "_name_or_path" in text]
