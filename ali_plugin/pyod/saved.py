"""A detector as a folder: the model's own, with a JSON file and tensors beside it. Nothing of it is pickled."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from math import prod
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

import torch
from torch import Tensor

from ali_plugin.datasets.split import DataSplit
from ali_plugin.errors import ConfigError, WeightsError
from ali_plugin.folder import weights
from ali_plugin.model import ALI
from ali_plugin.pyod.samples import Form, InvalidParameter
from ali_plugin.support import atomic
from ali_plugin.support.devices import resolve_device
from ali_plugin.support.limits import MAX_STEPS
from ali_plugin.support.strict_json import is_integer, read_object

NAME, TENSORS = "detector.json", "detector.safetensors"
KEYS = {"parameters", "steps"}


class Fitted(Protocol):
    """What is kept of an ``ALIDetector``, and how one is made of it again."""

    model_: ALI
    n_steps_: int
    form_: Form
    training_: DataSplit
    decision_scores_: Any

    def get_params(self, deep: bool = True) -> dict[str, Any]: ...

    def checked(self) -> object: ...

    def hold(self, model: ALI, steps: int, form: Form, training: DataSplit, scores: Any) -> Self: ...


Detector = TypeVar("Detector", bound=Fitted)


def write(detector: Fitted, folder: Path) -> None:
    """Write the model, the training samples, by which scores are made, and their scores.

    Raises:
        FolderError: it cannot be written.
        InvalidParameter: a parameter is an object that JSON cannot hold.
    """
    parameters = detector.get_params(deep=False)
    for name, value in parameters.items():
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise InvalidParameter(f"{name} is a {type(value).__name__}, which a file cannot hold; set another one "
                                   f"with set_params({name}=...) before you save") from error  # fmt: skip
    form = detector.form_
    tensors = {
        "training": torch.from_numpy(detector.training_.data),
        "decision_scores": torch.from_numpy(detector.decision_scores_),
    }
    if form.mean is not None and form.deviation is not None:
        tensors |= {"mean": torch.from_numpy(form.mean), "deviation": torch.from_numpy(form.deviation)}
    detector.model_.save_pretrained(folder)
    weights.write(folder / TENSORS, tensors)
    atomic.write(folder / NAME, json.dumps({"parameters": parameters, "steps": detector.n_steps_}, indent=2) + "\n")


def read(make: Callable[..., Detector], folder: Path, device: str) -> Detector:
    """The detector that ``write`` wrote, its model on a device.

    Args:
        make: builds one that is not fitted from its parameters.

    Raises:
        ALIError: the folder is none, or damaged.
    """
    path = folder / NAME
    raw = read_object(path)
    if set(raw) != KEYS or not isinstance(raw["parameters"], dict) or not is_integer(raw["steps"], MAX_STEPS):
        raise ConfigError(f"{path} is no record of a detector of this version")
    try:
        detector = make(**{**raw["parameters"], "device": device})
        detector.checked()
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{path} has parameters that a detector cannot have: {error}") from error
    model = ALI.from_pretrained(folder, device=resolve_device(device))
    tensors = weights.read_all(folder / TENSORS)
    form = _form(tensors, model.config.data_shape)
    if form is None:
        raise WeightsError(f"{folder / TENSORS} is not what a detector of this model writes; save it again")
    training = DataSplit(tensors["training"].numpy())
    return detector.hold(model, raw["steps"], form, training, tensors["decision_scores"].numpy())


def _form(tensors: Mapping[str, Tensor], shape: tuple[int, ...]) -> Form | None:
    """The form of a table's samples or of pictures; None where the tensors do not fit together."""
    count, kinds = len(tensors.get("training", ())), {"training", "decision_scores"}
    wanted: dict[str, Any] = {"training": (count, *shape), "decision_scores": (count,)}
    if len(shape) == 1:
        wanted |= dict.fromkeys(("mean", "deviation"), (prod(shape),))
        kinds |= {"mean", "deviation"}
    sound = (
        {name: tuple(tensor.shape) for name, tensor in tensors.items()} == wanted
        and all(torch.isfinite(tensor).all() for tensor in tensors.values())
        and tensors["training"].dtype in (torch.uint8, torch.float32)
        and all(tensors[name].dtype == torch.float64 for name in kinds - {"training"})
        and count > 1
    )
    if not sound:
        return None
    return Form(shape, *(tensors[name].numpy() for name in ("mean", "deviation") if name in tensors))
