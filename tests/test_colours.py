"""What a picture's colours become: backgrounds, ICC profiles, CIELAB, HEIF; and how a run keeps its background."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms
from safetensors.torch import load_file

from ali_plugin.datasets import load_split
from ali_plugin.datasets.listing import list_images
from ali_plugin.errors import ALIError, ConfigError, OptionError
from ali_plugin.folder.training_record import TrainingRecord
from ali_plugin.pictures.background import named, rgb
from ali_plugin.pictures.decode import fit_image, read_image
from ali_plugin.training.config import TrainConfig
from conftest import TINY, Ali

GREY, COLOUR = (1, 8, 8), (3, 8, 8)


@pytest.mark.parametrize(
    ("text", "colour", "name"),
    [("white", (255, 255, 255), "white"), ("BLACK", (0, 0, 0), "black"), ("#0a80ff", (10, 128, 255), "#0a80ff"),
     ("#0A80FF", (10, 128, 255), "#0a80ff"), ("#FFFFFF", (255, 255, 255), "white"), ("#000000", (0, 0, 0), "black")],
)  # fmt: skip
def test_backgrounds(text: str, colour: tuple[int, int, int], name: str) -> None:
    assert rgb(text) == colour
    assert named(text) == name


@pytest.mark.parametrize(
    "text",
    ["", "blue", "#fff", "#12345g", "#1234567", "0a80ff", " white", "white\n", "#\uff11\uff12\uff13\uff14\uff15\uff16"],
)
def test_what_is_no_background(text: str, ali: Ali, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="it has to be white, black or #rrggbb"):
        rgb(text)
    for command in (
        ("train", "--dataset", "image-folder", "--data-dir", tmp_path),
        ("reconstruct", "nowhere", "a.png"),
    ):
        done = ali(*command, f"--background={text}", "--out", tmp_path / "x.png")
        assert (done.code, done.err.count("\n")) == (1, 1)
        assert "it has to be white, black or #rrggbb" in done.err


def half_transparent(mode: str) -> Image.Image:
    """Nothing on the left, a dark grey on the right."""
    picture = Image.new("RGBA", (8, 8), (10, 10, 10, 0))
    picture.paste((40, 40, 40, 255), (4, 0, 8, 8))
    if mode == "P":
        palette = Image.new("P", (8, 8), 0)
        palette.putpalette([10, 20, 30, 40, 40, 40])
        palette.paste(1, (4, 0, 8, 8))
        palette.info["transparency"] = 0
        return palette
    if mode == "I;16":
        deep = Image.fromarray(np.where(np.arange(8) < 4, 2570, 40 * 257).astype(np.uint16)[None].repeat(8, 0))
        deep.info["transparency"] = 2570
        return deep
    return picture.convert(mode)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "I;16", "RGBa"])
@pytest.mark.parametrize("background", ["white", "black", "#c83c14"])
def test_transparent_pictures_lie_on_the_background(mode: str, background: str) -> None:
    colour = np.array(rgb(background))
    fitted = fit_image(half_transparent(mode), COLOUR, background)
    assert np.abs(fitted[:, :, :4].reshape(3, -1).T.astype(int) - colour).max() == 0
    assert np.abs(fitted[:, :, 4:].astype(int) - 40).max() <= 1
    grey = int(np.asarray(Image.new("RGB", (1, 1), tuple(colour)).convert("L"))[0, 0])
    assert np.abs(fit_image(half_transparent(mode), GREY, background)[:, :, :4].astype(int) - grey).max() <= 1


def test_what_is_half_transparent_is_mixed_with_the_background() -> None:
    glass = Image.new("RGBA", (40, 40), (200, 0, 0, 128))
    for background, expected in (("white", (227, 127, 127)), ("black", (100, 0, 0)), ("#00ff00", (100, 127, 0))):
        assert np.abs(fit_image(glass, COLOUR, background).reshape(3, -1).T.astype(int) - expected).max() <= 1


def icons(folder: Path, count: int = 30) -> Path:
    folder.mkdir()
    for i in range(count):
        icon = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
        icon.paste((i * 8, 90, 20, 255), (12, 12, 20, 20))
        icon.save(folder / f"{i:02}.png")
    return folder


def corner(data: NDArray[np.uint8] | NDArray[np.float32]) -> list[int]:
    values: list[int] = np.unique(data[:, :, 0, 0]).tolist()
    return values


def test_each_background_has_its_own_cache(tmp_path: Path) -> None:
    folder = icons(tmp_path / "p")
    splits = {
        background: load_split("image-folder", "train", data_dir=folder, data_shape=GREY, background=background)
        for background in (None, "white", "black", "#FFFFFF", "#808080", "white")
    }
    assert {background: corner(split.data) for background, split in splits.items()} == {
        None: [255], "white": [255], "black": [0], "#FFFFFF": [255], "#808080": [128],
    }  # fmt: skip
    assert splits[None].digest == splits["white"].digest == splits["#FFFFFF"].digest != splits["black"].digest


def test_a_run_keeps_its_background(tmp_path: Path, ali: Ali) -> None:
    """Later commands, also on what was exported, lay pictures on it; one that is named wins."""
    data = ("--dataset", "image-folder", "--data-dir", icons(tmp_path / "p"), "--arch", "fashion")
    run, exported = tmp_path / "run", tmp_path / "exported"
    done = ali("train", *data, "--background", "#000000", *TINY, "--steps", 1, "--out", run)
    assert done.code == 0, done.err
    assert TrainConfig.from_file(run / "train_config.json").background == "black"
    assert "--background black" in json.loads((run / "training.json").read_text())["command"]
    assert ali("export", run, "--out", exported).code == 0

    def shown(model: Path, *more: object) -> int:
        out = tmp_path / "shown.safetensors"
        done = ali("reconstruct", model, *more, "--out", out)
        assert done.code == 0, done.err
        return round(float(load_file(out)["images"][0, 0, 0, 0]) * 255)

    picture = tmp_path / "p" / "03.png"
    for model in (run, exported):
        for given in ([picture], [tmp_path / "p"], data[:4]):
            assert shown(model, *given) == 0
            assert shown(model, *given, "--background", "white") == 255
    assert ali("evaluate", run, "--metric", "reconstruction").code == 0
    again = ("train", *data, "--steps", 2, *TINY[2:], "--out", run, "--resume")
    assert "background 'black', not 'white'" in ali(*again, "--background", "white").err
    done = ali(*again, "--background", "#000000")
    assert done.code == 0, done.err


def test_white_where_nothing_is_said(tmp_path: Path, ali: Ali) -> None:
    data = ("--dataset", "image-folder", "--data-dir", icons(tmp_path / "p"), "--arch", "fashion")
    plan = json.loads(ali("train", *data, *TINY, "--dry-run", "--json").out)
    assert plan["config"]["background"] == "white"
    assert json.loads(ali("train", "--dry-run", "--json").out)["config"]["background"] is None


def test_data_that_take_no_background(ali: Ali, trained: Path, tmp_path: Path) -> None:
    for command in (("train", "--dataset", "fashion-mini"), ("reconstruct", trained), ("evaluate", trained)):
        out = () if command[0] == "evaluate" else ("--out", tmp_path / "x.png")
        done = ali(*command, "--background", "black", *out)
        assert (done.code, done.err.count("\n")) == (1, 1)
        assert "dataset 'fashion-mini' takes no background" in done.err


def test_records_of_before_and_damaged_ones(trained: Path) -> None:
    path = trained / "training.json"
    raw = json.loads(path.read_text())
    assert raw.pop("background") is None
    path.write_text(json.dumps(raw))
    older = TrainingRecord.from_folder(trained)
    assert older is not None
    assert older.background is None
    for odd in ("blue", "#FFFFFF", "", 3, ["white"], "white\n"):
        path.write_text(json.dumps({**raw, "background": odd}))
        with pytest.raises(ConfigError, match="background is"):
            TrainingRecord.from_folder(trained)


# --- Profiles ---------------------------------------------------------------------------------------------


def swapped() -> bytes:
    """An RGB profile whose red is sRGB's blue: what follows it cannot be mistaken."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    tags = {bytes(profile[i : i + 4]): i for i in range(132, 132 + 12 * int.from_bytes(profile[128:132], "big"), 12)}
    red, blue = (slice(tags[name] + 4, tags[name] + 12) for name in (b"rXYZ", b"bXYZ"))
    profile[red], profile[blue] = profile[blue], profile[red]
    return bytes(profile)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.webp", "a.avif", "a.heic"])
def test_profiles_are_followed(name: str, tmp_path: Path) -> None:
    Image.new("RGB", (16, 16), (200, 30, 60)).save(tmp_path / name, icc_profile=swapped(), quality=95)
    red, green, blue = read_image(tmp_path / name, COLOUR).reshape(3, -1).mean(1)
    assert np.abs(np.array([red, green, blue]) - (60, 30, 200)).max() < 6


def test_profiles_of_palettes_and_of_what_is_transparent(tmp_path: Path) -> None:
    colour = Image.new("RGB", (8, 8), (200, 30, 60))
    see_through = colour.copy()
    see_through.putalpha(Image.fromarray(np.where(np.arange(8) < 4, 0, 255).astype(np.uint8)[None].repeat(8, 0)))
    colour.quantize(2).save(tmp_path / "p.png", icc_profile=swapped())
    see_through.save(tmp_path / "rgba.png", icc_profile=swapped())
    assert np.abs(read_image(tmp_path / "p.png", COLOUR)[:, 4, 6].astype(int) - (60, 30, 200)).max() <= 2
    fitted = read_image(tmp_path / "rgba.png", COLOUR, "#c80000").astype(int)
    assert np.abs(fitted[:, 4, 6] - (60, 30, 200)).max() <= 2
    assert fitted[:, 4, 1].tolist() == [200, 0, 0]  # the background is sRGB itself


@pytest.mark.parametrize(
    "profile", [b"", b"no profile", swapped()[:300], bytes(4000), swapped()[:60] + b"\xff" * 500 + swapped()[560:]]
)
def test_damaged_profiles_are_passed_over(profile: bytes, tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), (200, 30, 60)).save(tmp_path / "a.png", icc_profile=profile)
    assert read_image(tmp_path / "a.png", COLOUR)[:, 0, 0].tolist() == [200, 30, 60]


@pytest.mark.parametrize(("mode", "colour"), [("L", 90), ("CMYK", (0, 0, 0, 165)), ("I;16", 90 * 257), ("1", 1)])
def test_profiles_of_another_kind_of_colours_are_passed_over(mode: str, colour: object, tmp_path: Path) -> None:
    picture = Image.new(mode, (8, 8), colour)  # type: ignore[arg-type]
    picture.save(tmp_path / "a.tif", icc_profile=swapped())
    assert set(read_image(tmp_path / "a.tif", COLOUR).flatten().tolist()) <= ({90} if mode != "1" else {255})


def test_cielab(tmp_path: Path) -> None:
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    colour = ImageCms.applyTransform(Image.new("RGB", (8, 8), (200, 30, 60)), to_lab)
    assert colour is not None
    for profile in (b"", ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes(), b"damaged"):
        colour.save(tmp_path / "a.tif", icc_profile=profile)
        assert np.abs(read_image(tmp_path / "a.tif", COLOUR)[:, 0, 0].astype(int) - (200, 30, 60)).max() <= 2


def test_heif_from_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An orientation in its EXIF is followed once; without the extra a folder's note says what it needs."""
    upright = Image.new("RGB", (64, 64), (250, 250, 250))
    upright.paste((10, 10, 10), (0, 0, 64, 32))
    exif = Image.Exif()
    exif[0x0112] = 3
    upright.transpose(Image.Transpose.ROTATE_180).save(tmp_path / "a.heic", exif=exif.tobytes(), quality=90)
    fitted = read_image(tmp_path / "a.heic", GREY)[0]
    assert fitted[1].max() < 60
    assert fitted[6].min() > 200
    assert list_images(tmp_path).found == ("a.heic",)
    monkeypatch.setattr("ali_plugin.datasets.listing.suffixes", lambda: frozenset({".png"}))
    with pytest.raises(ALIError, match=r"HEIF.*ali-plugin\[pictures\]"):
        list_images(tmp_path)
