"""A person's own pictures with nothing else said: what is chosen, what is said of it, what always wins."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import tiny
from ali_plugin import Objective, hookimpl
from ali_plugin.datasets import image_folder
from ali_plugin.datasets.fashion_mini import fashion_mini
from ali_plugin.datasets.listing import Listing, list_images
from ali_plugin.datasets.split import DataSplit
from ali_plugin.datasets.survey import survey
from ali_plugin.errors import ALIError, DataError, OptionError
from ali_plugin.objectives.ali import ALIGame
from ali_plugin.training import decide as choice
from ali_plugin.training.batches import Batches
from ali_plugin.training.config import TrainConfig
from ali_plugin.training.decide import decide
from ali_plugin.training.duration import spoken
from ali_plugin.training.run import plan, prepare
from ali_plugin.training.trainer import Trainer
from ali_registry import build_registry, default_registry
from conftest import Ali

COLOUR, GREY = (200, 90, 30), (120, 120, 120)
DEVICE = torch.device("cpu")


def paint(path: Path, colour: object = COLOUR, size: tuple[int, int] = (20, 16)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)  # type: ignore[arg-type, unused-ignore]


def folder(path: Path, count: int = 24, **look: Any) -> Path:
    for i in range(count):
        paint(path / f"{i:03}.png", **look)
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return folder(tmp_path / "pictures")


def decided(data: Path, **options: Any) -> TrainConfig:
    options = {"dataset": "image-folder", "data_dir": str(data), "device": "cpu", **options}
    return decide(options, data.parent / "run", default_registry()).config


def own(data: object, out: object, *more: object) -> tuple[object, ...]:
    return ("train", "--dataset", "image-folder", "--data-dir", data, "--out", out, "--device", "cpu", *more)


def kept(out: Path) -> TrainConfig:
    return TrainConfig.from_file(out / "train_config.json")


@pytest.mark.parametrize(
    ("sizes", "side"),
    [([(30, 40)], 28), ([(40, 30)], 28), ([(900, 700)], 64), ([(8, 8)], 16), ([(57, 300)], 56), ([(17, 17)], 16),
     ([(20, 20), (20, 20), (90, 90)], 20), ([(66, 66)], 64), ([(44, 44)], 40)],
)  # fmt: skip
def test_the_size_is_that_of_most_pictures(sizes: list[tuple[int, int]], side: int, tmp_path: Path) -> None:
    for i, size in enumerate(sizes):
        paint(tmp_path / "p" / f"{i}.png", size=size)
    config = decided(tmp_path / "p")
    assert (config.architecture, config.image_size, config.channels) == ("residual-tiny", side, 3)
    assert config.objective == "relativistic"


@pytest.mark.parametrize(
    ("sizes", "told"),
    [([(20, 30)] * 4, "20x20 (--image-size), of most the middle 67%; --image-size 28x20 shows more"),
     ([(90, 60)] * 3 + [(60, 60)], "56x56 (--image-size), of most the middle 67%; --image-size 56x80 shows more"),
     ([(60, 3000)] * 4, "56x56 (--image-size), of most the middle 2%; --image-size 256x56 shows more"),
     ([(30, 20), (20, 30)] * 4, "20x20 (--image-size);"), ([(22, 20)] * 4, "20x20 (--image-size);")],
)  # fmt: skip
def test_what_a_square_cuts_off_is_told(sizes: list[tuple[int, int]], told: str, tmp_path: Path) -> None:
    """With a size that the nets take and that shows more."""
    for i, size in enumerate(sizes):
        paint(tmp_path / "p" / f"{i}.png", size=size)
    options = {"dataset": "image-folder", "data_dir": str(tmp_path / "p"), "device": "cpu"}
    assert told in decide(options, tmp_path / "run", default_registry()).notes[0]
    if "shows more" in told:
        better = told.partition("; --image-size ")[2].split()[0]
        made = plan({**options, "image_size": better, "steps": 1}, tmp_path / "run", False)
        assert made["config"]["image_size"] == better
        assert not any("shows more" in note for note in made["notes"])


def test_a_picture_on_its_side_counts_as_it_is_turned(tmp_path: Path) -> None:
    on_its_side = Image.Exif()
    on_its_side[0x112] = 6
    for i in range(4):
        (tmp_path / "p").mkdir(exist_ok=True)
        Image.new("RGB", (60, 40), COLOUR).save(tmp_path / "p" / f"{i}.jpg", exif=on_its_side)
    assert survey(tmp_path / "p").aspect == 1.5


def test_a_gpu_takes_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = folder(tmp_path / "p", 3, size=(640, 480))
    on_cpu = decided(data)
    assert (on_cpu.architecture, on_cpu.image_size, on_cpu.batch_size) == ("residual-tiny", 64, 16)
    monkeypatch.setattr(choice, "resolve_device", lambda name: torch.device("cuda"))
    on_gpu = decided(data, precision="float32")
    assert (on_gpu.architecture, on_gpu.image_size, on_gpu.batch_size) == ("residual-small", 128, 64)
    assert on_gpu.steps == choice.GPU.steps[0]


def test_colour_unless_all_are_grey(tmp_path: Path) -> None:
    folder(tmp_path / "p", 30, colour=GREY)
    paint(tmp_path / "p" / "scan.jpg", GREY)
    Image.fromarray(np.full((20, 20), 40_000, np.uint16)).save(tmp_path / "p" / "deep.png")
    Image.new("L", (20, 20), 7).save(tmp_path / "p" / "plain.png")
    assert decided(tmp_path / "p").channels == 1
    dot = Image.new("RGB", (20, 20), GREY)
    dot.paste(COLOUR, (4, 4, 8, 8))
    dot.save(tmp_path / "p" / "dot.png")
    assert decided(tmp_path / "p").channels == 3


def test_pictures_that_all_look_one_way_are_not_mirrored(tmp_path: Path) -> None:
    for i, picture in enumerate(fashion_mini("train").data[:80]):
        (tmp_path / "p").mkdir(exist_ok=True)
        Image.fromarray(picture[0]).save(tmp_path / "p" / f"{i}.png")
    assert not survey(tmp_path / "p").mirrored
    assert not decided(tmp_path / "p").flip
    assert decided(tmp_path / "p", flip=True).flip
    random = np.random.default_rng(0)
    for i, picture in enumerate(fashion_mini("train").data[:80]):
        turned = picture[0] if random.random() < 0.5 else picture[0][:, ::-1]
        Image.fromarray(turned).save(tmp_path / "p" / f"{i}.png")
    assert decided(tmp_path / "p").flip


def test_few_pictures_are_augmented_and_many_are_not(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert decided(pictures).settings["objective"]["augment"] == choice.AUGMENT
    assert decided(pictures, settings={"objective": {"augment": ""}}).settings["objective"]["augment"] == ""
    assert decided(pictures, settings={"objective.gamma": 0.5}).settings["objective"]["augment"] == choice.AUGMENT
    assert "augment" not in decided(pictures, objective="ali").settings.get("objective", {})
    monkeypatch.setattr(choice, "SMALL", 20)
    many = decided(pictures)
    assert (many.flip, many.settings["objective"]["augment"]) == (False, "")


def test_the_length_is_the_recipes_within_reach(pictures: Path) -> None:
    assert decided(pictures).steps == choice.CPU.steps[0]
    assert (decided(pictures, epochs=3).steps, decided(pictures, epochs=3).epochs) == (None, 3)
    assert decided(pictures, steps=7).steps == 7
    lengths = [choice._length(count, 32, recipe(), choice.CPU) for count in (10, 1_000, 10**6)]
    assert lengths == sorted(lengths)
    assert lengths[-1] == choice.CPU.steps[1]


@pytest.mark.parametrize(("count", "numbers"), [(24, 16), (587, 16), (5_000, 35), (16_383, 63), (16_384, None)])
def test_codes_are_as_long_as_the_pictures_are_many(
    count: int, numbers: int | None, pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "_look", lambda *_: replace(survey(pictures), count=count))
    assert decided(pictures).latent_size == numbers
    assert decided(pictures, latent_size=40).latent_size == 40
    assert decided(pictures, architecture="fashion").latent_size is None


def recipe() -> Any:
    from ali_plugin import Architecture

    return default_registry().get(Architecture, "residual-tiny").training


def test_what_is_said_always_wins(pictures: Path) -> None:
    said = decided(pictures, image_size="20x24", channels=1, batch_size=5, flip=False)
    assert (said.image_size, said.channels, said.batch_size, said.flip) == ("20x24", 1, 5, False)
    other = decided(pictures, architecture="residual-base")
    assert (other.architecture, other.image_size) == ("residual-base", 16)
    fixed = decided(pictures, architecture="fashion")
    assert (fixed.architecture, fixed.image_size, fixed.flip, fixed.objective) == ("fashion", None, False, "ali")


def test_a_run_from_the_command_line_and_from_python(pictures: Path, tmp_path: Path, ali: Ali) -> None:
    done = ali(*own(pictures, tmp_path / "a", "--steps", 2, "--checkpoint-every", 1, "--batch-size", 32))
    assert done.code == 0, done.err
    assert "24 pictures, colour, shorter side 16: trained at 16x16 (--image-size)" in done.err
    assert "batches are of 20 in place of 32, as there are 20 samples to train on" in done.err
    assert "warning: 24 pictures to learn from" in done.err
    config = kept(tmp_path / "a")
    assert (config.image_size, config.channels, config.batch_size, config.flip) == (16, 3, 20, True)
    again = ali("train", "--resume", "--out", tmp_path / "a", "--steps", 3)
    assert again.code == 0, again.err
    assert kept(tmp_path / "a").batch_size == 20
    trainer = prepare(
        {
            "dataset": "image-folder",
            "data_dir": str(pictures),
            "steps": 2,
            "checkpoint_every": 1,
            "device": "cpu",
            "batch_size": 32,
        },
        tmp_path / "b",
    )
    assert trainer.config == config
    assert [note for note in trainer.notes if "trained at 16x16" in note]


def test_a_run_goes_to_a_folder_of_its_name(
    pictures: Path, ali: Ali, monkeypatch: pytest.MonkeyPatch, default_nets: None
) -> None:
    monkeypatch.chdir(pictures.parent)
    data = ("train", "--dataset", "image-folder", "--data-dir", "pictures", "--device", "cpu", "--dry-run", "--json")
    assert json.loads(ali(*data).out)["out"] == "runs/residual-tiny"
    assert json.loads(ali("train", "--dry-run", "--json").out)["out"] == "runs/garments"


def test_a_dry_run_says_how_long_it_takes(pictures: Path, tmp_path: Path, ali: Ali) -> None:
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    text = ali(*own(pictures, tmp_path / "run", "--steps", 1000, "--dry-run"))
    assert text.code == 0, text.err
    assert "will take" in text.out
    assert "s a step" in text.out
    made = json.loads(ali(*own(pictures, tmp_path / "run", "--steps", 1000, "--dry-run", "--json")).out)
    assert made["seconds"] == pytest.approx(1000 * made["seconds_per_step"])
    assert 0 < made["seconds_per_step"] < 30
    assert (made["config"]["batch_size"], made["config"]["image_size"]) == (16, 16)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_what_is_left_of_a_run_is_told(trained: Path, ali: Ali) -> None:
    made = json.loads(ali("train", "--resume", "--out", trained, "--steps", 40, "--dry-run", "--json").out)
    assert made["seconds"] == pytest.approx(10 * made["seconds_per_step"])
    done = json.loads(ali("train", "--resume", "--out", trained, "--dry-run", "--json").out)
    assert (done["seconds"], done["seconds_per_step"]) == (None, None)


PAUSE = 0.2


class Pausing(ALIGame):
    """Every fourth step takes longer."""

    pauses = False

    def schedule(self, step: int, total_steps: int) -> None:
        self.pauses = step % 4 == 0

    def gradients(self, batch: Any) -> Any:
        if self.pauses:
            time.sleep(PAUSE)
        return super().gradients(batch)


class PausingPlugin:
    @staticmethod
    @hookimpl
    def register_objectives(register: Callable[[Objective], None]) -> None:
        register(Objective(name="pausing", build=Pausing))


def test_each_kind_of_step_counts_as_often_as_it_comes(tmp_path: Path) -> None:
    registry = build_registry(plugins=[tiny, PausingPlugin()])
    options = {"architecture": "tiny", "objective": "pausing", "steps": 1000, "device": "cpu"}
    whole = plan(options, tmp_path / "run", False, measured=True, registry=registry)
    assert 0.15 * PAUSE < whole["seconds_per_step"] < 0.9 * PAUSE
    assert "seconds" in plan(options, tmp_path / "run", False, registry=registry)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (89, "89 s"), (90, "2 min"), (3_600, "60 min"), (9_000, "2.5 h"), (200_000, "2.3 days")],
)
def test_times_for_people(seconds: float, text: str) -> None:
    assert spoken(seconds) == text


def split(count: int = 64) -> DataSplit:
    data = np.random.default_rng(0).integers(0, 256, (count, 3, 4, 6), dtype=np.uint8)
    return DataSplit(data, np.arange(count) % 2, ("a", "b"))


def test_half_of_the_pictures_are_mirrored_and_always_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, mirrored, again = (Batches(split(), 16, 3, DEVICE, flip=flip) for flip in (False, True, True))
    turned = []
    for _ in range(12):
        x, y = plain.next().x, mirrored.next().x
        for one, other in zip(x, y, strict=True):
            turned.append(bool(torch.equal(other, one.flip(-1))))
            assert turned[-1] or torch.equal(other, one)
    assert 0.35 < sum(turned) / len(turned) < 0.65
    assert turned[:64] != turned[64:128]
    again.seek(1, 2)
    mirrored.seek(1, 2)
    assert torch.equal(again.next().x, mirrored.next().x)
    halves = []
    for rank in range(2):
        half = Batches(split(), 16, 3, DEVICE, flip=True)
        half.rank, half.world_size = rank, 2
        halves.append(half.next().x)
    mirrored.seek(0, 0)
    assert torch.equal(torch.cat(halves), mirrored.next().x)


def test_labelled_pictures_are_mirrored_too() -> None:
    plain, mirrored = (Batches(split(), 16, 3, DEVICE, labelled=20, flip=flip) for flip in (False, True))
    one, other = plain.next().labelled, mirrored.next().labelled
    assert one is not None
    assert other is not None
    assert torch.equal(one.classes, other.classes)
    assert not torch.equal(one.x, other.x)
    assert torch.equal(torch.minimum(one.x, one.x.flip(-1)), torch.minimum(other.x, other.x.flip(-1)))


def test_a_mirrored_run_goes_on_bit_for_bit(tmp_path: Path, ali: Ali) -> None:
    words = ("-q", "train", "--flip", "--device", "cpu", "--batch-size", 20, "--checkpoint-every", 2, "--steps", 4)
    assert ali(*words, "--out", tmp_path / "whole").code == 0
    assert ali(*words, "--out", tmp_path / "parts").code == 0
    last = tmp_path / "parts" / "checkpoints" / "step-000000004"
    for path in last.iterdir():
        path.unlink()
    last.rmdir()
    assert ali("-q", "train", "--resume", "--out", tmp_path / "parts").code == 0
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "parts")]
    assert weights[0] == weights[1]
    assert "--flip" in json.loads((tmp_path / "parts" / "training.json").read_text())["command"]
    refused = ali("train", "--resume", "--out", tmp_path / "parts", "--no-flip")
    assert "the run was started with flip True, not False" in refused.err


def test_only_pictures_are_mirrored(ali: Ali, tmp_path: Path) -> None:
    refused = ali("train", "--arch", "mixture", "--flip", "--out", tmp_path / "run")
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert "--flip is for pictures, the data are of shape 2" in refused.err


@pytest.mark.parametrize("count", [1, 2, 3])
def test_so_few_pictures(count: int, tmp_path: Path, ali: Ali) -> None:
    data = folder(tmp_path / "p", count)
    done = ali(*own(data, tmp_path / "run", "--steps", 1))
    assert done.code == 0, done.err
    assert kept(tmp_path / "run").batch_size == 1
    assert f"warning: {count} picture" in done.err
    assert "batches are of 1 in place of 16, as there is one sample to train on" in done.err


def test_the_batch_shrinks_to_what_can_be_read(tmp_path: Path) -> None:
    data = folder(tmp_path / "p", 12)
    for i in range(28):
        (data / f"bad{i}.png").write_bytes(b"no picture")
    options = {"dataset": "image-folder", "data_dir": str(data), "steps": 1, "device": "cpu"}
    for more, size in (({}, 8), ({"batch_size": 64}, 8), ({"settings": {"objective.packing": 3}}, 6)):
        trainer = prepare({**options, **more}, tmp_path / f"run{size}{len(more)}")
        assert trainer.config.batch_size == size
    for given, processes, size in ((64, 2, 8), (64, 3, 6), (7, 1, 7)):
        made = plan({**options, "batch_size": given}, tmp_path / "new", False, processes=processes)
        assert made["config"]["batch_size"] == size
    with pytest.raises(OptionError, match="--batch-size is 7, which 3 processes cannot share"):
        plan({**options, "batch_size": 7}, tmp_path / "new", False, processes=3)


def test_a_batch_that_shrank_goes_on_by_the_command_that_is_told(
    pictures: Path, tmp_path: Path, ali: Ali, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(trainer: Trainer) -> None:
        if trainer.step == 1:
            trainer.stop()
        duties(trainer)

    duties = Trainer._duties
    monkeypatch.setattr(Trainer, "_duties", stopped)
    more = ("--steps", 2, "--batch-size=64", "--precision", "auto", "--log-every", 1)
    done = ali(*own(pictures, tmp_path / "run", *more))
    assert done.code == 130, done.err
    told = next(line for line in done.err.splitlines() if "continue with: ali " in line).partition("ali ")[2]
    assert "--batch-size" not in told
    assert "auto" not in told
    assert "--steps 2" in told
    again = ali(*shlex.split(told))
    assert again.code == 0, again.err


@pytest.mark.parametrize("words", [("--batch-size", 0), ("--steps", 0), ("--device", "none"), ("--image-size", "0")])
def test_what_cannot_be_is_one_line(words: tuple[object, ...], pictures: Path, tmp_path: Path, ali: Ali) -> None:
    refused = ali(*own(pictures, tmp_path / "run"), *words)
    assert (refused.code, refused.out, refused.err.count("\n")) == (1, "", 1)
    assert str(words[0]) in refused.err or "'none'" in refused.err


def test_names_that_are_no_lines(tmp_path: Path, ali: Ali) -> None:
    data = tmp_path / "my\n\x1b[31mpictures"
    for i in range(12):
        paint(data / f"a\nb{i % 2}" / "deeper" / "deepest" / f"\x1b]0;{i}\n.png")
    (data / "bad\n\x07.png").write_bytes(b"no picture")
    (data / "a\nb0" / "\u202ebad.png").write_bytes(b"")
    for dry in (("--dry-run",), ()):
        done = ali(*own(data, tmp_path / "run", "--steps", 1, *dry))
        assert done.code == 0, done.err
        assert not set("\x1b\x07\u202e") & set(done.err + done.out)
    (data / "bad\n\x07.png").unlink()
    assert ali(*own(data, tmp_path / "conditional", "--steps", 1, "--condition")).code == 0
    empty = tmp_path / "e\n\x1bmpty"
    empty.mkdir()
    for name in ("one\n\x1b.png", "two.png"):
        refused = ali(*own(empty, tmp_path / "other"))
        assert (refused.code, refused.err.count("\n")) == (1, 1)
        assert "\x1b" not in refused.err
        (empty / name).write_bytes(b"no picture")


def test_a_run_inside_of_its_data(pictures: Path, ali: Ali, tmp_path: Path) -> None:
    out = pictures / "runs" / "mine"
    first = ali(*own(pictures, out, "--steps", 2, "--checkpoint-every", 1, "--sample-every", 1))
    assert first.code == 0, first.err
    assert "lies in the data folder; nothing in it is trained on" in first.err
    assert list((out / "samples").glob("*.png"))
    again = ali("train", "--resume", "--out", out, "--steps", 3)
    assert again.code == 0, again.err
    assert "passed over, folders of runs and models: 1 (runs/mine)" in again.err
    (tmp_path / "link").symlink_to(pictures)
    other = ali(*own(tmp_path / "link", pictures / "other", "--steps", 1))
    assert other.code == 0, other.err
    assert "24 pictures, colour" in other.err
    assert "nothing in it is trained on" in other.err


def test_data_inside_of_the_run(tmp_path: Path, ali: Ali) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "run")
    data = folder(tmp_path / "run" / "samples", 4)
    for out in (tmp_path / "run", tmp_path / "link", tmp_path / "run" / "samples"):
        refused = ali(*own(data, out, "--steps", 1))
        assert (refused.code, refused.err.count("\n")) == (1, 1)
        assert "lies in the run's own folder" in refused.err
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["samples"]


@pytest.fixture
def leaving(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Whenever a split is read, its first file goes before; as often as the number says."""
    left = [0]

    def lists(root: Path) -> Listing:
        found = list_images(root)
        if left[0]:
            left[0] -= 1
            found.files[0].unlink()
            return list_images(root)
        return found

    monkeypatch.setattr(image_folder, "list_images", lists)
    return left


def test_a_folder_that_changes_while_it_is_read(tmp_path: Path, leaving: list[int]) -> None:
    data = folder(tmp_path / "p", 60)
    options = {"dataset": "image-folder", "data_dir": str(data), "steps": 1, "device": "cpu"}
    for times in (2, 50):
        leaving[0] = times
        run = prepare(options, tmp_path / f"run{times}").assembled
        assert isinstance(run.train, DataSplit)
        assert not set(run.train.names) & set(run.held_out.names)


def test_a_folder_that_never_stops_changing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both splits of a run are of one listing."""
    data = folder(tmp_path / "p", 60)
    turn = [0]

    def lists(root: Path) -> Listing:
        turn[0] += 1
        found = list_images(root)
        return replace(found, found=found.found[: 60 if turn[0] % 2 else 12])

    monkeypatch.setattr(image_folder, "list_images", lists)
    options = {"dataset": "image-folder", "data_dir": str(data), "steps": 1, "device": "cpu"}
    run = prepare(options, tmp_path / "run").assembled
    assert turn == [1]
    assert (len(run.train), len(run.held_out)) == (54, 3)
    assert isinstance(run.train, DataSplit)
    assert not set(run.train.names) & set(run.held_out.names)


def test_files_that_go_before_they_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = folder(tmp_path / "p", 40)
    found = list_images(data)
    monkeypatch.setattr("ali_plugin.datasets.survey.list_images", lambda root: found)
    for path in found.files[:30]:
        path.unlink()
    assert decided(data).image_size == 16
    for path in found.files[30:]:
        path.unlink()
    with pytest.raises(DataError, match="none of the 40 pictures"):
        decided(data)


@pytest.mark.parametrize(
    ("size", "said"),
    [("70", "take 64 or 80 in place of 70"), ("300", "take 224 or 256 in place of 300"), ("9", "take 16 or 20 in"),
     ("64x70", "take 64 or 72 in place of 70"), ("130", "take 128 or 160 in place of 130")],
)  # fmt: skip
def test_sizes_that_the_rule_does_not_allow(size: str, said: str, pictures: Path, tmp_path: Path, ali: Ali) -> None:
    for dry in ((), ("--dry-run",)):
        refused = ali(*own(pictures, tmp_path / "run", "--image-size", size, *dry))
        assert (refused.code, refused.err.count("\n")) == (1, 1)
        assert said in refused.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("background", "channels"), [(None, 1), ("black", 1), ("#808080", 1), ("#ff0000", 3)])
def test_the_colour_under_grey_pictures_is_one_of_theirs(background: str | None, channels: int, tmp_path: Path) -> None:
    for i in range(24):
        path = tmp_path / "p" / f"{i:02}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("LA", (20, 16), (120, 100)).save(path)
    assert decided(tmp_path / "p", background=background).channels == channels


def test_a_survey_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(ALIError, match="has no pictures"):
        survey(tmp_path)
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(DataError, match="none of the 1 pictures"):
        survey(tmp_path)
