"""The real diffusers package runs our models, and loses nothing of them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from ali_plugin import ALI, ALIError, Decoder, Discriminator, Encoder, hookimpl
from ali_plugin.diffusers import ALIDecoder, ALIDiscriminator, ALIEncoder, ALIPipeline
from conftest import registered


class Spectral(nn.Module):
    """What third-party nets are like: an argument, a buffer that is not saved, parametrised weights."""

    scale: Tensor

    def __init__(self, inputs: int, outputs: int, width: int) -> None:
        super().__init__()
        self.inner = nn.utils.parametrizations.spectral_norm(nn.Linear(inputs, width))
        self.outer = nn.utils.spectral_norm(nn.Linear(width, outputs))
        self.register_buffer("scale", torch.linspace(0.5, 1.5, outputs), persistent=False)

    def forward(self, *inputs: Tensor) -> Tensor:
        out: Tensor = self.outer(self.inner(torch.cat(inputs, 1)).tanh())
        return self.scale * out


class SmallEncoder(Spectral):
    def __init__(self, data_shape: tuple[int, ...], latent_size: int, width: int) -> None:
        super().__init__(data_shape[0], latent_size, width)


class SmallDecoder(Spectral):
    def __init__(self, data_shape: tuple[int, ...], latent_size: int, width: int) -> None:
        super().__init__(latent_size, data_shape[0], width)


class SmallDiscriminator(Spectral):
    def __init__(self, data_shape: tuple[int, ...], latent_size: int, width: int) -> None:
        super().__init__(data_shape[0] + latent_size, 1, width)


class ThirdParty:
    """A plugin with the three of them."""

    @hookimpl
    def register_encoders(self, register: Any) -> None:
        register(Encoder(name="small", build=SmallEncoder, arguments={"width": 5}))

    @hookimpl
    def register_decoders(self, register: Any) -> None:
        register(Decoder(name="small", build=SmallDecoder, arguments={"width": 5}))

    @hookimpl
    def register_discriminators(self, register: Any) -> None:
        register(Discriminator(name="small", build=SmallDiscriminator, arguments={"width": 5}))


@pytest.fixture(scope="module", autouse=True)
def third_party() -> Iterator[None]:
    with registered(ThirdParty()):
        yield


SMALL = {"encoder": "small", "decoder": "small", "discriminator": "small"}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "pictures": ("fashion", {}),
    "conditional": ("fashion", {"condition_size": 3, "condition_names": ["shirt", "bag", "boot"]}),
    "classes": ("fashion", {"classes": 4}),
    "deterministic, gaussian likelihood": (
        "fashion",
        {"parts": {"encoder": "fashion-deterministic", "decoder": "fashion-gaussian"}},
    ),
    "points, implicit": ("mixture", {}),
    "third-party": ("mixture", {"parts": SMALL, "latent_size": 7, "arguments": {"encoder": {"width": 9}}}),
}


def made(kind: str) -> ALI:
    """An untrained model that is unlike a fresh one in every tensor."""
    name, options = KINDS[kind]
    torch.manual_seed(0)
    model = ALI.from_architecture(name, **options).eval()
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            tensor.add_(0.01 * torch.randn_like(tensor))
    return model


@pytest.fixture(scope="module")
def model() -> ALI:
    return made("pictures")


@pytest.fixture(scope="module")
def pipe(model: ALI) -> ALIPipeline:
    pipe = ALIPipeline.from_model(model)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture(scope="module")
def saved(pipe: ALIPipeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a pipeline; read only."""
    folder = tmp_path_factory.mktemp("saved")
    pipe.save_pretrained(folder)
    return folder


def seeded(seed: int = 3) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def same(a: ALI, b: ALI) -> None:
    assert a.config == b.config
    mine, theirs = a.state_dict(), b.state_dict()
    assert list(mine) == list(theirs)
    assert all(torch.equal(mine[name], theirs[name]) and mine[name].dtype == theirs[name].dtype for name in mine)


@pytest.mark.parametrize("kind", KINDS)
def test_there_and_back(kind: str, tmp_path: Path) -> None:
    model = made(kind)
    size = model.config.condition_size
    labels = [0, 2, 1] if size else None
    condition = torch.eye(size)[labels] if size else None
    model.save_pretrained(tmp_path / "own")
    first = ALIPipeline.from_pretrained(tmp_path / "own")
    first.save_pretrained(tmp_path / "pipeline")
    same(ALI.from_pretrained(tmp_path / "pipeline"), model)
    samples = model.sample(3, condition, generator=seeded())
    for loaded in (first, diffusers.DiffusionPipeline.from_pretrained(tmp_path / "pipeline")):
        assert type(loaded) is ALIPipeline
        same(loaded.model, model)
        images = loaded(3, class_labels=labels, generator=seeded(), output_type="pt").images
        assert torch.equal(images, samples)
        latents = loaded.invert(samples, labels, generator=seeded()).latents
        assert torch.equal(latents, model.encode(samples, condition).sample(seeded()))
        again = loaded.reconstruct(samples, labels, output_type="pt").images
        assert torch.equal(again, model.reconstruct(samples, condition))
        path = loaded.interpolate(samples, samples.flip(0), 4, labels, output_type="pt").images
        assert torch.equal(path, model.interpolate(samples, samples.flip(0), 4, condition).flatten(0, 1))
        logits = loaded.discriminator.discriminate(samples, latents, labels).logits
        assert torch.equal(logits, model.discriminate(samples, latents, condition))


def test_precision_survives(model: ALI, saved: Path, tmp_path: Path) -> None:
    half = ALIPipeline.from_pretrained(saved, dtype=torch.bfloat16)
    half.save_pretrained(tmp_path)
    assert half.dtype == torch.bfloat16
    loaded = ALI.from_pretrained(tmp_path, dtype=None)
    assert torch.equal(half(2, generator=seeded(), output_type="pt").images, loaded.sample(2, generator=seeded()))
    same(ALIPipeline.from_pretrained(saved).to(torch.bfloat16).model, loaded)
    assert ALIPipeline.from_pretrained(tmp_path).dtype == torch.float32


@pytest.mark.parametrize(
    "load",
    [
        lambda own, saved: ALIDecoder.from_pretrained(saved, subfolder="decoder"),
        lambda own, saved: ALIDecoder.from_pretrained(saved / "decoder"),
        lambda own, saved: ALIDecoder.from_pretrained(saved),
        lambda own, saved: ALIDecoder.from_pretrained(own),
        lambda own, saved: ALIDecoder.from_pretrained(own, subfolder="decoder"),
        lambda own, saved: ALIDecoder.from_pretrained(saved, device_map="auto", low_cpu_mem_usage=True),
        lambda own, saved: ALIDecoder.from_pretrained(own, device_map="cpu"),
        lambda own, saved: diffusers.AutoModel.from_pretrained(str(saved), subfolder="decoder"),
        lambda own, saved: diffusers.AutoModel.from_pretrained(str(saved / "decoder")),
    ],
)
def test_components_alone(load: Any, model: ALI, saved: Path, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    decoder = load(tmp_path, saved)
    assert type(decoder) is ALIDecoder
    assert not decoder.training
    z = model.prior(2, seeded())
    assert torch.equal(decoder.decode(z).sample, model.decode(z))
    assert torch.equal(decoder(z, return_dict=False)[0], model.decode(z))


def test_a_component_is_built_by_name() -> None:
    decoder = ALIDecoder(name="small", latent_size=3, data_shape=(2,), arguments={"width": 4})
    assert decoder.decode(torch.zeros(5, 3)).sample.shape == (5, 2)
    assert decoder.config.name == "small"
    assert ALIEncoder(name="mixture", latent_size=2, data_shape=(2,)).config.plugins[0]["distribution"] == "ali-plugin"
    with pytest.raises(ALIError, match="latent_size is 0"):
        ALIDecoder(name="small", latent_size=0, data_shape=(2,))


def test_latent_dist_is_the_hosts(model: ALI, pipe: ALIPipeline) -> None:
    x = torch.rand(4, 1, 28, 28)
    mine, posterior = pipe.encoder.encode(x).latent_dist, model.encode(x)
    theirs = diffusers.models.autoencoders.vae.DiagonalGaussianDistribution(mine.parameters[:, :, None, None])
    assert isinstance(mine, diffusers.models.autoencoders.vae.DiagonalGaussianDistribution)
    assert torch.equal(mine.mode(), posterior.mean)
    assert torch.equal(mine.std, posterior.stddev)
    z = mine.sample(seeded())
    torch.testing.assert_close(mine.kl(), theirs.kl())
    torch.testing.assert_close(mine.nll(z), theirs.nll(z[:, :, None, None]))
    other = pipe.encoder.encode(1 - x).latent_dist
    shifted = diffusers.models.autoencoders.vae.DiagonalGaussianDistribution(other.parameters[:, :, None, None])
    torch.testing.assert_close(mine.kl(other), theirs.kl(shifted))


def test_what_a_call_returns(model: ALI, pipe: ALIPipeline) -> None:
    pictures = pipe(generator=seeded()).images
    assert [(image.mode, image.size) for image in pictures] == [("L", (28, 28))]
    array = pipe(3, output_type="np").images
    assert array.shape == (3, 28, 28, 1)
    assert pipe(3, output_type="pt", return_dict=False)[0].shape == (3, 1, 28, 28)
    z = model.prior(2, seeded())
    assert torch.equal(pipe(latents=z, output_type="pt").images, model.decode(z))
    each = pipe(2, generator=[seeded(1), seeded(2)], output_type="pt").images
    alone = [pipe(1, generator=seeded(seed), output_type="pt").images for seed in (1, 2)]
    torch.testing.assert_close(each, torch.cat(alone))
    assert pipe.device == torch.device("cpu")


def test_progress_and_callbacks(pipe: ALIPipeline, capsys: pytest.CaptureFixture[str]) -> None:
    seen = []

    def on_step_end(host: ALIPipeline, step: int, timestep: int, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        assert host is pipe
        seen.append((step, timestep, len(tensors["latents"])))
        return {"latents": torch.zeros_like(tensors["latents"])}

    chunked: dict[str, Any] = {"output_type": "pt", "decode_chunk_size": 2}
    images = pipe(5, callback_on_step_end=on_step_end, **chunked).images
    assert seen == [(0, 0, 2), (1, 1, 2), (2, 2, 1)]
    torch.testing.assert_close(images, images[:1].expand_as(images))
    assert capsys.readouterr().err == ""
    pipe.set_progress_bar_config(disable=False)
    pipe(5, **chunked)
    pipe.set_progress_bar_config(disable=True)
    assert "3/3" in capsys.readouterr().err


def test_pictures_of_every_kind_go_in(model: ALI, pipe: ALIPipeline) -> None:
    array = np.random.default_rng(0).integers(0, 256, (2, 28, 28, 1), np.uint8)
    x = torch.from_numpy(array).movedim(-1, 1) / 255
    expected = model.encode(x).mean
    pictures = [Image.fromarray(one[:, :, 0]) for one in array]
    for images in (x, array, array.astype(np.float32) / 255, pictures, list(x), list(array)):
        torch.testing.assert_close(pipe.invert(images).latents, expected)
    for image in (x[0], array[0], pictures[0]):
        torch.testing.assert_close(pipe.invert(image).latents, expected[:1])
    assert pipe.reconstruct(pictures[0].resize((90, 60)).convert("RGB")).images[0].size == (28, 28)


def test_labels_of_every_kind() -> None:
    pipe = ALIPipeline.from_model(made("conditional"))
    z = torch.zeros(2, pipe.model_config.latent_size)
    expected = pipe(latents=z, class_labels=[1, 2], output_type="pt").images
    assert not torch.equal(expected[0], expected[1])
    for labels in (["bag", "boot"], torch.tensor([1, 2]), torch.eye(3)[[1, 2]]):
        assert torch.equal(pipe(latents=z, class_labels=labels, output_type="pt").images, expected)
        assert torch.equal(pipe.decoder.decode(z, labels).sample, expected)
    for label in (1, "bag"):
        images = pipe(latents=z, class_labels=label, output_type="pt").images
        torch.testing.assert_close(images, expected[:1].expand_as(images))
    assert len(pipe(class_labels=[0, 1, 2]).images) == 3
    with pytest.raises(ALIError, match="no element 3; its elements are 0 to 2"):
        pipe(class_labels=[3])
    with pytest.raises(ALIError, match="takes a condition"):
        pipe(2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"output_type": "jpeg"}, "output_type is 'jpeg'"),
        ({"batch_size": 0}, "cannot draw 0"),
        ({"batch_size": 2, "latents": torch.zeros(3, 16)}, "batch_size 2, latents 3"),
        ({"latents": torch.zeros(1, 5)}, "takes latents"),
        ({"class_labels": 1}, "no condition"),
        ({"batch_size": 2, "generator": [torch.Generator()]}, "1 generators for 2"),
        ({"callback_on_step_end_tensor_inputs": ["noise"]}, "noise"),
        ({"decode_chunk_size": -1}, "decode_chunk_size is -1"),
    ],
)
def test_arguments_that_do_not_fit(pipe: ALIPipeline, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ALIError, match=message):
        pipe(**arguments)


def test_pictures_that_do_not_fit(pipe: ALIPipeline) -> None:
    with pytest.raises(ALIError, match=r"shape \(1, 28, 28\), got \(1, 5, 5\)"):
        pipe.invert(torch.zeros(2, 1, 5, 5))
    with pytest.raises(ALIError, match="no pictures are given"):
        pipe.invert([])
    with pytest.raises(ALIError, match="2 pictures and 1"):
        pipe.interpolate(torch.zeros(2, 1, 28, 28), torch.zeros(1, 28, 28), 3)
    with pytest.raises(ALIError, match="no pictures; take output_type"):
        ALIPipeline.from_model(made("third-party"))(2)


def test_parts_that_were_left_out(saved: Path, tmp_path: Path) -> None:
    pipe = ALIPipeline.from_pretrained(saved, encoder=None, discriminator=None)
    pipe.save_pretrained(tmp_path)
    assert set(ALI.from_pretrained(tmp_path).config.parts) == {"decoder"}
    again = diffusers.DiffusionPipeline.from_pretrained(tmp_path)
    assert again.encoder is None
    assert len(again(2).images) == 2
    with pytest.raises(ALIError, match="no encoder"):
        again.invert(torch.zeros(1, 28, 28))
    other = ALIDiscriminator(name="small", latent_size=2, data_shape=(2,))
    with pytest.raises(ALIError, match="the decoder is for latent_size 16, but the discriminator is for 2"):
        ALIPipeline(None, pipe.decoder, other)


def test_a_folder_holds_one_model(model: ALI, saved: Path, tmp_path: Path) -> None:
    other = made("third-party")
    for _ in range(2):
        model.save_pretrained(tmp_path)
        same(ALIPipeline.from_pretrained(tmp_path).model, model)
        ALIPipeline.from_model(other).save_pretrained(tmp_path)
        same(ALI.from_pretrained(tmp_path), other)
    ALIPipeline.from_pretrained(saved, discriminator=None).save_pretrained(tmp_path)
    assert not (tmp_path / "discriminator").exists()


def test_variants(model: ALI, saved: Path, tmp_path: Path) -> None:
    ALIPipeline.from_pretrained(saved).save_pretrained(tmp_path, variant="ema")
    assert (tmp_path / "decoder" / "diffusion_pytorch_model.ema.safetensors").is_file()
    same(ALIPipeline.from_pretrained(tmp_path, variant="ema").model, model)
    with pytest.raises(ALIError, match="cannot be read"):
        ALIPipeline.from_pretrained(tmp_path)
    with pytest.raises(ALIError, match="no name of a variant"):
        ALIDecoder.from_pretrained(saved, variant="../x")


def run(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True)


def test_without_the_extra(saved: Path, tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['diffusers'] = None\n"
        "from ali_plugin import ALI, ALIError\n"
        "ALI.from_pretrained(sys.argv[1]).sample(1)\n"
        "try:\n    import ali_plugin.diffusers\nexcept ALIError as error:\n    print(type(error).__name__, error)\n"
        "sys.argv = ['ali', 'export', sys.argv[1], '--out', sys.argv[2], '--format', 'diffusers']\n"
        "from ali_cli.main import main\nmain()\n"
    )
    ended = run(code, saved, tmp_path / "out")
    assert ended.stdout.startswith("MissingExtra ali_plugin.diffusers needs the diffusers package")
    assert ended.returncode == 1
    assert "pip install 'ali-plugin[diffusers]'" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_version_that_does_not_fit() -> None:
    code = (
        "import sys\nfrom types import SimpleNamespace\nfrom ali_plugin.errors import MissingExtra\n"
        "for version in sys.argv[1:]:\n"
        "    sys.modules['diffusers'] = SimpleNamespace(__version__=version)\n"
        "    try:\n        import ali_plugin.diffusers\n"
        "    except MissingExtra as error:\n        print(error)\n"
    )
    versions = ["0.41.2", "0.43.0.dev0", "1.42.0"]
    said = run(code, *versions).stdout.splitlines()
    assert len(said) == len(versions)
    for version, line in zip(versions, said, strict=True):
        assert f"works with diffusers 0.42, here is {version}: pip install 'ali-plugin[diffusers]'" in line
