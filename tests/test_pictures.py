"""Pictures of all kinds, and folders of them: what is taken, how it looks, what is passed over and said."""

from __future__ import annotations

import io
import json
import os
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from safetensors import safe_open

from ali_plugin.config import conditions
from ali_plugin.config.compose import compose
from ali_plugin.datasets import load_split
from ali_plugin.datasets.listing import list_images
from ali_plugin.datasets.split import SPLITS, DataSplit, Split
from ali_plugin.errors import ALIError, DataError, OptionError
from ali_plugin.pictures import decode as door
from ali_plugin.pictures.decode import fit_image, read_image
from ali_plugin.support.budget import Budget
from conftest import TINY, Ali

GREY, COLOUR = (1, 8, 8), (3, 8, 8)
KINDS = {
    "png": "PNG", "jpg": "JPEG", "jfif": "JPEG", "jpe": "JPEG", "webp": "WEBP", "bmp": "BMP", "gif": "GIF",
    "tif": "TIFF", "TIFF": "TIFF", "avif": "AVIF", "jp2": "JPEG2000", "ppm": "PPM", "pgm": "PPM", "dib": "DIB",
}  # fmt: skip


def encoded(kind: str = "PNG", value: int = 90, size: tuple[int, int] = (16, 12), mode: str = "L") -> bytes:
    out = io.BytesIO()
    picture = Image.new("L", size, value)
    picture.paste(255 - value, (0, 0, size[0] // 2, size[1] // 2))
    picture.convert(mode).save(out, kind)
    return out.getvalue()


def paint(path: Path, value: int = 90, kind: str = "PNG") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(kind, value))
    return path


def load(folder: Path, split: Split = "train", shape: tuple[int, ...] = GREY) -> DataSplit:
    return load_split("image-folder", split, data_dir=folder, data_shape=shape)


def whole(folder: Path) -> set[str]:
    return {name for split in SPLITS for name in load(folder, split).names}


@pytest.mark.parametrize("shape", [GREY, COLOUR])
@pytest.mark.parametrize("ending", KINDS)
def test_all_kinds(ending: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    path = tmp_path / f"a.{ending}"
    path.write_bytes(encoded(KINDS[ending], mode="RGB"))
    assert list_images(tmp_path).files == (path,)
    assert abs(int(read_image(path, shape)[0, -1, -1]) - 90) < 8
    other = path.rename(tmp_path / "named-otherwise.png")  # by content, whatever the name
    assert abs(int(read_image(other, shape)[0, -1, -1]) - 90) < 8


def test_names_without_an_ending_count_by_content(tmp_path: Path) -> None:
    paint(tmp_path / "scan0001")
    (tmp_path / "notes").write_text("no picture")
    listing = list_images(tmp_path)
    assert listing.found == ("scan0001",)
    assert listing.passed_over == {"no pictures by their names": ["notes"]}


RAMP = np.linspace(0, 1, 64).reshape(8, 8)


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ((RAMP * 65535).round().astype(np.uint16), "a.png"),
        ((RAMP * 65535).round().astype(np.uint16), "a.tif"),
        ((RAMP * 65535).round().astype(">u2"), "big.tif"),
        ((RAMP * 65535).round().astype(np.int32), "a.tif"),
        ((RAMP * 2**31 * 0.99).round().astype(np.int32), "large.tif"),
        ((RAMP * 2e5 - 1e5).round().astype(np.int32), "signed.tif"),
        (RAMP.astype(np.float32), "unit.tif"),
        ((RAMP * 255).astype(np.float32), "byte.tif"),
        ((RAMP * 65535).astype(np.float32), "short.tif"),
        ((RAMP * 7e6 - 3e6).astype(np.float32), "heights.tif"),
        (np.where(RAMP == 0, np.nan, RAMP).astype(np.float32), "holes.tif"),
        ((RAMP * 65535).round().astype(np.uint16), "a.pgm"),
    ],
)
def test_deep_grey_is_scaled_not_clipped(values: NDArray[np.generic], name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if name == "a.pgm":
        path.write_bytes(b"P5 8 8 65535\n" + values.astype(">u2").tobytes())
    elif values.dtype == np.dtype(">u2"):
        Image.frombytes("I;16B", (8, 8), values.tobytes()).save(path)
    else:
        Image.fromarray(values).save(path)
    assert np.abs(read_image(path, GREY)[0].astype(float) - RAMP * 255).max() <= 1
    assert np.abs(read_image(path, COLOUR)[2].astype(float) - RAMP * 255).max() <= 1


@pytest.mark.parametrize(
    ("fifth", "length"),
    [(np.uint8(51), None), (np.uint16(13107), None), (np.uint16(13107), -40), (np.float32(0.2), None)],
)
def test_tiff_whose_zero_is_white(fifth: np.generic, length: int | None, tmp_path: Path) -> None:
    """As scanners of films and of text write it, also where the last rows of the file are missing."""
    written = np.full((40, 40), fifth)
    Image.fromarray(written).save(tmp_path / "a.tif")
    tag = struct.pack("<HHI", 262, 3, 1)
    content = (tmp_path / "a.tif").read_bytes()
    assert content.count(tag) == 1
    at = content.index(tag) + len(tag)
    (tmp_path / "a.tif").write_bytes((content[:at] + struct.pack("<H", 0) + content[at + 2 :])[:length])
    assert set(read_image(tmp_path / "a.tif", GREY).flatten().tolist()) == {204}


def test_dark_deep_grey_stays_dark(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), 300, np.uint16)).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png", GREY).max() == 1


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "RGBa", "La"])
def test_alpha_lies_on_white(mode: str) -> None:
    picture = Image.new("RGBA", (8, 8), (10, 10, 10, 0))
    picture.paste((40, 40, 40, 255), (4, 0, 8, 8))
    if mode == "La":
        picture = picture.convert("LA")
    if mode == "PA":
        alpha = picture.getchannel("A")
        picture = picture.convert("RGB").quantize(4).convert("PA")
        picture.putalpha(alpha)
    for shape in (GREY, COLOUR):
        fitted = fit_image(picture.convert(mode), shape)
        assert fitted[:, :, :4].min() == 255
        assert np.abs(fitted[:, :, 4:].astype(int) - 40).max() <= 1


def test_transparent_colours_lie_on_white(tmp_path: Path) -> None:
    palette = Image.new("P", (8, 8), 0)
    palette.putpalette([10, 20, 30, 40, 40, 40])
    palette.paste(1, (4, 0, 8, 8))
    palette.save(tmp_path / "palette.png", transparency=0)
    palette.save(tmp_path / "palette-bytes.png", transparency=b"\x00\xff")
    palette.save(tmp_path / "palette.gif", transparency=0)
    grey = Image.new("L", (8, 8), 10)
    grey.paste(40, (4, 0, 8, 8))
    grey.save(tmp_path / "grey.png", transparency=10)
    grey.convert("RGB").save(tmp_path / "colour.png", transparency=(10, 10, 10))
    deep = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    deep.save(tmp_path / "deep.png", transparency=2570)
    for path in tmp_path.iterdir():
        for shape in (GREY, COLOUR):
            fitted = read_image(path, shape)
            assert fitted[:, :, :4].min() == 255, path
            assert np.abs(fitted[:, :, 4:].astype(int) - 40).max() <= 1, path


def test_cmyk(tmp_path: Path) -> None:
    picture = Image.new("CMYK", (16, 16), (0, 255, 255, 0))  # red
    for name in ("a.jpg", "a.tif"):
        picture.save(tmp_path / name)
        red, green, blue = read_image(tmp_path / name, COLOUR).reshape(3, -1).mean(1)
        assert red > 200
        assert max(green, blue) < 60


@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation(orientation: int, kind: str, tmp_path: Path) -> None:
    upright = Image.new("L", (16, 16), 0)
    upright.paste(250, (0, 0, 8, 8))
    upright.paste(130, (8, 0, 16, 8))
    back = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
            5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
            8: Image.Transpose.ROTATE_270}  # fmt: skip
    stored = upright.transpose(back[orientation]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.convert("RGB").save(tmp_path / f"a.{kind}", exif=exif.tobytes())
    fitted = read_image(tmp_path / f"a.{kind}", GREY)[0].astype(int)
    for value, found in ((250, fitted[1, 1]), (130, fitted[1, 6]), (0, fitted[6, 6]), (0, fitted[6, 1])):
        assert abs(value - found) < 25


def with_segments(*segments: tuple[int, bytes]) -> bytes:
    """A JPEG with application segments that a camera or a program has written."""
    picture = encoded("JPEG")
    inserted = b"".join(
        b"\xff" + bytes([marker]) + struct.pack(">H", len(body) + 2) + body for marker, body in segments
    )
    return picture[:2] + inserted + picture[2:]


ODD_TAGS = [
    (0x0112, 3, 1, b"\x00\x63\0\0"),  # an orientation of 99
    (0x0112, 2, 4, b"up\0\0"),  # as text
    (0x0112, 5, 1, b"\xff\xff\xff\xf0"),  # as a fraction beyond the end
    (0x8769, 4, 1, b"\xff\xff\xff\xff"),  # a directory beyond the end
    (0x8769, 4, 1, b"\0\0\0\x08"),  # a directory that is itself
    (0x011A, 5, 1, b"\0\0\0\0"),  # a resolution of n/0
    (0x9286, 99, 7, b"\0\0\0\0"),  # of a type that there is not
    (0xA005, 4, 0xFFFFFFFF, b"\0\0\0\0"),  # four milliards of values
    (0x010F, 2, 0, b"\0\0\0\0"),
    (0x013E, 5, 2, b"\0\0\0\x02"),
]


@pytest.mark.parametrize("tag", ODD_TAGS)
def test_sound_jpeg_with_odd_exif(tag: tuple[int, int, int, bytes], tmp_path: Path) -> None:
    number, kind, count, value = tag
    directory = b"MM\0*\0\0\0\x08\0\x01" + struct.pack(">HHI", number, kind, count) + value + b"\0\0\0\0"
    (tmp_path / "a.jpg").write_bytes(with_segments((0xE1, b"Exif\0\0" + directory)))
    assert np.array_equal(read_image(tmp_path / "a.jpg", GREY), sound(tmp_path))


@pytest.mark.parametrize(
    "segment",
    [(0xE1, b"Exif\0\0"), (0xE1, b"Exif\0\0MM\0*\xff\xff\xff\xff"), (0xE1, b"Exif\0\0garbage"),
     (0xE2, b"MPF\0"), (0xE2, b"MPF\0MM\0*\0\0\0\x08\0\0"), (0xE2, b"MPF\0II*\0\x08\0\0\0\x01\0\x02\xb0"),
     (0xE2, b"ICC_PROFILE\0\x09\x01"), (0xED, b"Photoshop 3.0\x008BIM\xff\xff"), (0xE1, b"http://ns.adobe.com/xap/1.0/\0<x")],
)  # fmt: skip
def test_sound_jpeg_with_odd_segments(segment: tuple[int, bytes], tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(with_segments(segment))
    assert np.array_equal(read_image(tmp_path / "a.jpg", GREY), sound(tmp_path))


def sound(folder: Path) -> NDArray[np.uint8]:
    return read_image(paint(folder / "sound.jpg", kind="JPEG"), GREY)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_of_many_frames_the_first(kind: str, tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), (20 * i, 20 * i, 20 * i)) for i in range(1, 6)]
    frames[0].save(tmp_path / "a.img", kind, save_all=True, append_images=frames[1:])
    assert abs(int(read_image(tmp_path / "a.img", GREY).mean()) - 20) < 3


@pytest.mark.parametrize("content", [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EOF\n", b"%PDF-1.4\n",
                                     b"\xd7\xcd\xc6\x9a" + bytes(60), b"<svg/>", b"8BPS" + bytes(60)])  # fmt: skip
def test_other_contents_named_png_start_nothing(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def started(*_: object, **__: object) -> None:
        raise SystemExit("a program was started")

    for name in ("subprocess.Popen", "subprocess.check_call", "subprocess.check_output", "os.system"):
        monkeypatch.setattr(name, started)
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DataError, match="its content is not PNG, JPEG"):
        read_image(tmp_path / "a.png", GREY)


def test_an_empty_file_is_told_so(tmp_path: Path) -> None:
    """As a download that failed leaves it."""
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(DataError, match="it is empty"):
        read_image(tmp_path / "a.jpg", GREY)


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunk(*one) for one in chunks) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (png(30_000, 30_000), "shrink the picture"),
        (png(9_000, 9_000), "9000 x 9000 pixels, more than 67,108,864; shrink"),
        (png(2**31 - 1, 2**31 - 1), "shrink the picture"),
        (png(8, 8, (b"zTXt", b"a\0\0" + zlib.compress(bytes(50_000_000)))), "."),
        (b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 60_000, 60_000, 1, 24, 0, 0, 1, 1, 0, 0), "shrink"),
        (b"GIF89a" + struct.pack("<HHBBB", 65_535, 65_535, 0, 0, 0) + b",\0\0\0\0\xff\xff\xff\xff\0\x02\0;", "shrink"),
        (b"P5 99999 99999 255\n", "shrink"),
    ],
    ids=["png", "png-below-pillow", "png-largest", "text-bomb", "bmp", "gif", "pgm"],
)
def test_too_large(content: bytes, reason: str, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DataError, match=reason):
        read_image(tmp_path / "a.png", GREY)


def test_pixels_in_flight_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "IN_FLIGHT", Budget(500))  # two of the pictures
    held, most = [0], [0]
    fitted = door._fitted

    def counted(image: Image.Image, *rest: Any) -> NDArray[np.uint8]:
        held[0] += 1
        most[0] = max(most[0], held[0])
        try:
            return fitted(image, *rest)
        finally:
            held[0] -= 1

    monkeypatch.setattr(door, "_fitted", counted)
    paths = [paint(tmp_path / f"{i}.png") for i in range(40)]
    assert sum(isinstance(picture, door.Picture) for picture in door.read_images(paths, GREY)) == 40
    assert 1 <= most[0] <= 2


def test_large_jpeg_is_decoded_smaller(tmp_path: Path) -> None:
    Image.new("RGB", (9000, 8000), (90, 90, 90)).save(tmp_path / "a.jpg")  # more pixels than a PNG may have
    assert abs(int(read_image(tmp_path / "a.jpg", GREY).mean()) - 90) < 3


RAISED = [
    struct.error("x"), KeyError(3), ZeroDivisionError(), RecursionError(), MemoryError(), IndexError(),
    AssertionError(), SyntaxError("x"), EOFError(), UnicodeError("x"), Image.DecompressionBombError("x"),
    UserWarning("x"), OverflowError(),
]  # fmt: skip


@pytest.mark.parametrize("raised", RAISED)
def test_whatever_a_decoder_raises_costs_that_file(
    raised: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(12):
        paint(tmp_path / "p" / f"{i:02}.png")
    paint(tmp_path / "p" / "bad.bmp", kind="BMP")

    def fail(*_: object) -> None:
        raise raised

    monkeypatch.setattr("PIL.BmpImagePlugin.BmpImageFile.load", fail)
    split = load(tmp_path / "p")
    assert whole(tmp_path / "p") == {f"{i:02}.png" for i in range(12)}
    assert any("1 pictures could not be read and are left out: bad.bmp" in note for note in split.notes)


def test_warnings_as_errors_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # 192 pixels are warned of
    paint(tmp_path / "a.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(load(tmp_path)) == 1


def test_hidden_and_system_files(tmp_path: Path) -> None:
    for name in ("cat/1.png", "dog/2.png"):
        paint(tmp_path / name)
    hidden = [".ipynb_checkpoints/a.png", "__MACOSX/cat/._1.png", "cat/@eaDir/1.png", "cat/._1.png", ".hidden.png",
              "dog/Thumbs.db", "dog/.DS_Store", "$RECYCLE.BIN/a.png", "#recycle/a.png"]  # fmt: skip
    for name in hidden:
        paint(tmp_path / name)
    split = load(tmp_path)
    assert split.classes == ("cat", "dog")
    assert whole(tmp_path) == {"cat/1.png", "dog/2.png"}
    assert any("passed over, hidden: 9 (" in note for note in split.notes)


def test_runs_and_models_are_passed_over(tmp_path: Path, ali: Ali) -> None:
    for i in range(30):
        paint(tmp_path / f"{i}.png", 8 * i)
    for name in ("runs/a/train_config.json", "model/config.json", "model/model.safetensors", "p/model_index.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    for folder in ("runs/a", "runs/a/samples", "model", "p"):
        paint(tmp_path / folder / "samples.png")
    assert whole(tmp_path) == {f"{i}.png" for i in range(30)}
    assert any("folders of runs and models: 3 (" in note for note in load(tmp_path).notes)


def test_linked_folders(tmp_path: Path) -> None:
    paint(tmp_path / "elsewhere" / "big" / "1.png")
    paint(tmp_path / "p" / "cat" / "2.png")
    for link, target in (("dog", "../elsewhere/big"), ("again", "cat"), ("cat/loop", ".."), ("cat/up", "../.."),
                         ("cat/itself", "itself"), ("cat/gone.png", "nowhere")):  # fmt: skip
        os.symlink(target, tmp_path / "p" / link)
    split = load(tmp_path / "p")
    assert whole(tmp_path / "p") == {"cat/2.png", "dog/1.png"}
    assert split.classes == ("cat", "dog")
    assert any("lead back or were read already: 3 (again; cat/loop; cat/up)" in note for note in split.notes)
    assert any("lead nowhere and other special files: 2 (cat/gone.png; cat/itself)" in note for note in split.notes)


def test_folder_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paint(tmp_path / "a" / "1.png")
    paint(tmp_path / "b" / "2.png")
    scandir = os.scandir

    def refuse(path: Path) -> object:
        if path == tmp_path / "b":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr("ali_plugin.datasets.listing.os.scandir", refuse)
    listing = list_images(tmp_path)
    assert listing.found == ("a/1.png",)
    assert listing.passed_over == {"folders that cannot be read": ["b"]}


def test_names_of_any_bytes(tmp_path: Path, trained: Path, ali: Ali) -> None:
    names = [
        b"a\xff.png",
        b"line\nbreak.png",
        b"esc\x1b[31m.png",
        "\u202egnp.png".encode(),
        b" blank .png",
        b"q'\".png",
    ]
    folder = tmp_path / "p"
    folder.mkdir()
    for name in names:
        with open(os.fsencode(folder) + b"/" + name, "wb") as file:
            file.write(encoded())
        with open(os.fsencode(folder) + b"/bad" + name, "wb") as file:
            file.write(b"no picture")
    for i in range(24):
        paint(folder / f"{i}.png")
    result = ali(
        "train", "--dataset", "image-folder", "--data-dir", folder, *TINY, "--steps", 1, "--out", tmp_path / "r"
    )
    assert result.code == 0, result.err
    assert not any(bad in result.err for bad in ("\x1b", "\u202e", "\udcff"))
    assert "6 pictures could not be read" in result.err
    out = tmp_path / "codes.safetensors"
    assert ali("encode", trained, folder, "--out", out).code == 0
    with safe_open(out, "np") as file:
        found = {os.path.basename(os.fsencode(name)) for name in json.loads(file.metadata()["names"])}
        assert found == {*names, *(f"{i}.png".encode() for i in range(24))}
        assert len(file.get_tensor("mean")) == 30


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 8, 10, 12, 20, 39, 100, 203])
def test_held_out_parts(count: int, tmp_path: Path) -> None:
    for i in range(count):
        Image.new("L", (4, 4), i).save(tmp_path / f"{i}.png")
    train, validation, test = (set(load(tmp_path, split).names) for split in SPLITS)
    assert train | validation | test == {f"{i}.png" for i in range(count)}
    if count > 2:
        assert not train & validation and not train & test and not validation & test  # noqa: PT018
        assert len(test) == len(validation) == max(round(count / 20), 2 if count >= 8 else 1)
    notes = " ".join(load(tmp_path).notes)
    assert ("for validation" in notes or "held out" in notes or "both validation" in notes) == (count < 39)


def test_held_out_of_each_class_and_by_name(tmp_path: Path) -> None:
    for name, count in (("many", 200), ("few", 40), ("some", 60)):
        (tmp_path / name).mkdir()
        for i in range(count):
            Image.new("L", (4, 4), i).save(tmp_path / name / f"{i:03}.png")
    for split in ("validation", "test"):
        labels = load(tmp_path, split).labels
        assert labels is not None
        assert np.abs(np.bincount(labels) - [2, 10, 3]).max() <= 1
    held_out = load(tmp_path, "test").names
    assert {int(name[-5]) for name in held_out} != {0}  # not every tenth by name
    Image.new("L", (4, 4)).save(tmp_path / "many" / "new.png")
    assert len(set(held_out) & set(load(tmp_path, "train").names)) <= 1  # one more picture moves hardly any


@pytest.mark.parametrize(
    ("text", "on"),
    [("Cat", {0}), ("cat", {1}), ("Cat,cat", {0, 1}), ("dog", {2}), ("Paris, France", {3}),
     ('"Paris, France",cat', {1, 3}),
     ("a", {5}), ("a,b", {4}), ("a, b", {5, 6}), ('say ""hi""', {7}), ("7", {7}), ("\u00e9t\u00e9", {8}), ("", set())],
)  # fmt: skip
def test_names_of_conditions(text: str, on: set[int]) -> None:
    names = ("Cat", "cat", "Dog", "Paris, France", "a,b", "a", "b", 'say ""hi""', "e\u0301te\u0301")
    condition = conditions.parse(text, compose("fashion", condition_size=9, condition_names=names))
    assert set(condition.nonzero().flatten().tolist()) == on


@pytest.mark.parametrize(("text", "message"), [("CAT", "write 'Cat' or 'cat'"), ("bird", 'it has Cat, cat, "a,b"'),
                                               ('"cat', "cannot be read"), ("\u0663", "no element")])  # fmt: skip
def test_names_that_conditions_lack(text: str, message: str) -> None:
    config = compose("fashion", condition_size=3, condition_names=("Cat", "cat", "a,b"))
    with pytest.raises(OptionError, match=message):
        conditions.parse(text, config)


def test_class_numbers_are_not_names() -> None:
    config = compose("fashion", condition_size=3, condition_names=("1", "2", "3"))
    assert conditions.of_labels([0, 2], config).argmax(1).tolist() == [0, 2]
    assert conditions.of_labels(["1", "3"], config).argmax(1).tolist() == [0, 2]
    with pytest.raises(OptionError, match="no element 3"):
        conditions.of_labels(3, config)


def test_every_picture_gets_a_code_and_its_name(tmp_path: Path, trained: Path, ali: Ali) -> None:
    for i in range(39):
        ending = list(KINDS)[i % len(KINDS)]
        paint(tmp_path / "p" / ("even", "odd")[i % 2] / f"{i:02}.{ending}", 5 * i, KINDS[ending])
    (tmp_path / "p" / "odd" / "bad.png").write_bytes(b"no picture")
    expected = sorted(path.relative_to(tmp_path / "p").as_posix() for path in (tmp_path / "p").rglob("*.*"))
    expected.remove("odd/bad.png")
    codes = []
    for given_as in (["--dataset", "image-folder", "--data-dir", tmp_path / "p"], [tmp_path / "p"]):
        result = ali("encode", trained, *given_as, "--out", tmp_path / "c.safetensors")
        assert result.code == 0, result.err
        assert "1 pictures could not be read" in result.err
        with safe_open(tmp_path / "c.safetensors", "np") as file:
            names = [name.removeprefix(f"{tmp_path}/p/") for name in json.loads(file.metadata()["names"])]
            assert names == expected
            codes.append(file.get_tensor("mean"))
            if len(codes) == 1:
                assert file.get_tensor("labels").tolist() == [name.startswith("odd") for name in expected]
    assert np.allclose(codes[0], codes[1], atol=1e-5)
    one = ali("encode", trained, tmp_path / "p" / expected[3], "--out", tmp_path / "c.safetensors")
    assert one.code == 0
    with safe_open(tmp_path / "c.safetensors", "np") as file:
        assert np.allclose(file.get_tensor("mean")[0], codes[0][3], atol=1e-5)


def test_folders_as_pictures(tmp_path: Path, trained: Path, ali: Ali) -> None:
    for i in range(7):
        paint(tmp_path / "p" / f"{i}.webp", 30 * i, "WEBP")
    shown = json.loads(ali("reconstruct", trained, tmp_path / "p", "--out", tmp_path / "r.png", "--json").out)
    assert shown["pictures"] == 7
    shown = json.loads(ali("reconstruct", trained, tmp_path / "p", "-n", 4, "--out", tmp_path / "r.png", "--json").out)
    assert shown["pictures"] == 4
    shown = json.loads(ali("interpolate", trained, tmp_path / "p", "--out", tmp_path / "i.png", "--json").out)
    assert shown["rows"] == 3
    (tmp_path / "empty").mkdir()
    for empty in (tmp_path / "empty", tmp_path / "absent.png"):
        result = ali("encode", trained, empty, "--out", tmp_path / "c.safetensors")
        assert (result.code, result.err.count("\n")) == (1, 1)


@pytest.mark.parametrize(
    ("command", "out"),
    [("encode", "x.png"), ("encode", "x"), ("sample", "x.jpg"), ("reconstruct", "x.bmp"), ("interpolate", "x.pt"),
     ("encode", "folder.safetensors"), ("sample", "folder.png")],
)  # fmt: skip
def test_endings_are_checked_before_the_work(command: str, out: str, tmp_path: Path, trained: Path, ali: Ali) -> None:
    """The model cannot be loaded, and still it is the ending that is complained of."""
    (trained / "model.safetensors").unlink()
    for name in ("folder.png", "folder.safetensors"):
        (tmp_path / name).mkdir()
    result = ali(command, trained, "--out", tmp_path / out)
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert ".safetensors" in result.err or "is a folder" in result.err


def test_home_in_paths(tmp_path: Path, trained: Path, ali: Ali, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    trained.rename(tmp_path / "run")
    for i in range(30):
        paint(tmp_path / "p" / f"{i}.png", 8 * i)
    assert ali("encode", "~/run", "~/p/1.png", "--out", "~/c.safetensors").code == 0
    data = ("--dataset", "image-folder", "--data-dir", "~/p")
    assert ali("reconstruct", "~/run", *data, "--out", "~/r.png").code == 0
    assert ali("train", *data, *TINY, "--steps", 1, "--out", "~/new").code == 0
    assert ali("export", "~/run", "--out", "~/exported").code == 0
    assert {"c.safetensors", "r.png", "new", "exported"} <= {path.name for path in tmp_path.iterdir()}
    assert not (tmp_path / "~").exists()


def test_pipes_are_not_waited_for(tmp_path: Path, trained: Path, ali: Ali) -> None:
    os.mkfifo(tmp_path / "a.png")
    result = ali("encode", trained, tmp_path / "a.png", "--out", tmp_path / "c.safetensors")
    assert "no regular file" in result.err
    with pytest.raises(ALIError, match="special files: 1"):
        list_images(tmp_path)


SOUND = [encoded(kind, mode=mode) for kind in dict.fromkeys(KINDS.values()) for mode in ("L", "RGB")]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_pictures_are_read_or_refused(data: st.DataObject, tmp_path: Path) -> None:
    content = bytearray(data.draw(st.sampled_from(SOUND)))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.sampled_from([0, 1, 127, 128, 255]))
    (tmp_path / "a.png").write_bytes(content[: data.draw(st.integers(1, len(content)))])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            assert read_image(tmp_path / "a.png", COLOUR).shape == COLOUR
        except DataError:
            return
