"""ALI in Hugging Face diffusers: ``ALIPipeline`` and its components, with the host's names and habits.

Importing this module makes the classes known to the host, so that ``DiffusionPipeline.from_pretrained`` and
``AutoModel.from_pretrained`` find them. Needs the extra: ``pip install 'ali-plugin[diffusers]'``.
"""

from __future__ import annotations

from ali_plugin.diffusers import host as host  # first: it says what is wrong with the host

from diffusers import ModelMixin as ModelMixin  # isort: skip  # where the host looks for a component's base class

from ali_plugin.diffusers.components import ALIDecoder, ALIDiscriminator, ALIDiscriminatorOutput, ALIEncoder
from ali_plugin.diffusers.distribution import LatentDistribution
from ali_plugin.diffusers.pipeline import ALIInversionOutput, ALIPipeline

__all__ = [
    "ALIDecoder", "ALIDiscriminator", "ALIDiscriminatorOutput", "ALIEncoder", "ALIInversionOutput", "ALIPipeline",
    "LatentDistribution",
]  # fmt: skip

host.register(ALIPipeline, ALIEncoder, ALIDecoder, ALIDiscriminator)
