"""Nets whose features the Fréchet distance compares, each with a name that says exactly which it is."""

from __future__ import annotations

import hashlib
import importlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ali_plugin.errors import ALIError, DataError, MissingExtra, OptionError, PartMismatch, WeightsError
from ali_plugin.evaluation.classifier import load_classifier
from ali_plugin.evaluation.context import Context
from ali_plugin.support.extras import need
from ali_registry.text import printable

INCEPTION = "inception-v3-compat"
INCEPTION_URL = (
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth"
)
INCEPTION_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
INCEPTION_BYTES = 95_628_359
IMAGENET_MEAN, IMAGENET_STDDEV, IMAGENET_SIZE = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), 224


@dataclass(frozen=True)
class Extractor:
    """Features (B, D) of pictures (B, C, H, W) in [0, 1]; the name tells nets and weights apart."""

    name: str
    features: Callable[[Tensor], Tensor]


def load_extractor(context: Context) -> Extractor:
    """The extractor that the context names.

    ``inception`` is the usual Inception net, which torch-fidelity fetches; ``classifier`` a small net that is
    trained on the dataset; ``NAME:FILE.safetensors`` a local torchvision (or timm) checkpoint; ``auto`` Inception
    where its weights can be had, else the classifier, with a note.

    Raises:
        PartMismatch: the data are no pictures.
        ALIError: the net, its weights or a package are missing.
    """
    shape, name = context.model.config.data_shape, context.extractor
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise PartMismatch(f"metric 'frechet' compares pictures, the model makes data of shape {shape}")
    device = context.model.device
    if name == "auto":
        try:
            return _inception(device)
        except ALIError as error:
            context.notes.append(f"features come from a classifier of {context.dataset!r}, not from Inception: {error}")
            return _classifier(context, device)
    if name == "inception":
        return _inception(device)
    if name == "classifier":
        return _classifier(context, device)
    architecture, colon, path = name.partition(":")
    if not colon:
        raise OptionError(
            f"--extractor is {name!r}; it is auto, inception, classifier, or a checkpoint such as "
            "resnet18:weights.safetensors"
        )
    return _checkpoint(architecture, Path(path), device)


def _classifier(context: Context, device: torch.device) -> Extractor:
    net, digest = load_classifier(context.split("train"))
    net.to(device)
    return Extractor(f"{context.dataset}-classifier-{digest}", lambda x: net.features(x.to(device)).float())


def _inception(device: torch.device) -> Extractor:
    module = need("torch_fidelity.feature_extractor_inceptionv3", "the Inception extractor", "eval")
    weights = _inception_weights()
    net = module.FeatureExtractorInceptionV3(INCEPTION, ["2048"], weights).to(device).eval()

    def features(x: Tensor) -> Tensor:
        pictures = x.to(device).expand(-1, 3, -1, -1).clamp(0, 1).mul(255).round().to(torch.uint8)
        found: Tensor = net(pictures)[0]
        return found.float()

    return Extractor(INCEPTION, features)


def _inception_weights() -> io.BytesIO:
    """The file of torch-fidelity, the only pickle that is ever read: the very bytes that are known, plain tensors.

    Raises:
        DataError: it cannot be fetched, or what is there is another file.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / INCEPTION_URL.rpartition("/")[2]
    try:
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(INCEPTION_URL, str(path), hash_prefix=INCEPTION_SHA256, progress=False)
        with path.open("rb") as file:
            content = file.read(INCEPTION_BYTES + 1)
    except (OSError, RuntimeError, ValueError) as error:
        raise DataError(f"the weights of Inception cannot be fetched ({printable(error, 200)})") from error
    if hashlib.sha256(content).hexdigest() != INCEPTION_SHA256:
        raise DataError(f"{path} is not the file of torch-fidelity (its SHA-256 is another); it is not read, remove it")
    state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    own = io.BytesIO()  # what that library unpickles without care is a file of ours
    torch.save(state, own)
    own.seek(0)
    return own


def _checkpoint(architecture: str, path: Path, device: torch.device) -> Extractor:
    with torch.device("meta"):
        net = _build(architecture)
    _check_shapes(net, path)
    net = net.to_empty(device=device)
    net.load_state_dict(load_file(path, device=str(device)))
    net.eval()
    last = [module for module in net.modules() if isinstance(module, nn.Linear)][-1:]
    if not last:
        raise WeightsError(f"{architecture!r} does not end in a linear layer, whose input the features would be")
    taken: list[Tensor] = []
    last[0].register_forward_pre_hook(lambda _, inputs: taken.append(inputs[0]))
    mean, stddev = (torch.tensor(v, device=device)[:, None, None] for v in (IMAGENET_MEAN, IMAGENET_STDDEV))

    def features(x: Tensor) -> Tensor:
        pictures = x.to(device).float().expand(-1, 3, -1, -1)
        pictures = interpolate(pictures, (IMAGENET_SIZE, IMAGENET_SIZE), mode="bilinear", antialias=True)
        taken.clear()
        net((pictures - mean) / stddev)
        return taken[-1].flatten(1).float()

    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    return Extractor(f"{architecture}-{digest}", features)


def _build(architecture: str) -> nn.Module:
    from torchvision.models import get_model

    try:
        net: nn.Module = get_model(architecture, weights=None)
        return net
    except ValueError:
        timm = _timm(architecture)
        try:
            made: nn.Module = timm.create_model(architecture, pretrained=False)
            return made
        except RuntimeError as error:
            raise OptionError(f"neither torchvision nor timm has a model {architecture!r}") from error


def _timm(architecture: str) -> Any:
    """The library timm, which is in no extra."""
    try:
        return importlib.import_module("timm")
    except ModuleNotFoundError as error:
        raise MissingExtra(f"torchvision has no model {architecture!r}; if timm has it: pip install timm") from error


def _check_shapes(net: nn.Module, path: Path) -> None:
    """Compare the file's header with the net before memory is taken for the weights."""
    try:
        with safe_open(path, "pt") as file:
            found = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{str(path)!r} cannot be read as a safetensors file ({error})") from error
    wanted = {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
    for name in sorted(found.keys() ^ wanted.keys()):
        raise WeightsError(f"{str(path)!r} {'lacks' if name in wanted else 'has a tensor too many,'} {name!r}")
    for name, shape in wanted.items():
        if found[name] != shape:
            raise WeightsError(f"{name!r} in {str(path)!r} has shape {found[name]}, the net takes {shape}")
