"""The commands on a trained run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from ali_plugin import ALI
from ali_plugin.datasets.fashion_mini import fashion_mini
from conftest import Ali


def test_sample(trained: Path, tmp_path: Path, ali: Ali) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        assert ali("sample", trained, "-n", 9, "--seed", seed, "--out", tmp_path / f"{name}.png").code == 0
    a, b, c = ((tmp_path / f"{name}.png").read_bytes() for name in "abc")
    assert a == b
    assert a != c
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (2 * (3 * 29 + 1), 2 * (3 * 29 + 1))  # three columns of 28 and a border, twice


def test_sample_tensors(trained: Path, tmp_path: Path, ali: Ali) -> None:
    result = ali("sample", trained, "-n", 300, "--out", tmp_path / "new.safetensors", "--json")
    assert json.loads(result.out)["samples"] == 300
    assert load_file(tmp_path / "new.safetensors")["images"].shape == (300, 1, 28, 28)


def test_reconstruct(trained: Path, tmp_path: Path, ali: Ali) -> None:
    result = ali("reconstruct", trained, "-n", 20, "--out", tmp_path / "again.png", "--json")
    shown = json.loads(result.out)
    assert shown["pictures"] == 20
    assert 0 < shown["mse"] < 1
    assert (tmp_path / "again.png").exists()


def test_own_pictures(trained: Path, tmp_path: Path, ali: Ali) -> None:
    for name in ("a", "b"):
        Image.fromarray(np.full((50, 40, 3), 200, np.uint8)).save(tmp_path / f"{name}.jpg")
    pictures = (tmp_path / "a.jpg", tmp_path / "b.jpg")
    assert ali("reconstruct", trained, *pictures, "--out", tmp_path / "again.png").code == 0
    assert ali("interpolate", trained, *pictures, "--steps", 3, "--out", tmp_path / "path.png").code == 0
    result = ali("interpolate", trained, *pictures, pictures[0], "--out", tmp_path / "path.png")
    assert "3 pictures do not make pairs" in result.err


def test_interpolate_keeps_the_originals_at_the_ends(trained: Path, tmp_path: Path, ali: Ali) -> None:
    assert ali("interpolate", trained, "--steps", 4, "--rows", 3, "--out", tmp_path / "p.safetensors").code == 0
    images = load_file(tmp_path / "p.safetensors")["images"].reshape(3, 6, 28, 28)
    assert (images[:, 0] * 255).frac().abs().max() < 1e-3  # pictures of the data are whole 255ths


def test_interpolate_between_an_odd_number_of_held_out_pictures(trained: Path, tmp_path: Path, ali: Ali) -> None:
    (tmp_path / "p").mkdir()
    for i in range(30):  # every tenth is held out
        Image.fromarray(np.full((30, 30), 8 * i, np.uint8)).save(tmp_path / "p" / f"{i:02}.png")
    data = ("--dataset", "image-folder", "--data-dir", tmp_path / "p")
    shown = json.loads(ali("interpolate", trained, *data, "--out", tmp_path / "x.png", "--json").out)
    assert shown["rows"] == 1


def test_encode(trained: Path, tmp_path: Path, ali: Ali) -> None:
    assert ali("encode", trained, "--out", tmp_path / "codes.safetensors").code == 0
    tensors = load_file(tmp_path / "codes.safetensors")
    latent = ALI.from_pretrained(trained).config.latent_size
    assert tensors["mean"].shape == tensors["sample"].shape == (500, latent)
    assert tensors["labels"].bincount().tolist() == [50] * 10


def test_evaluate(trained: Path, ali: Ali) -> None:
    figures = json.loads(ali("evaluate", trained, "--label-sets", 1, "--json").out)["metrics"]
    assert 0 < figures["reconstruction"]["mse"] < 1
    model, codes, labels = ALI.from_pretrained(trained), list[torch.Tensor](), list[torch.Tensor]()
    for split in (fashion_mini("train"), fashion_mini("test")):
        assert split.labels is not None
        with torch.no_grad():
            codes.append(model.encode(split.rows(slice(None))[0]).mean)
        labels.append(torch.from_numpy(split.labels))
    nearest = torch.cdist(codes[1], codes[0]).argmin(1)
    accuracy = (labels[0][nearest] == labels[1]).float().mean().item()
    assert accuracy > 0.1  # better than a guess
    assert figures["representation"]["nearest_neighbour_accuracy"] == pytest.approx(accuracy, abs=0.002)
    assert "nearest_neighbour_accuracy" in ali("evaluate", trained, "--metric", "representation", "--label-sets", 1).out


def test_export(trained: Path, tmp_path: Path, ali: Ali) -> None:
    assert ali("export", trained, "--out", tmp_path / "m", "--dtype", "bfloat16", "--no-discriminator").code == 0
    model = ALI.from_pretrained(tmp_path / "m")
    assert model.discriminator is None
    assert model.sample(2).shape == (2, 1, 28, 28)
    names = {path.name for path in (tmp_path / "m").iterdir()}
    assert {"config.json", "model.safetensors", "samples.png"} <= names
    assert not names & {"checkpoints", "metrics.jsonl", "train_config.json"}
    whole, half = ((folder / "model.safetensors").stat().st_size for folder in (trained, tmp_path / "m"))
    assert half < whole / 2
    assert "is in use" in ali("export", trained, "--out", tmp_path / "m").err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sample", "nowhere", "--out", "x.png"], "'nowhere'"),
        (["sample", "MODEL", "--out", "x.bmp"], "its name has to end in .png or .safetensors"),
        (["sample", "MODEL", "-n", "5000", "--out", "x.png"], "too many for one PNG"),
        (["reconstruct", "MODEL", "missing.png", "--out", "x.png"], "'missing.png' cannot be read as a picture"),
        (["evaluate", "MODEL", "--metric", "recon"], "unknown metric 'recon'; did you mean 'reconstruction'"),
        (["evaluate", "MODEL", "--dataset", "image-folder"], "needs --data-dir"),
        (["show", "cifar1"], "did you mean 'cifar10'"),
    ],
)
def test_bad_input(arguments: list[str], message: str, trained: Path, tmp_path: Path, ali: Ali,
                   monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    result = ali(*(str(trained) if word == "MODEL" else word for word in arguments))
    assert result.code == 1
    assert message in result.err
    assert result.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_usage_errors_are_2(ali: Ali) -> None:
    assert ali("sample").code == 2
    result = ali("reconstrct")
    assert result.code == 2
    assert "Did you mean reconstruct or report?" in result.err
    assert ali("list", "animals").code == 2


def test_debug_shows_the_traceback(ali: Ali) -> None:
    from ali_plugin import ALIError

    with pytest.raises(ALIError):
        ali("--debug", "show", "nothing-like-it")


def test_lists(ali: Ali) -> None:
    entries = json.loads(ali("list", "architecture", "--json").out)
    assert {"fashion", "cifar10", "cifar10-released"} <= {entry["name"] for entry in entries}
    assert all(entry["kind"] == "architecture" and entry["distribution"] == "ali-plugin" for entry in entries)
    assert json.loads(ali("list", "architectures", "--json").out) == entries
    assert all(status["healthy"] for status in json.loads(ali("plugins", "--json").out))


def test_show(ali: Ali) -> None:
    shown = json.loads(ali("show", "cifar10", "--json").out)
    assert shown["parameters"].keys() == {"encoder", "decoder", "discriminator"}
    assert sum(line["parameters"] for line in shown["layers"]) == sum(shown["parameters"].values())
    assert "conv 5x5/1" in ali("show", "cifar10").out
