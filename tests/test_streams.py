"""Data that stream: the order and its state, a run that is killed and continued, and what is wrong with shards."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from ali_plugin.datasets import load, load_split
from ali_plugin.datasets.split import SPLITS, Split
from ali_plugin.datasets.streams import block
from ali_plugin.datasets.streams.names import expanded
from ali_plugin.datasets.streams.split import StreamSplit
from ali_plugin.errors import DataError, OptionError
from ali_plugin.training import distributed
from ali_plugin.training.stream_batches import StreamBatches
from conftest import TINY, Ali, Result, program
from shards import numbers, picture, sample, write_shards, write_tar

COUNT, HELD_OUT = 220, 2 * 11
OPEN = "residual-small"


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shards(tmp_path_factory.mktemp("shards"))


def stream(folder: Path, words: str = "webdataset") -> StreamSplit:
    found = load(words, "train", data_dir=folder, data_shape=(1, 28, 28))
    assert isinstance(found, StreamSplit)
    return found


def batches(split: StreamSplit, batch_size: int = 20, seed: int = 0, condition_size: int = 0) -> StreamBatches:
    return StreamBatches(split, batch_size, seed, torch.device("cpu"), condition_size=condition_size)


def drawn(of: StreamBatches, count: int) -> list[int]:
    return [number for _ in range(count) for number in numbers(of.next().x)]


@pytest.fixture(params=[1 << 14, 45], ids=["one-block", "many-blocks"])
def buffer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block, "BUFFER", request.param)


@pytest.mark.usefixtures("buffer")
def test_an_epoch_has_each_sample_once_in_an_order_of_the_seed(shards: Path) -> None:
    split = stream(shards)
    assert len(split) == COUNT - HELD_OUT
    of = batches(split)
    assert of.steps_per_epoch == 9
    epochs = [drawn(of, 9) for _ in range(3)]
    held_out = [numbers(torch.from_numpy(part(shards, name)) / 255) for name in SPLITS[1:]]
    training = set(range(COUNT)) - set(held_out[0]) - set(held_out[1])
    assert len(training) == COUNT - HELD_OUT
    for epoch in epochs:
        assert len(set(epoch)) == 180
        assert set(epoch) <= training
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert set().union(*epochs) == training  # what an epoch leaves out is another time's
    assert drawn(batches(split), 9) == epochs[0]
    assert drawn(batches(split, seed=1), 9) != epochs[0]


def part(folder: Path, name: Split) -> NDArray[Any]:
    return load_split("webdataset", name, data_dir=folder, data_shape=(1, 28, 28)).data


@pytest.mark.usefixtures("buffer")
@pytest.mark.parametrize("processes", [2, 4, 5])
def test_processes_share_each_batch_and_a_position_is_of_no_number_of_them(
    processes: int, shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = stream(shards)
    whole = batches(split)
    steps = [drawn(whole, 1) for _ in range(14)]

    def of(rank: int) -> StreamBatches:
        monkeypatch.setattr(distributed, "rank", lambda: rank)
        monkeypatch.setattr(distributed, "world_size", lambda: processes)
        return batches(split)

    together = [of(rank) for rank in range(processes)]
    for step in steps[:3]:
        assert [number for one in together for number in drawn(one, 1)] == step
    for one in together:
        one.seek(1, 2, whole.nodes)  # the state that one process would have kept after 11 steps
    for step in steps[11:]:
        assert [number for one in together for number in drawn(one, 1)] == step


def test_an_order_made_for_more_nodes_goes_on_with_fewer_processes(shards: Path) -> None:
    split = stream(shards)
    first, again = batches(split), batches(split)
    first.seek(0, 0, 2)
    assert first.nodes != again.nodes
    steps = [drawn(first, 1) for _ in range(6)]
    again.seek(0, 4, 2)
    assert [drawn(again, 1) for _ in range(2)] == steps[4:]


def test_pictures_are_mirrored_by_the_seed_whatever_the_processes(
    shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split, device = stream(shards), torch.device("cpu")
    plain, whole = batches(split).next().x, StreamBatches(split, 20, 0, device, flip=True).next().x
    kept, turned = ((whole == x).flatten(1).all(1) for x in (plain, plain.flip(-1)))
    assert (kept ^ turned).all()
    assert 0 < turned.sum() < 20
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    shares = []
    for rank in range(2):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        shares.append(StreamBatches(split, 20, 0, device, flip=True).next().x)
    assert torch.cat(shares).equal(whole)


def test_a_dry_run_says_how_long_a_stream_will_take(shards: Path, ali: Ali) -> None:
    options = ("--arch", OPEN, "--image-size", 16, "--dataset", "webdataset", "--data-dir", shards)
    found = ali("train", *options, *TINY, "--flip", "--steps", 2, "--dry-run", "--json")
    assert found.code == 0, found.err
    plan = json.loads(found.out)
    assert plan["config"]["flip"] is True
    assert plan["seconds"] > 0
    many = ali("train", *options, *TINY[2:], "--steps", 2, "--batch-size", 300, "--dry-run")
    assert many.code != 0
    assert "--batch-size is 300" in many.err


def test_classes_come_with_their_pictures(shards: Path) -> None:
    split = stream(shards)
    assert (split.label_size, split.classes) == (3, ("0", "1", "2"))
    batch = batches(split, condition_size=3).next()
    assert batch.condition is not None
    assert batch.condition.argmax(1).tolist() == [number % 3 for number in numbers(batch.x)]
    held_out = load_split("webdataset", "test", data_dir=shards, data_shape=(1, 28, 28))
    assert held_out.labels is not None
    assert held_out.labels.tolist() == [n % 3 for n in numbers(torch.from_numpy(held_out.data) / 255)]


def train(ali: Ali, data: object, out: Path, *more: object, arch: str = "fashion") -> Result:
    return ali(*words(data, out, arch), *more)


def words(data: object, out: Path, arch: str = "fashion") -> list[object]:
    return ["-q", "train", "--arch", arch, "--dataset", "webdataset", "--data-dir", data, *TINY, "--out", out]


def test_a_killed_run_goes_on_bit_for_bit(tmp_path: Path, ali: Ali) -> None:
    braces = str(write_shards(tmp_path / "data", (12, 8, 15)) / "{000..002}.tar")
    more = ("--batch-size", 6, "--checkpoint-every", 4, "--sample-every", 1000, "--epochs", 8)
    whole = train(ali, braces, tmp_path / "whole", *more)
    assert whole.code == 0, whole.err
    out = tmp_path / "killed"
    command = [*program(), *map(str, [*words(braces, out), *more])]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    end = time.monotonic() + 240
    while not (out / "checkpoints" / "step-000000012").exists():
        assert time.monotonic() < end
        assert process.poll() is None
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (out / "checkpoints" / "step-000000040").exists()
    state = json.loads((out / "checkpoints" / "step-000000012" / "state.json").read_text())
    assert (state["epoch"], state["index"], state["canonical_nodes"]) == (2, 2, 3)
    again = ali("-q", "train", "--resume", "--out", out)
    assert again.code == 0, again.err
    first, second = (load_file(folder / "model.safetensors") for folder in (tmp_path / "whole", out))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_open_shapes_conditions_and_a_bounded_sample_for_evaluation(tmp_path: Path, ali: Ali) -> None:
    data, out = write_shards(tmp_path / "data", (30, 30), side=20), tmp_path / "run"
    result = train(ali, data, out, "--image-size", 16, "--condition", "--steps", 2, "--batch-size", 6, arch=OPEN)
    assert result.code == 0, result.err
    result = ali("evaluate", out, "--metric", "reconstruction", "--json")
    assert result.code == 0, result.err
    plan = train(ali, data, tmp_path / "new", "--image-size", 16, "--epochs", 3, "--dry-run", "--json", arch=OPEN)
    assert json.loads(plan.out)["steps"] == 3 * (54 // 20)
    assert not (tmp_path / "new").exists()


def test_a_command_that_wants_the_training_data_gets_a_sample_and_says_so(
    shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = stream(shards).sample(50)
    assert len(found) == 50
    assert found.notes[-1] == "of the stream's 198 training samples, 50 are looked at"
    assert len(set(numbers(torch.from_numpy(found.data) / 255))) == 50
    assert len(load_split("webdataset", "train", data_dir=shards, data_shape=(1, 28, 28))) == 198


@pytest.mark.parametrize("processes", [1, 2])
def test_a_picture_that_cannot_be_read_costs_its_place(
    processes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {name: content for n in range(60) for name, content in sample(n).items()}
    spoilt = {f"{n:06}.png": files[f"{n:06}.png"][: 8 * n] for n in range(7, 12)}
    write_tar(tmp_path / "a.tar", files | spoilt)
    write_tar(tmp_path / "b.tar", files)
    whole = batches(stream(tmp_path), 12)
    steps = [drawn(whole, 1) for _ in range(9)]
    (notice,) = whole.notices()
    assert re.match(r"[2-5] pictures of the stream could not be read, such as a\.tar, sample \d+: ", notice)
    assert whole.notices() == []
    monkeypatch.setattr(distributed, "world_size", lambda: processes)
    together = []
    for rank in range(processes):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        together.append(batches(stream(tmp_path), 12))
    assert [[n for one in together for n in drawn(one, 1)] for _ in range(9)] == steps


def cut(path: Path, at: int) -> None:
    path.write_bytes(path.read_bytes()[:at])


def empty_tar(folder: Path) -> None:
    write_tar(folder / "001.tar", {})


def text_only(folder: Path) -> None:
    write_tar(folder / "001.tar", {"a.txt": b"a", "b.txt": b"b", "b.json": b"{}"})


def text_label(folder: Path) -> None:
    write_tar(folder / "001.tar", {**sample(1), "000001.cls": b"cat"})


def negative_label(folder: Path) -> None:
    write_tar(folder / "001.tar", {**sample(1), "000001.cls": b"-1"})


def huge_label(folder: Path) -> None:
    write_tar(folder / "001.tar", {**sample(1), "000001.cls": b"9" * 12})


def some_labels(folder: Path) -> None:
    write_tar(folder / "001.tar", {name: content for name, content in sample(1).items() if name.endswith(".png")})


def label_missing(folder: Path) -> None:
    files = {**sample(1), **sample(2)}
    del files["000002.cls"]
    write_tar(folder / "001.tar", files)


def two_pictures(folder: Path) -> None:
    write_tar(folder / "001.tar", {**sample(1), "000001.seg.png": sample(1)["000001.png"]})


def classes_apart(folder: Path) -> None:
    files = sample(1) | sample(2)
    write_tar(folder / "001.tar", {name: files[name] for name in sorted(files, key=lambda name: name[-3:])})


def joined(folder: Path) -> None:
    (folder / "001.tar").write_bytes((folder / "001.tar").read_bytes() + (folder / "000.tar").read_bytes())


def header(folder: Path, name: str, size: int, kind: bytes = tarfile.REGTYPE) -> None:
    """A shard with a file that is said to have so many bytes."""
    member = tarfile.TarInfo(name)
    member.size, member.type = size, kind
    (folder / "001.tar").write_bytes(member.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 11))


def link(folder: Path) -> None:
    header(folder, "000001.png", 0, tarfile.LNKTYPE)


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "zero bytes": (lambda folder: (folder / "001.tar").write_bytes(b""), "001.tar' is empty"),
    "no files": (empty_tar, "001.tar' has no pictures"),
    "no pictures": (text_only, "it holds .txt, .json"),
    "cut in a picture": (lambda folder: cut(folder / "001.tar", 700), "001.tar' is cut off"),
    "cut in a header": (lambda folder: cut(folder / "001.tar", 512 * 5 + 100), "001.tar' is cut off"),
    "cut between files": (lambda folder: cut(folder / "001.tar", 512 * 4), "001.tar' is cut off"),
    "overwritten": (lambda folder: (folder / "001.tar").write_bytes(b"\x80zzz" * 999), "001.tar' is no tar file"),
    "gone": (lambda folder: (folder / "001.tar").unlink(), "001.tar' does not exist, 1 of 3 shards do not"),
    "text label": (text_label, "label of '000001.cls' in"),
    "negative label": (negative_label, "is '-1', no class number"),
    "huge label": (huge_label, "classes are numbered from 0 to 65535"),
    "labels in some shards": (some_labels, "has classes, but '001.tar' has none"),
    "labels of some samples": (label_missing, "but none of '000002'"),
    "classes apart": (classes_apart, "has a class of '000001', but not beside its picture"),
    "joined by cat": (joined, "001.tar' goes on behind the end of a tar file"),
    "a link": (link, "the picture '000001.png' in"),
    "less than no bytes": (lambda folder: header(folder, "000001.txt", -512), "a file in it has -512 bytes"),
    "beyond its end": (lambda folder: header(folder, "000001.txt", 1 << 40), "001.tar' is cut off"),
    "a huge picture": (lambda folder: header(folder, "000001.png", 1 << 40), "has a picture of 1,099,511,627,776"),
    "a huge name": (
        lambda folder: header(folder, "long", 1 << 60, tarfile.GNUTYPE_LONGNAME),
        "001.tar' cannot be read",
    ),
    "a web page": (lambda folder: (folder / "001.tar").write_bytes(b"<html>" * 99), "001.tar' is no tar file"),
    "two pictures": (two_pictures, "name one with --dataset webdataset:image=png"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_a_shard_is_one_line_and_nothing_is_written(fault: str, tmp_path: Path, ali: Ali) -> None:
    write_shards(tmp_path / "data", (8, 1, 8))
    spoil, text = FAULTS[fault]
    spoil(tmp_path / "data")
    result = train(ali, tmp_path / "data" / "{000..002}.tar", tmp_path / "run", "--steps", 1, "--batch-size", 4)
    assert result.code == 1
    assert result.err.count("\n") == 1
    assert text in result.err.replace("\n", "")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("spoil", "text"), [(lambda path: cut(path, 3000), "is cut off"), (Path.unlink, "cannot be")])
def test_a_shard_that_is_spoilt_after_it_was_listed_is_named(
    spoil: Callable[[Path], None], text: str, tmp_path: Path
) -> None:
    of = batches(stream(write_shards(tmp_path, (9, 9))), 4)
    spoil(tmp_path / "001.tar")
    with pytest.raises(DataError, match=f"001.tar' {text}"):
        drawn(of, 4)


def test_what_a_name_says_is_taken(tmp_path: Path, ali: Ali) -> None:
    for i in range(3):
        files: dict[str, bytes] = {}
        for n in (10 * i + 1, 10 * i + 2, 10 * i + 3):
            others = {"In.png": b"no picture", "out.png": picture(n), "cls": b"cat", "kind": b"2"}
            files |= {f"{n}.{ending}": content for ending, content in others.items()}
        write_tar(tmp_path / f"{i}.tar", files)
    split = stream(tmp_path, "webdataset:image=out.png:label=kind")
    assert split.label_size == 3
    assert set(drawn(batches(split, 7), 1)) <= {10 * i + j for i in range(3) for j in (1, 2, 3)}
    with pytest.raises(DataError, match="the stream has no labels"):
        _ = stream(tmp_path, "webdataset:image=out.png:label=").label_size
    assert stream(tmp_path, "webdataset:image=.OUT.png:label=.kind").digest == split.digest
    with pytest.raises(DataError, match=r"0\.tar' has no classes \(\.breed\); it holds \.in\.png, \.out\.png, \.cls"):
        stream(tmp_path, "webdataset:image=out.png:label=breed")
    for said, text in {"webdataset:stream": "may say", "webdataset:image=": "nothing after it",
                        "webdataset:image=a:image=b": "twice"}.items():  # fmt: skip
        with pytest.raises(OptionError, match=text):
            stream(tmp_path, said)


def test_a_list_may_be_longer_than_the_name_of_a_file(shards: Path, tmp_path: Path, ali: Ali) -> None:
    names = ",".join(f"{number:03}" for number in range(90))
    result = train(ali, shards / f"{{{names}}}.tar", tmp_path / "run", "--steps", 1)
    assert "005.tar' does not exist, 85 of 90 shards do not" in result.err.replace("\n", "")


def test_fewer_shards_than_processes(tmp_path: Path, ali: Ali) -> None:
    result = train(ali, write_shards(tmp_path / "data", (9, 9)), tmp_path / "run", "--devices", 4, "--batch-size", 8,
                   "--steps", 1)  # fmt: skip
    assert result.code == 1
    assert "4 processes share a stream of 2 shards; take at most --devices 2" in result.err
    assert not (tmp_path / "run").exists()


def test_shards_that_have_changed_are_told_of(tmp_path: Path, ali: Ali) -> None:
    data, out = write_shards(tmp_path / "data", (12, 12)), tmp_path / "run"
    assert train(ali, data, out, "--steps", 1, "--batch-size", 4).code == 0
    moved = data.rename(tmp_path / "moved")
    assert ali("-q", "train", "--resume", "--out", out, "--steps", 2, "--data-dir", moved).code == 0
    write_tar(moved / "001.tar", {name: content for n in range(50, 62) for name, content in sample(n, 27).items()})
    result = ali("-q", "train", "--resume", "--out", out, "--steps", 3, "--data-dir", moved)
    assert result.code == 1
    assert "samples of the train split are others" in result.err


def test_labels_of_a_few_need_data_at_hand(shards: Path, tmp_path: Path, ali: Ali) -> None:
    result = train(ali, shards, tmp_path / "run", "--steps", 1, "--objective", "semi-supervised", "--labels", 9)
    assert "--labels is 9, which are drawn from all of the data" in result.err


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a{08..11}.tar", ["a08.tar", "a09.tar", "a10.tar", "a11.tar"]),
        ("{8..11}", ["8", "9", "10", "11"]),
        ("{1..0}{a,b}", ["1a", "1b", "0a", "0b"]),
        ("x{,y}", ["x", "xy"]),
        ("plain", ["plain"]),
    ],
)
def test_brace_lists_are_those_of_a_shell(text: str, names: list[str]) -> None:
    assert expanded(text) == names


@pytest.mark.parametrize("text", ["{0..9", "0..9}", "{09}", "{}", "{0..9999999}", "{a..c}", "{0..999}{0..999}"])
def test_braces_that_are_no_list(text: str) -> None:
    with pytest.raises(OptionError, match=r"brace|no list|more than"):
        expanded(text)


def test_the_table_of_the_shards_is_kept_and_a_damaged_one_is_made_anew(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALI_CACHE", str(tmp_path))
    first = stream(shards)
    (kept,) = tmp_path.glob("tar-shards-*.npy")
    table = np.load(kept)
    table[3, 1] = 1 << 40
    content = io.BytesIO()
    np.save(content, table)
    for damaged in (content.getvalue(), b"", kept.read_bytes()[:500]):
        kept.write_bytes(damaged)
        assert stream(shards).digest == first.digest
    again = kept.stat().st_mtime_ns
    assert stream(shards).digest == first.digest
    assert kept.stat().st_mtime_ns == again
