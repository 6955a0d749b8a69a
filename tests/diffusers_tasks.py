"""What the diffusers tests have other processes do: functions for ``hub.client.Client``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import torch
from torch import Tensor

import ali_plugin.diffusers
from ali_plugin import ALI


def drawn(source: str, name: str, seed: int, **options: Any) -> list[Any]:
    """Samples of a pipeline of that class of either library, as nested lists."""
    pipe = getattr(diffusers, name).from_pretrained(source, **options)
    assert type(pipe) is ali_plugin.diffusers.ALIPipeline
    images: Tensor = pipe(2, generator=torch.Generator().manual_seed(seed), output_type="pt").images
    found: list[Any] = images.tolist()
    return found


def drawn_by_ali(source: str | Path, seed: int, **options: Any) -> list[Any]:
    """Samples of ``ALI.from_pretrained``."""
    model = ALI.from_pretrained(source, **options)
    found: list[Any] = model.sample(2, generator=torch.Generator().manual_seed(seed)).tolist()
    return found


def decoded(source: str, name: str, z: list[Any], **options: Any) -> list[Any]:
    """What a decoder that was loaded alone makes of latents."""
    decoder = getattr(diffusers, name).from_pretrained(source, **options)
    assert type(decoder) is ali_plugin.diffusers.ALIDecoder
    found: list[Any] = decoder.decode(torch.tensor(z)).sample.tolist()
    return found


def push(source: str, repo: str, **options: Any) -> str:
    """What ``push_to_hub`` returns for the pipeline of a folder."""
    return ali_plugin.diffusers.ALIPipeline.from_pretrained(source).push_to_hub(repo, **options)
