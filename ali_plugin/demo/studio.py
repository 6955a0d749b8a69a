"""What the page asks of a model: pictures drawn, varied, looked at, and paths between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from ali_plugin.config import conditions
from ali_plugin.hub.download import locate
from ali_plugin.model import ALI
from ali_plugin.pictures.decode import check_shape
from ali_plugin.pictures.grid import grid
from ali_plugin.scoring import DEFAULT, Scoring
from ali_plugin.support.devices import seeded
from ali_plugin.tasks.generate import interpolate, reconstruct
from ali_plugin.tasks.inputs import Inputs, load_inputs, load_model
from ali_plugin.tasks.score import Ordinary
from ali_registry.text import printable

SAMPLES, STEPS = 24, 10
LARGE = 224  # pixels to which a single small picture is enlarged


@dataclass(frozen=True)
class Look:
    """What a model makes of a picture.

    Attributes:
        shown: the picture as the model takes it; again: its reconstruction, through the posterior mean.
        code: the mean of q(z|x), (latent_size,).
        score: higher is stranger.
    """

    shown: Image.Image
    again: Image.Image
    code: Tensor
    score: float


class Studio:
    """A model with a scorer.

    Args:
        folder: that the model was loaded from.
        name: to call the model on the page.
        scoring: fitted, if it compares with training data.

    Raises:
        PartMismatch: the model is of other data than pictures.
        OptionError: it has no decoder.
    """

    def __init__(self, model: ALI, folder: str, name: str, scoring: Scoring, scorer: str = DEFAULT) -> None:
        check_shape(model.config.data_shape)
        model.part("decoder")
        self.model, self.folder, self.name, self.scoring, self.scorer = model, folder, name, scoring, scorer

    @classmethod
    def of(
        cls,
        source: str,
        scorer: str = DEFAULT,
        options: Mapping[str, Any] | None = None,
        device: str = "auto",
        name: str | None = None,
    ) -> Studio:
        """That of a model folder, or of a model on the Hub.

        Args:
            name: to call it on the page, in place of the folder's or the Hub's.

        Raises:
            ALIError: the model or its training data, if the scorer compares with them, cannot be had; see ``Studio``.
        """
        folder = str(locate(source))  # once: nothing is asked of the Hub while the page is open
        model = load_model(folder, device)
        scoring = Scoring(model, scorer, options, model.registry)
        studio = cls(model, folder, printable(name or _name(source), 100), scoring, scorer)
        if not scoring.fitted:
            scoring.fit(Ordinary(model, folder)("train"))
        return studio

    @property
    def encodes(self) -> bool:
        """Whether it can look at pictures."""
        return self.model.encoder is not None

    @property
    def elements(self) -> list[str]:
        """What a condition is chosen of; [] where the model has none."""
        config = self.model.config
        return list(config.condition_names) or [str(i) for i in range(config.condition_size)]

    @torch.no_grad()
    def draw(self, seed: int, chosen: Sequence[str] = ()) -> tuple[Tensor, list[Image.Image]]:
        """z (N, latent_size) from the prior, and what they decode to."""
        z = self.model.prior(SAMPLES, seeded(seed))
        return z, self._decoded(z, chosen)

    @torch.no_grad()
    def vary(
        self, z: Tensor, strength: float, seed: int, chosen: Sequence[str] = ()
    ) -> tuple[Tensor, list[Image.Image]]:
        """Samples around one: z (latent_size,) and others that share with it what ``strength``, 0 to 1, leaves.

        Their codes are as far from 0 as those of the prior are.
        """
        other = self.model.prior(SAMPLES - 1, seeded(seed))
        near = (1 - strength**2) ** 0.5 * z + strength * other
        codes = torch.cat([z[None], near])
        return codes, self._decoded(codes, chosen)

    def look(self, picture: str, chosen: Sequence[str] = ()) -> Look:
        """A picture file through the model.

        Raises:
            DataError: it cannot be read.
        """
        inputs = self._inputs([picture], chosen)
        x = inputs.x.to(self.model.device, self.model.dtype)
        condition = None if inputs.condition is None else inputs.condition.to(self.model.device, self.model.dtype)
        with torch.no_grad():
            code = self.model.encode(x, condition).mean[0].float().cpu()
        again = reconstruct(self.model, inputs)
        return Look(_large(inputs.x), _large(again), code, self.scoring(x, condition).item())

    def walk(self, first: str, second: str, chosen: Sequence[str] = ()) -> Image.Image:
        """The path between the codes of two picture files, with the pictures at its ends."""
        path = interpolate(self.model, self._inputs([first, second], chosen), STEPS)
        return grid(path[0], columns=STEPS + 2)

    def _inputs(self, pictures: Sequence[str], chosen: Sequence[str]) -> Inputs:
        text = _text(chosen) if self.elements else None
        return load_inputs(self.model, self.folder, [Path(picture) for picture in pictures], condition=text)

    def _decoded(self, z: Tensor, chosen: Sequence[str]) -> list[Image.Image]:
        condition = None
        if self.elements:
            one = conditions.parse(_text(chosen), self.model.config)
            condition = one.expand(len(z), -1).to(self.model.device, self.model.dtype)
        return [_large(x[None]) for x in self.model.decode(z.to(self.model.device), condition).cpu()]


def _name(source: str) -> str:
    return Path(source).resolve().name if Path(source).is_dir() else source


def _large(picture: Tensor) -> Image.Image:
    """One picture (1, C, H, W), its elements seen as squares where they are few."""
    image = grid(picture)
    zoom = max(1, LARGE // image.width)
    return image.resize((image.width * zoom, image.height * zoom), Image.Resampling.NEAREST)


def _text(chosen: Sequence[str]) -> str:
    """Chosen elements as ``conditions.parse`` reads them, whatever their names hold."""
    return ",".join('"' + name.replace('"', '""') + '"' for name in chosen)
