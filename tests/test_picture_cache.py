"""The cache of decoded pictures: several processes, kills, places that cannot be used; dry runs."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ali_plugin.datasets import load_split
from ali_plugin.datasets.cache import cache_root
from ali_plugin.datasets.integrity import PAGE, PAGES, verifying
from ali_plugin.datasets.split import SPLITS
from ali_plugin.errors import ALIError
from ali_plugin.support import atomic, dry_run
from ali_plugin.support.shared import sharing
from conftest import Ali

LOAD = """
import sys
from pathlib import Path
from ali_plugin.datasets import load_split
print("ready", flush=True)
sys.stdin.readline()
split = load_split("image-folder", "train", data_dir=Path(sys.argv[1]), data_shape=(1, 28, 28))
print(len(split), int(split.data.sum()))
"""


def pictures(folder: Path, count: int, size: int = 40) -> Path:
    folder.mkdir()
    for i in range(count):
        Image.new("L", (size, size), i % 200).save(folder / f"{i:04}.png")
    return folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ALI_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def built(cache: Path) -> list[str]:
    return [path.name for path in cache.iterdir() if not path.name.startswith(".")]


def partial(cache: Path) -> set[str]:
    return {path.name for path in cache.glob(".*") if atomic.PARTIAL in path.name}


def start(folder: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", LOAD, str(folder)], stdin=-1, stdout=-1, stderr=-1, text=True, env=dict(os.environ)
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def together(folder: Path, count: int = 2) -> set[str]:
    processes = [start(folder) for _ in range(count)]
    for process in processes:  # all are loaded: they begin at once
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    ended = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0] * count, ended
    return {out for out, _ in ended}


def test_two_processes_decode_one_folder(tmp_path: Path, cache: Path) -> None:
    folder = pictures(tmp_path / "p", 200)
    assert len(together(folder, 3)) == 1
    assert len(built(cache)) == 1


@pytest.mark.slow
def test_a_hundred_rounds_of_processes(tmp_path: Path, cache: Path) -> None:
    """Each round has other sources, so that the outdated cache is removed while others open it."""
    folder = pictures(tmp_path / "p", 30)
    script = LOAD.replace("sys.stdin.readline()\n", "for _ in range(100):\n    sys.stdin.readline()\n    ")
    script = script.replace("\nprint(len(split)", "\n    print(len(split)").replace("sum()))", "sum()), flush=True)")
    processes = [
        subprocess.Popen([sys.executable, "-c", script, str(folder)], stdin=-1, stdout=-1, text=True) for _ in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for round_ in range(100):
        Image.new("L", (40, 40), round_).save(folder / "0003.png")
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        lines = set()
        for process in processes:
            assert process.stdout is not None
            lines.add(process.stdout.readline())
        assert len(lines) == 1
        assert lines != {""}
        assert len(built(cache)) == 1
    assert [process.wait(60) for process in processes] == [0, 0, 0]


@pytest.mark.slow
def test_twenty_kills_while_decoding(tmp_path: Path, cache: Path) -> None:
    folder = pictures(tmp_path / "p", 400, 300)
    cache.mkdir()
    moments = random.Random(0)
    killed_inside = 0
    for _ in range(20):
        before = partial(cache)
        process = start(folder)
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
        until = time.monotonic() + 20
        while partial(cache) <= before and not built(cache) and time.monotonic() < until:
            time.sleep(0.001)
        time.sleep(moments.uniform(0, 0.15))
        process.send_signal(signal.SIGKILL)
        process.wait()
        killed_inside += not built(cache)
        for name in built(cache):  # complete before the kill: once more
            (cache / name).rename(tmp_path / f"old-{process.pid}")
    assert killed_inside >= 5
    split = load_split("image-folder", "train", data_dir=folder, data_shape=(1, 28, 28))
    assert len(split) == 360
    assert len(built(cache)) == 1
    assert not [path for path in cache.glob(".*") if path.is_dir()]  # what they left is swept


def test_what_killed_processes_left_is_swept(tmp_path: Path, cache: Path) -> None:
    folder = pictures(tmp_path / "p", 9)
    load_split("image-folder", "train", data_dir=folder, data_shape=(1, 8, 8))
    (name,) = built(cache)
    own = cache / f".{name[:40]}.0badcafe{atomic.PARTIAL}"
    other = cache / f".celeba-train-0123456789ab.0badcafe{atomic.PARTIAL}"
    for left in (own, other):
        left.mkdir()
        (left / "pictures.bin").write_bytes(b"half")
    os.utime(other / "pictures.bin", (0, 0))
    os.utime(other, (0, 0))
    Image.new("L", (40, 40), 250).save(folder / "0003.png")
    load_split("image-folder", "train", data_dir=folder, data_shape=(1, 8, 8))
    assert not own.exists()
    assert not other.exists()


def test_mapped_pictures_outlive_their_cache(tmp_path: Path, cache: Path) -> None:
    folder = pictures(tmp_path / "p", 30)
    split = load_split("image-folder", "train", data_dir=folder, data_shape=(1, 8, 8))
    before = np.sort(split.data[:, 0, 0, 0])
    Image.new("L", (40, 40), 250).save(folder / "0003.png")
    load_split("image-folder", "train", data_dir=folder, data_shape=(1, 8, 8))
    assert np.array_equal(np.sort(split.data[:, 0, 0, 0]), before)


@pytest.mark.parametrize(
    ("variables", "place"),
    [
        ({"XDG_CACHE_HOME": "/x/cache"}, "/x/cache/ali-plugin"),
        ({"XDG_CACHE_HOME": "/x/cache", "ALI_CACHE": "/y"}, "/y"),
        ({"XDG_CACHE_HOME": "/x/cache", "ALI_CACHE": ""}, "/x/cache/ali-plugin"),
        ({"XDG_CACHE_HOME": "relative", "HOME": "/h"}, "/h/.cache/ali-plugin"),
        ({"XDG_CACHE_HOME": "", "HOME": "/h"}, "/h/.cache/ali-plugin"),
        ({"ALI_CACHE": "~/c", "HOME": "/h"}, "/h/c"),
    ],
)
def test_where_caches_are(variables: dict[str, str], place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ALI_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    if "HOME" not in variables:
        monkeypatch.setattr("pathlib.Path.home", no_home)
    assert cache_root() == Path(place)


def no_home() -> Path:
    raise RuntimeError("Could not determine home directory.")


def test_user_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ALI_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pathlib.Path.home", no_home)
    with pytest.raises(ALIError, match="no home folder; set ALI_CACHE"):
        cache_root()


def test_cache_that_cannot_be_written(tmp_path: Path, ali: Ali, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = pictures(tmp_path / "p", 30)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ALI_CACHE", str(tmp_path / "file" / "cache"))
    result = ali("train", "--dataset", "image-folder", "--data-dir", folder, "--out", tmp_path / "run")
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert "set ALI_CACHE" in result.err


def test_dry_run_writes_nothing(tmp_path: Path, cache: Path, ali: Ali, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = pictures(tmp_path / "p", 40)
    monkeypatch.chdir(tmp_path)
    data = ("--arch", "fashion", "--dataset", "image-folder", "--data-dir", folder, "--batch-size", 5, "--epochs", 1)
    result = ali("train", *data, "--dry-run", "--json")
    assert result.code == 0, result.err
    assert '"samples": 36' in result.out
    monkeypatch.setattr("torchvision.datasets.mnist.download_and_extract_archive", lambda *_, **__: 1 / 0)
    assert ali("train", "--dataset", "fashion-mnist", "--dry-run").code == 1
    assert {path.name for path in tmp_path.iterdir()} == {"p"}


def loaded(folder: Path) -> int:
    return int(load_split("image-folder", "train", data_dir=folder, data_shape=(1, 64, 64)).data.sum())


def change_a_byte(cache: Path, at: int, keep_time: bool) -> None:
    (file,) = cache.glob("*/pictures.bin")
    before = file.stat()
    content = bytearray(file.read_bytes())
    content[at] ^= 255
    with file.open("r+b") as out:
        out.write(content)
    if keep_time:
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def unsampled(size: int) -> int:
    """A place that the light check does not look at."""
    looked_at = {start + i for start in np.linspace(0, size - PAGE, PAGES).astype(np.int64) for i in range(PAGE)}
    return next(place for place in range(size // 2, size) if place not in looked_at)


def test_a_start_looks_at_a_part_of_the_cache_and_verifies_it_where_asked(tmp_path: Path, cache: Path) -> None:
    folder = pictures(tmp_path / "p", 200)
    whole, size = loaded(folder), 200 * 64 * 64
    change_a_byte(cache, unsampled(size), keep_time=True)
    assert loaded(folder) != whole  # as before it was not read
    with verifying():
        assert loaded(folder) == whole  # decoded anew
    assert loaded(folder) == whole


@pytest.mark.parametrize(("at", "keep_time"), [(0, True), (-1, True), (200 * 32 * 64, False)])
def test_a_start_finds_changed_pages_and_times(at: int, keep_time: bool, tmp_path: Path, cache: Path) -> None:
    folder = pictures(tmp_path / "p", 200)
    whole = loaded(folder)
    change_a_byte(cache, at, keep_time)
    assert loaded(folder) == whole


def test_a_copied_cache_is_read_whole_once(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = pictures(tmp_path / "p", 40)
    whole = loaded(folder)
    (file,) = cache.glob("*/pictures.bin")
    written = file.stat().st_mtime_ns
    os.utime(file, ns=(0, 0))
    with dry_run.writing_nothing():
        assert loaded(folder) == whole
    assert file.stat().st_mtime_ns == 0
    monkeypatch.setattr("ali_plugin.datasets.cache.read_images", lambda *_: 1 / 0)  # nothing is decoded
    assert loaded(folder) == whole
    assert file.stat().st_mtime_ns == written
    monkeypatch.setattr("ali_plugin.datasets.cache.hashlib.file_digest", lambda *_: 1 / 0)  # nor all of it read
    assert loaded(folder) == whole


@pytest.mark.parametrize(
    "change", [{"sha256": 3}, {"sha256": "x"}, {"changed": "x"}, {"changed": 10**30}, {"sampled": 0}]
)
def test_a_damaged_manifest_costs_a_reading_or_a_decoding(change: dict[str, Any], tmp_path: Path, cache: Path) -> None:
    folder = pictures(tmp_path / "p", 40)
    whole = loaded(folder)
    (file,) = cache.glob("*/manifest.json")
    file.write_text(json.dumps({**json.loads(file.read_bytes()), **change}))
    assert loaded(folder) == whole


def test_verify_option(tmp_path: Path, cache: Path, ali: Ali) -> None:
    folder = pictures(tmp_path / "p", 500)
    options = (
        "--dataset",
        "image-folder",
        "--data-dir",
        folder,
        "--batch-size",
        4,
        "--steps",
        1,
        "-q",
        "--device",
        "cpu",
    )
    assert ali("train", *options, "--out", tmp_path / "first").code == 0
    (file,) = cache.glob("*/pictures.bin")
    whole = file.read_bytes()
    change_a_byte(cache, unsampled(len(whole)), keep_time=True)
    assert ali("train", *options, "--out", tmp_path / "second").code == 0
    assert file.read_bytes() != whole
    assert ali("train", *options, "--out", tmp_path / "third", "--verify").code == 0
    assert file.read_bytes() == whole


def test_two_splits_of_a_run_list_a_folder_once(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, scan = pictures(tmp_path / "p", 30), os.scandir
    listed: list[object] = []

    def counting(path: Path) -> object:
        listed.append(path)
        return scan(path)

    monkeypatch.setattr("ali_plugin.datasets.listing.os.scandir", counting)
    with sharing():
        parts = [load_split("image-folder", part, data_dir=folder, data_shape=(1, 8, 8)) for part in SPLITS]
    assert listed.count(folder) == 1
    assert len({name for part in parts for name in part.names}) == 30
    Image.new("L", (9, 9)).save(folder / "new.png")
    assert len(load_split("image-folder", "train", data_dir=folder, data_shape=(1, 8, 8)).files) == 31
