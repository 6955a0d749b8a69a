"""Looking into the latent space: traversals, neighbours, truncated samples, samples as single files."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from ali_plugin import ALI
from ali_plugin.datasets import load_split
from ali_plugin.errors import OptionError
from ali_plugin.nets.latents import nearest, truncated
from ali_plugin.pictures.grid import grid
from ali_plugin.tasks.inputs import load_inputs
from ali_plugin.tasks.traverse import traversals
from conftest import Ali, Result


@pytest.fixture
def model(trained: Path) -> ALI:
    return ALI.from_pretrained(trained)


def test_a_direction_a_row(model: ALI) -> None:
    """Along a row one element of z goes from -reach to reach, the others stay."""
    made = traversals(model, [5, 0], steps=3, reach=2.0)
    assert made.directions == (5, 0)
    z = torch.zeros(2, 3, model.config.latent_size)
    z[0, :, 5] = z[1, :, 0] = torch.tensor([-2.0, 0, 2])
    expected = model.decode(z.flatten(0, 1)).reshape(2, 3, 1, 28, 28)
    assert torch.allclose(made.images, expected, atol=1e-5)


def test_the_strongest_directions_come_first(model: ALI) -> None:
    size = model.config.latent_size
    every = traversals(model, range(size), steps=2).images
    change = (every[:, 1] - every[:, 0]).square().flatten(1).mean(1)
    assert list(traversals(model, 4).directions) == change.argsort(descending=True)[:4].tolist()
    assert sorted(traversals(model, size + 9, steps=2).directions) == list(range(size))


def test_a_traversal_starts_at_a_picture(model: ALI, trained: Path) -> None:
    start = load_inputs(model, str(trained), limit=1)
    made = traversals(model, [3], steps=5, start=start)
    z = model.encode(start.x).mean.repeat(5, 1)
    z[:, 3] = torch.linspace(-3, 3, 5)
    assert torch.allclose(made.images[0], model.decode(z), atol=1e-5)
    with pytest.raises(OptionError, match="starts at one picture, not at 2"):
        traversals(model, start=load_inputs(model, str(trained), limit=2))


def test_a_conditional_model_is_told_what_to_show() -> None:
    conditional = ALI.from_architecture("fashion", condition_size=3).eval()
    with pytest.raises(OptionError, match="--condition"):
        traversals(conditional)
    one, other = (traversals(conditional, [0], condition=name).images for name in "01")
    assert not torch.equal(one, other)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"directions": 0}, "cannot show 0 directions"),
        ({"directions": [10_000]}, "has no direction 10000; they are 0 to"),
        ({"directions": [-1]}, "has no direction -1"),
        ({"steps": 1}, "at least 2 steps, not 1"),
        ({"reach": 0.0}, "its range is 0"),
        ({"reach": -2.0}, "its range is -2"),
        ({"reach": math.nan}, "its range is nan"),
        ({"reach": math.inf}, "its range is inf"),
        ({"steps": 10**9}, "too many at once"),
        ({"condition": "bag"}, "takes no condition"),
    ],
)
def test_traversals_that_cannot_be(options: dict[str, object], said: str, model: ALI) -> None:
    with pytest.raises(OptionError, match=said):
        traversals(model, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("limit", [0.5, 0.8, 2.0])
def test_truncated_noise(limit: float) -> None:
    """It has the deviation of the normal distribution that ends there, and keeps the order of its numbers."""
    noise = torch.randn(100_000, generator=torch.Generator().manual_seed(0))
    made = truncated(noise, limit)
    density = math.exp(-limit * limit / 2) / math.sqrt(2 * math.pi)
    expected = math.sqrt(1 - 2 * limit * density / math.erf(limit / math.sqrt(2)))
    assert made.abs().max() <= limit
    assert abs(made.std().item() - expected) < 0.01
    assert torch.equal(made[noise.argsort()], made.sort().values)


def test_a_far_truncation_changes_nothing() -> None:
    noise = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(truncated(noise, 100.0), noise, atol=1e-5)


def test_nearest_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    queries, points = torch.randn(7, 5, generator=generator), torch.randn(40, 5, generator=generator)
    expected = torch.cdist(queries, points).sort(1)
    monkeypatch.setattr("ali_plugin.nets.latents.ROWS", 3)
    distances, indices = nearest(queries, points, 6)
    assert torch.equal(indices, expected.indices[:, :6])
    assert torch.allclose(distances, expected.values[:, :6], atol=1e-5)
    assert nearest(queries, points, 99)[1].shape == (7, 40)


def paint(path: Path, ink: int = 90) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (40, 40), ink).save(path)
    return path


def refusal(done: Result) -> str:
    assert (done.code, done.err.count("\n")) == (1, 1), done.err
    return done.err


def test_truncated_samples(trained: Path, model: ALI, tmp_path: Path, ali: Ali) -> None:
    command = ("sample", trained, "-n", 6, "--truncation", 0.8, "--out", tmp_path / "a.safetensors")
    assert ali(*command).code == 0
    made = load_file(tmp_path / "a.safetensors")["images"]
    z = model.prior(6, torch.Generator().manual_seed(0), 0.8)
    assert z.abs().max() <= 0.8
    assert torch.allclose(made, model.decode(z), atol=1e-5)
    assert torch.allclose(made, model.sample(6, truncation=0.8, generator=torch.Generator().manual_seed(0)), atol=1e-5)
    for odd in (0, -1, "nan", "inf"):
        assert "the truncation is" in refusal(ali(*command[:5], odd, "--out", tmp_path / "b.png"))


def test_samples_as_single_files(trained: Path, tmp_path: Path, ali: Ali) -> None:
    """Each in its own size, as it has it in a grid."""
    out = tmp_path / "new"
    assert ali("sample", trained, "-n", 3, "--out", out).code == 0
    assert sorted(path.name for path in out.iterdir()) == ["000000.png", "000001.png", "000002.png"]
    ali("sample", trained, "-n", 3, "--out", tmp_path / "a.safetensors")
    for image, path in zip(load_file(tmp_path / "a.safetensors")["images"], sorted(out.iterdir()), strict=True):
        with Image.open(path) as file:
            assert file.size == (28, 28)
            assert np.abs(np.asarray(file) / 255 - image[0].numpy()).max() < 0.003
    assert "is in use" in refusal(ali("sample", trained, "--out", out))
    (tmp_path / "empty.d").mkdir()
    assert ali("sample", trained, "-n", 1, "--out", tmp_path / "empty.d").code == 0
    assert "end in .png or .safetensors, or have no ending" in refusal(ali("sample", trained, "--out", "a.jpg"))


def test_samples_like_pictures(trained: Path, model: ALI, tmp_path: Path, ali: Ali) -> None:
    """A row for each picture, of decoded draws of its posterior."""
    for i in range(3):
        paint(tmp_path / "p" / f"{i}.png", 80 * i)
    command = ("sample", trained, "--from", tmp_path / "p")
    assert ali(*command, "-n", 2, "--out", tmp_path / "a.safetensors").code == 0
    posterior = model.encode(load_inputs(model, str(trained), [tmp_path / "p"]).x)
    generator = torch.Generator().manual_seed(0)
    draws = torch.stack([model.decode(posterior.sample(generator)) for _ in range(2)], 1).flatten(0, 1)
    assert torch.allclose(load_file(tmp_path / "a.safetensors")["images"], draws, atol=1e-5)
    assert ali(*command, "--out", tmp_path / "new").code == 0
    assert len(list((tmp_path / "new").iterdir())) == 3
    out = ("--out", tmp_path / "b.png")
    assert "leave one of them out" in refusal(ali(*command, "--truncation", 1, *out))
    assert "takes no condition" in refusal(ali(*command, "--condition", "bag", *out))
    assert "name it once" in refusal(ali(*command, "--condition", "bag", "--condition", "coat", *out))
    assert "leave it out" in refusal(ali("sample", trained, "--background", "black", *out))
    assert "nowhere" in refusal(ali("sample", trained, "--from", tmp_path / "nowhere", *out))


def test_traverse(trained: Path, tmp_path: Path, ali: Ali) -> None:
    out = tmp_path / "t.png"
    done = ali("traverse", trained, "--directions", 3, "--steps", 5, "--out", out, "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)["directions"]
    assert len(set(found)) == 3
    with Image.open(out) as file:
        assert file.size == (2 * (5 * 29 + 1), 2 * (3 * 29 + 1))
    picture = paint(tmp_path / "a.png")
    chosen = [word for number in found for word in ("--index", number)]
    assert ali("traverse", trained, picture, *chosen, "--range", 2, "--out", tmp_path / "t.safetensors").code == 0
    assert load_file(tmp_path / "t.safetensors")["images"].shape == (27, 1, 28, 28)
    for options, said in (
        (["--index", 9999], "no direction 9999"),
        (["--range", -1], "its range is -1"),
        (["--condition", "bag"], "takes no condition"),
        ([tmp_path / "gone.png"], "cannot be read as a picture"),
        (["--steps", 600], "too many for one PNG"),
    ):
        assert said in refusal(ali("traverse", trained, *options, "--out", out))


def test_neighbours(tmp_path: Path, trained: Path, model: ALI, ali: Ali) -> None:
    """A held-out picture is its own nearest; names that command a terminal do not."""
    for i in range(60):
        paint(tmp_path / "p" / f"{i}\x1b[31m.png", 4 * i)
    data = ("--dataset", "image-folder", "--data-dir", tmp_path / "p")
    split = load_split("image-folder", "test", data_dir=tmp_path / "p", data_shape=(1, 28, 28))
    picture = tmp_path / "p" / split.names[1]
    done = ali("neighbours", trained, picture, *data, "-n", 2, "--out", tmp_path / "n.png", "--json")
    assert done.code == 0, done.err
    ((found,),) = [json.loads(done.out)["pictures"]]
    assert found["neighbours"][0]["row"] == 1
    assert found["neighbours"][0]["distance"] < 1e-5
    x = torch.from_numpy(split.data).float() / 255
    distances, indices = model.neighbours(x[1:2], x, 2)
    assert [near["row"] for near in found["neighbours"]] == indices[0].tolist()
    assert [near["distance"] for near in found["neighbours"]] == pytest.approx(distances[0].tolist(), abs=1e-5)
    with Image.open(tmp_path / "n.png") as file:
        assert file.size == (2 * (3 * 29 + 1), 2 * 30)
    shown = ali("neighbours", trained, picture, "-n", 10_000, *data).out
    assert "\x1b" not in shown
    assert shown.count("\n") == 2 + len(split)


def test_neighbours_in_the_model_s_own_data(tmp_path: Path, trained: Path, ali: Ali) -> None:
    command = ("neighbours", trained, paint(tmp_path / "a.png"), "--background", "black")
    done = ali(*command, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["dataset"] == "fashion-mini"
    assert len(json.loads(done.out)["pictures"][0]["neighbours"]) == 8
    assert ali("neighbours", trained).code == 2
    assert "cannot be read as a picture" in refusal(ali("neighbours", trained, tmp_path / "gone.png"))


@pytest.mark.parametrize(
    ("shape", "count", "size"),
    [((1, 28, 28), 4, (118, 118)), ((3, 16, 64), 4, (131, 35)), ((3, 64, 16), 2, (35, 66)), ((3, 48, 48), 1, (48, 48)),
     ((1, 256, 256), 4, (515, 515)), ((3, 16, 16), 1, (64, 64))],
)  # fmt: skip
def test_grids_have_the_right_size(shape: tuple[int, ...], count: int, size: tuple[int, int]) -> None:
    assert grid(torch.rand(count, *shape)).size == size


def test_a_grid_is_not_larger_than_what_is_read_again() -> None:
    with pytest.raises(OptionError, match=r"2000 pictures of 256x256 are too many for one PNG \(at most 1016\)"):
        grid(torch.zeros(1).expand(2000, 3, 256, 256))
