"""A run and its data: it goes on with those that it has seen, wherever they are, or says what has changed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import tiny
from ali_plugin import Dataset, hookimpl
from ali_plugin.config.conditions import from_labels
from ali_plugin.datasets import load_split
from ali_plugin.datasets.listing import list_images
from ali_plugin.datasets.split import DataSplit
from ali_plugin.errors import ConfigError, DataError, PartMismatch
from ali_plugin.training import checkpoint
from ali_plugin.training.fingerprint import NAME, Fingerprint
from ali_plugin.training.run import prepare
from ali_registry import build_registry
from conftest import Ali, Result, registered

COUNT = 24


def picture(path: Path, seed: int, size: int = 28) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def write_pictures(folder: Path, classes: tuple[str, ...] = ("cat", "dog")) -> Path:
    for i in range(COUNT):
        picture(folder / classes[i % len(classes)] / f"{i:02}.png", i)
    return folder


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "pictures")


DATA = ("--arch", "fashion", "--dataset", "image-folder", "--batch-size", 4, "--device", "cpu")
SHORT = ("-q", "train", *DATA, "--checkpoint-every", 2)


def start(ali: Ali, data: object, out: Path, *more: object) -> None:
    result = ali(*SHORT, "--data-dir", data, "--out", out, "--steps", 2, *more)
    assert result.code == 0, result.err


def resume(ali: Ali, out: Path, *more: object, steps: int = 4) -> Result:
    return ali("train", "-q", "--resume", "--out", out, "--steps", steps, *more)


def deleted(folder: Path) -> str:
    (folder / "dog" / "05.png").unlink()
    return "1 file is gone (dog/05.png)"


def first_deleted(folder: Path) -> str:
    (folder / "cat" / "00.png").unlink()
    return "1 file is gone (cat/00.png)"


def last_deleted(folder: Path) -> str:
    (folder / "dog" / "23.png").unlink()
    return "1 file is gone (dog/23.png)"


def many_deleted(folder: Path) -> str:
    for path in (folder / "dog").iterdir():
        path.unlink()
    return "12 files are gone (dog/01.png, dog/03.png, dog/05.png, ...)"


def added(folder: Path) -> str:
    picture(folder / "cat" / "new.png", 99)
    return "1 file is new (cat/new.png)"


def added_at_the_end(folder: Path) -> str:
    picture(folder / "dog" / "zz.png", 99)
    return "1 file is new (dog/zz.png)"


def renamed(folder: Path) -> str:
    (folder / "cat" / "02.png").rename(folder / "cat" / "02b.png")
    return "1 file is gone (cat/02.png); 1 file is new (cat/02b.png)"


def put_into_another_class(folder: Path) -> str:
    (folder / "cat" / "22.png").rename(folder / "dog" / "22.png")
    return "1 file is new (dog/22.png)"


def class_renamed(folder: Path) -> str:
    (folder / "dog").rename(folder / "eel")
    return "12 files are new (eel/01.png"


def painted_over(folder: Path) -> str:
    picture(folder / "cat" / "06.png", 1234)
    return "samples of the train split are others, as many as there were"


def damaged(folder: Path) -> str:
    (folder / "cat" / "06.png").write_bytes(b"no picture")
    return "the train split has 19 samples, it had 20"


CHANGES: list[Callable[[Path], str]] = [
    deleted, first_deleted, last_deleted, many_deleted, added, added_at_the_end, renamed, put_into_another_class,
    class_renamed, painted_over, damaged,
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_changed_pictures_are_named_and_nothing_is_written(
    change: Callable[[Path], str], pictures: Path, tmp_path: Path, ali: Ali
) -> None:
    out = tmp_path / "run"
    start(ali, pictures, out)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    said = change(pictures)
    for dry in ((), ("--dry-run",)) if change not in (painted_over, damaged) else ((),):  # a dry run reads names alone
        refused = resume(ali, out, *dry)
        assert refused.code == 1
        assert said in refused.err
        assert "--allow-changed-data" in refused.err
        assert refused.err.count("\n") == 1
    assert before.items() <= {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}.items()


@pytest.mark.parametrize("cached", [True, False])
def test_a_dry_run_takes_data_that_have_not_changed(
    cached: bool, pictures: Path, tmp_path: Path, ali: Ali, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pictures / "cat" / "half.png").write_bytes(b"no picture")
    start(ali, pictures, tmp_path / "run")
    if not cached:
        monkeypatch.setenv("ALI_CACHE", str(tmp_path / "cache"))
    planned = ali("train", "--resume", "--out", tmp_path / "run", "--steps", 4, "--dry-run")
    assert planned.code == 0, planned.err
    assert not (tmp_path / "cache").exists()


def test_changed_data_are_continued_knowingly(pictures: Path, tmp_path: Path, ali: Ali) -> None:
    out = tmp_path / "run"
    start(ali, pictures, out)
    said = renamed(pictures)
    going = ali("train", "--resume", "--out", out, "--steps", 4, "--allow-changed-data")
    assert going.code == 0, going.err
    assert said in going.err  # not silently
    again = ali("train", "--resume", "--out", out, "--steps", 6)  # the data as they are now are those of the run
    assert again.code == 0, again.err
    assert said not in again.err


def test_fewer_pictures_make_no_empty_batch(pictures: Path, tmp_path: Path, ali: Ali) -> None:
    """The checkpoint stands at the fifth batch of an epoch; of what is left there are two."""
    out = tmp_path / "run"
    result = ali(*SHORT, "--data-dir", pictures, "--out", out, "--steps", 5)
    assert result.code == 0, result.err
    many_deleted(pictures)
    assert resume(ali, out, "--allow-changed-data", steps=9).code == 0
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == 9
    assert all(np.isfinite(line["loss_discriminator"]) for line in lines)


def test_nets_for_two_classes_do_not_go_on_with_three(pictures: Path, tmp_path: Path, ali: Ali) -> None:
    out = tmp_path / "run"
    start(ali, pictures, out, "--condition")
    picture(pictures / "eel" / "0.png", 99)
    for allowed in ((), ("--allow-changed-data",)):
        refused = resume(ali, out, *allowed)
        assert refused.code == 1
        assert "are made for 2 classes, the data have 3" in refused.err
        assert refused.err.count("\n") == 1


def test_the_same_folder_written_otherwise(
    pictures: Path, tmp_path: Path, ali: Ali, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    monkeypatch.chdir(tmp_path)
    start(ali, "pictures", out)
    kept = json.loads((out / "train_config.json").read_text())["data_dir"]
    assert kept == str(pictures)
    (tmp_path / "link").symlink_to("pictures")
    monkeypatch.setenv("HOME", str(tmp_path))
    spellings = ["pictures", "pictures/", "./pictures", "x/../pictures", "link", "link/", "~/pictures", str(pictures)]
    (tmp_path / "x").mkdir()
    for i, spelling in enumerate(spellings):
        result = resume(ali, out, "--data-dir", spelling, steps=3 + i)
        assert result.code == 0, (spelling, result.err)
        assert Path(json.loads((out / "train_config.json").read_text())["data_dir"]).is_absolute()
    monkeypatch.chdir("/")
    for command in (["reconstruct", out, "--out", tmp_path / "r.png"], ["encode", out, "--out", tmp_path / "c.npz"]):
        assert ali(*command[:2], "--out", tmp_path / f"{command[0]}.safetensors").code == 0
    assert resume(ali, out, steps=20).code == 0


@pytest.mark.parametrize(
    ("spelling", "message"),
    [
        ("", "--data-dir is ''; name a file or a folder"),
        ("~nobody-of-this-name/pictures", "there is no such home folder"),
        ("nowhere", "the data folder 'nowhere' does not exist; name one with --data-dir"),
        ("a" * 300, "does not exist; name one with --data-dir"),
        (__file__, "test_data_of_a_run.py' is a file, no folder; unpack it, or name the folder it lies in"),
    ],
)
def test_a_folder_that_cannot_be(spelling: str, message: str, pictures: Path, tmp_path: Path, ali: Ali) -> None:
    fresh = ali(*SHORT, "--data-dir", spelling, "--out", tmp_path / "fresh")
    start(ali, pictures, tmp_path / "run")
    for result in (fresh, resume(ali, tmp_path / "run", "--data-dir", spelling)):
        assert result.code == 1
        assert message in result.err
        assert result.err.count("\n") == 1
    assert not (tmp_path / "fresh").exists()


def test_everything_moved_elsewhere(tmp_path: Path, ali: Ali) -> None:
    write_pictures(tmp_path / "old" / "pictures")
    start(ali, tmp_path / "old" / "pictures", tmp_path / "old" / "run")
    (tmp_path / "old").rename(tmp_path / "new")
    out, data = tmp_path / "new" / "run", tmp_path / "new" / "pictures"
    commands = (
        ["train", "--resume", "--out", out, "--steps", "4"],
        ["reconstruct", out, "--out", tmp_path / "r.png"],
        ["encode", out, "--out", tmp_path / "c.safetensors"],
        ["interpolate", out, "--out", tmp_path / "i.png"],
        ["evaluate", out, "--metric", "reconstruction"],
    )
    for command in commands:
        gone = ali(*command)
        assert gone.code == 1, command
        assert f"the data folder '{tmp_path / 'old' / 'pictures'}' does not exist" in gone.err
        assert "--data-dir" in gone.err
        assert gone.err.count("\n") == 1
    assert resume(ali, out, "--data-dir", data).code == 0
    for command in commands[1:]:  # from now on without the option
        assert ali(*command).code == 0, command


def test_pictures_that_the_program_makes_are_no_data(pictures: Path, ali: Ali, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(pictures)
    options = ("--sample-every", 1, "--steps", 2)
    assert ali(*SHORT, "--data-dir", ".", *options).code == 0
    assert list((pictures / "runs" / "fashion" / "samples").iterdir())
    assert ali("export", "runs/fashion", "--out", "runs/published").code == 0
    assert ali("export", "runs/fashion", "--format", "diffusers", "--out", "pipeline").code in (0, 1)  # an extra
    for i, out in enumerate(("runs/fashion", "runs/second")):
        more = ("--resume",) if i == 0 else DATA
        result = ali("train", "-q", "--data-dir", ".", *more, "--out", out, "--steps", 4)
        assert result.code == 0, result.err
    found = load_split("image-folder", "train", data_dir=pictures, data_shape=(1, 28, 28))
    assert found.classes == ("cat", "dog")
    assert len(list_images(pictures).files) == COUNT


def test_a_folder_of_a_run_that_is_named_itself_is_data(pictures: Path, tmp_path: Path, ali: Ali) -> None:
    start(ali, pictures, tmp_path / "run")
    assert {path.name for path in list_images(tmp_path / "run").files} >= {"samples.png", "reconstructions.png"}


def test_fewer_labels_and_other_values_of_data_without_files(tmp_path: Path) -> None:
    def changed(change: Callable[[DataSplit], DataSplit]) -> str:
        def build(split: str, **_: Any) -> DataSplit:
            made = tiny.stripes(split)
            return change(made) if split == "train" else made

        class Data:
            __name__ = "data"

            @hookimpl
            def register_datasets(self, register: Callable[[Dataset], None]) -> None:
                register(Dataset(name="stripes", build=build, data_shape=tiny.SHAPE))

        hooks = ("register_encoders", "register_decoders", "register_discriminators", "register_architectures")
        registry = build_registry(only=(), plugins=[tiny.only(*hooks), Data()])
        try:
            prepare({"steps": 4}, tmp_path / "run", resume=True, registry=registry)
        except DataError as error:
            return str(error)
        return ""

    registry = build_registry(only=(), plugins=[tiny])
    prepare({"architecture": "tiny", "steps": 2, "device": "cpu"}, tmp_path / "run", registry=registry).run()
    assert changed(lambda split: split) == ""
    one_pixel = tiny.stripes("train").data
    one_pixel[7, 0, 1, 1] ^= 1
    assert "samples of the train split are others" in changed(lambda split: replace(split, data=one_pixel))
    assert "labels of the train split are others" in changed(
        lambda split: replace(split, labels=np.roll(np.asarray(split.labels), 1))
    )
    assert "the train split has 39 samples, it had 40" in changed(
        lambda split: replace(split, data=split.data[1:], labels=None if split.labels is None else split.labels[1:])
    )
    assert "samples of the train split are others" in changed(lambda split: replace(split, data=split.data[::-1]))
    assert "the train split has 0 classes, it had 4" in changed(lambda split: replace(split, labels=None))


@pytest.mark.parametrize(("name", "architecture"), [("fashion-mini", "fashion"), ("mixture", "mixture")])
def test_built_in_data_are_the_same_each_time(name: str, architecture: str) -> None:
    def found() -> Fingerprint:
        shape = (2,) if name == "mixture" else (1, 28, 28)
        parts = ("train", "validation")
        return Fingerprint.of({part: load_split(name, part, data_dir=None, data_shape=shape) for part in parts})  # type: ignore[arg-type, unused-ignore]

    assert found() == found()
    assert found().changes(found()) == []
    assert found().splits["train"].content != found().splits["validation"].content


def test_a_fingerprint_of_200_000_pictures_in_a_memory_map(tmp_path: Path) -> None:
    shape = (200_000, 3, 64, 64)
    with (tmp_path / "pictures.bin").open("wb") as file:
        file.truncate(int(np.prod(shape)))  # 2.4 GB, none of it on the disk
    data = np.memmap(tmp_path / "pictures.bin", np.uint8, mode="r+", shape=shape)
    labels = np.arange(len(data), dtype=np.int64) % 10
    names = tuple(f"{i % 10}/{i:06}.jpg" for i in range(len(data)))
    split = DataSplit(data, labels, tuple("0123456789"), files=names)
    before = Fingerprint.of({"train": split, "validation": split})
    assert len(before.to_json()) < 1 << 20
    gone = replace(split, data=data[1:], labels=labels[1:], files=names[1:])
    assert before.changes(Fingerprint.of({"train": gone, "validation": split}))[-1] == (
        "the train split has 199999 samples, it had 200000"
    )
    other = Fingerprint.of({"train": replace(split, files=("x", *names[1:])), "validation": split})
    assert "there are 200001 files, there were 200000" in before.changes(other)
    data[0] = 1
    assert before.changes(Fingerprint.of({"train": split, "validation": split}))


def test_names_that_are_no_utf8(tmp_path: Path) -> None:
    names = tuple(os.fsdecode(name) for name in (b"caf\xe9.png", b"a.png", "\u2028\u202e.png".encode()))
    before = Fingerprint.of({part: replace(tiny.stripes(part), files=names) for part in ("train", "validation")})
    (tmp_path / NAME).write_text(before.to_json())
    read = Fingerprint.from_checkpoint(tmp_path)
    assert read == before
    fewer = Fingerprint.of({part: replace(tiny.stripes(part), files=names[1:]) for part in ("train", "validation")})
    assert before.changes(fewer) == ["1 file is gone (caf\\xe9.png)"]


DAMAGE = [
    "", "[]", "{}", "null", '{"splits": 1}', '{"splits": {}, "files": 1, "digest": "", "names": null}',
    '{"splits": {"train": [], "validation": []}, "files": 1, "digest": "", "names": null}',
    '{"splits": {"train": {}, "validation": {}}, "files": "1", "digest": 2, "names": 3}',
]  # fmt: skip


@pytest.mark.parametrize("text", DAMAGE)
def test_damaged_fingerprint(text: str, trained: Path, ali: Ali) -> None:
    path = checkpoint.found(trained)[-1] / NAME
    path.unlink()
    path.write_text(text)
    result = resume(ali, trained, steps=31)
    assert result.code == 1
    assert "data.json is damaged" in result.err
    assert "to use an older checkpoint" in result.err
    assert result.err.count("\n") == 1


SOUND = Fingerprint.of({part: tiny.stripes(part) for part in ("train", "validation")}).to_json()


@given(at=st.integers(0, len(SOUND)), length=st.integers(0, 40), put=st.binary(max_size=20))
def test_a_fingerprint_from_elsewhere_is_read_or_refused(
    at: int, length: int, put: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.getbasetemp() / "mutated"
    folder.mkdir(exist_ok=True)
    sound = SOUND.encode()
    (folder / NAME).write_bytes(sound[:at] + put + sound[at + length :])
    try:
        found = Fingerprint.from_checkpoint(folder)
    except ConfigError:
        return
    assert found is not None
    found.changes(found)


def test_a_fingerprint_that_is_a_pipe_is_refused(trained: Path, ali: Ali) -> None:
    path = checkpoint.found(trained)[-1] / NAME
    path.unlink()
    os.mkfifo(path)
    result = resume(ali, trained, steps=31)
    assert (result.code, "data.json is damaged" in result.err, result.err.count("\n")) == (1, True, 1)


def test_a_checkpoint_of_an_earlier_version_goes_on_and_says_what_is_not_known(trained: Path, ali: Ali) -> None:
    (checkpoint.found(trained)[-1] / NAME).unlink()
    result = ali("train", "--resume", "--out", trained, "--steps", 31)
    assert result.code == 0, result.err
    assert "does not say what its data were" in result.err


@pytest.fixture
def wrong_labels() -> Iterator[None]:
    class Data:
        __name__ = "wrong-labels"

        @hookimpl
        def register_datasets(self, register: Callable[[Dataset], None]) -> None:
            for name, change in WRONG.items():
                register(Dataset(name=name, build=change, data_shape=(1, 28, 28)))

    with registered(Data()):
        yield


def with_labels(labels: Any, classes: tuple[str, ...] = ("a", "b")) -> Callable[..., DataSplit]:
    return lambda **_: DataSplit(np.zeros((12, 1, 28, 28), np.uint8), labels, classes)


ZERO = np.zeros(12, np.int64)
WRONG = {
    "above": with_labels(ZERO + 2),
    "below": with_labels(ZERO - 1),
    "below-unnamed": with_labels(ZERO - 1, ()),
    "of-int32": with_labels(ZERO.astype(np.int32)),
    "of-float": with_labels(ZERO.astype(np.float32)),
    "too-few": with_labels(ZERO[:5]),
    "attributes": with_labels(np.zeros((12, 3), np.int64)),
    "cube": with_labels(np.zeros((12, 3, 3), np.int64)),
}


@pytest.mark.parametrize("name", WRONG)
def test_labels_that_cannot_be_are_one_line(name: str, wrong_labels: None, tmp_path: Path, ali: Ali) -> None:
    for option in ((), ("--condition",), ("--objective", "semi-supervised", "--labels", 4)):
        result = ali("train", "--dataset", name, "--batch-size", 4, "--steps", 2, *option, "--out", tmp_path / "run")
        assert result.code == 1
        assert result.err.count("\n") == 1
        assert "label" in result.err or "names for 3 attributes" in result.err
        assert "bug" not in result.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("labels", [[0, 10], [-1, 3], [2**40, 1], [9, 10, 0]])
def test_a_label_outside_of_the_condition(labels: list[int]) -> None:
    with pytest.raises(PartMismatch, match=r"a label is .*, the model takes a condition of 10: classes 0 to 9"):
        from_labels(torch.tensor(labels), 10)


def test_data_with_more_classes_than_the_model(trained: Path, tmp_path: Path, ali: Ali) -> None:
    pictures = write_pictures(tmp_path / "p", tuple("abc"))
    assert ali(*SHORT, "--data-dir", pictures, "--steps", 2, "--condition", "--out", tmp_path / "run").code == 0
    other = ("--dataset", "fashion-mini")
    for command in (["reconstruct"], ["encode"], ["interpolate"]):
        out = tmp_path / ("x.safetensors" if command == ["encode"] else "x.png")
        result = ali(*command, tmp_path / "run", *other, "--out", out)
        assert result.code == 1
        assert "the model takes a condition of 3" in result.err
        assert result.err.count("\n") == 1
    result = ali("evaluate", tmp_path / "run", *other, "--metric", "reconstruction")
    assert (result.code, result.err.count("\n"), "condition of 3" in result.err) == (1, 1, True), result.err


def test_validation_and_test_are_disjoint() -> None:
    for name, shape in (("fashion-mini", (1, 28, 28)), ("mixture", (2,))):
        seen: set[bytes] = set()
        count = 0
        for part in ("train", "validation", "test"):
            data = load_split(name, part, data_dir=None, data_shape=shape).data  # type: ignore[arg-type, unused-ignore]
            seen |= {row.tobytes() for row in data}
            count += len(data)
        assert len(seen) == count


@pytest.mark.parametrize("objective", [(), ("--condition",), ("--objective", "gan-posthoc"), ("--objective", "vae")])
def test_one_sample_and_batch_norm(objective: tuple[str, ...], tmp_path: Path, ali: Ali) -> None:
    for dry in ((), ("--dry-run",)):
        result = ali("train", "--batch-size", 1, "--steps", 2, *objective, *dry, "--out", tmp_path / "run")
        assert result.code == 1
        assert "--batch-size is 1, but the nets have batch norm" in result.err
        assert result.err.count("\n") == 1
        assert not (tmp_path / "run").exists()


def test_one_sample_without_batch_norm(tmp_path: Path) -> None:
    registry = build_registry(only=(), plugins=[tiny])
    options = {"architecture": "tiny", "steps": 3, "batch_size": 1, "device": "cpu"}
    assert prepare(options, tmp_path / "run", registry=registry).run().steps == 3


def test_one_class_is_nothing_to_learn(tmp_path: Path, ali: Ali) -> None:
    pictures = write_pictures(tmp_path / "p", ("cat",))
    result = ali(
        *SHORT, "--data-dir", pictures, "--objective", "semi-supervised", "--labels", 4, "--out", tmp_path / "r"
    )
    assert (result.code, "learns classes" in result.err, result.err.count("\n")) == (1, True, 1)


def test_what_is_measured_on_held_out_data_is_of_its_step(tmp_path: Path, ali: Ali) -> None:
    """Log lines every 3 steps, measurements every 2, an odd end: each line's figure is of its own step's weights."""
    from ali_plugin.training.callbacks import Callback
    from ali_plugin.training.callbacks.held_out import HeldOutError, classification_error

    measured = {}

    class Watch(Callback):
        def on_log(self, trainer: Any, figures: dict[str, float]) -> None:
            if "error_held_out" in figures:
                measured[int(figures["step"])] = (
                    figures["error_held_out"], classification_error(trainer.averaged_model(), trainer.held_out)
                )  # fmt: skip

    options = {
        "architecture": "fashion", "objective": "semi-supervised", "labels": 100, "steps": 7, "batch_size": 20,
        "log_every": 3, "sample_every": 2, "device": "cpu",
    }  # fmt: skip
    trainer = prepare(options, tmp_path / "run", callbacks=[Watch()])
    assert any(isinstance(callback, HeldOutError) for callback in trainer.callbacks)
    trainer.run()
    assert list(measured) == [2, 4, 6, 7]
    assert all(said == found for said, found in measured.values())
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "error_held_out" in line] == [2, 4, 6, 7]
    assert [line["step"] for line in lines] == [2, 3, 4, 6, 7]


def test_fingerprint_is_of_the_content_not_of_the_place(tmp_path: Path) -> None:
    write_pictures(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")  # other times, another place
    prints = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        parts = {}
        for part in ("train", "validation"):
            parts[part] = load_split("image-folder", part, data_dir=folder, data_shape=(1, 28, 28))  # type: ignore[arg-type, unused-ignore]
        prints.append(Fingerprint.of(parts))
    assert prints[0] == prints[1]
