"""Where a run is logged beside its own files: real TensorBoard files, Trackio's storage and server, wandb offline."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import numpy as np
import pytest
from PIL import Image

from ali_plugin.training.callbacks.loggers import PROJECT
from conftest import Ali

TRAIN = ("-q", "train", "--arch", "tiny", "--device", "cpu", "--log-every", 1, "--sample-every", 2,
         "--checkpoint-every", 2)  # fmt: skip


pytestmark = pytest.mark.usefixtures("tiny_registered")


def metrics(out: Path) -> dict[int, dict[str, float]]:
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line for line in lines}


# TensorBoard


def test_tensorboard_has_figures_pictures_and_the_config(tmp_path: Path, ali: Ali) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    out = tmp_path / "run"
    assert ali(*TRAIN, "--steps", 4, "--log", "tensorboard", "--out", out).code == 0
    events = EventAccumulator(str(out / "tensorboard"))
    events.Reload()
    found = {event.step: event.value for event in events.Scalars("loss_discriminator")}
    assert found == {step: pytest.approx(line["loss_discriminator"]) for step, line in metrics(out).items()}
    for name in ("samples", "reconstructions"):
        assert [event.step for event in events.Images(name)] == [2, 4]
    (config,) = events.Tensors("config/text_summary")
    text = config.tensor_proto.string_val[0].decode()
    assert '"architecture": "tiny"' in text
    assert all(line.startswith("    ") for line in text.splitlines())


# Trackio


@pytest.fixture
def trackio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The library, with an empty folder of its own."""
    trackio = pytest.importorskip("trackio")
    from trackio import bucket_storage, fragments, media, sqlite_storage, utils

    folder = tmp_path / "trackio"
    for module in (trackio, bucket_storage, fragments, media.media, media.utils, sqlite_storage, utils):
        for name, place in (("TRACKIO_DIR", folder), ("MEDIA_DIR", folder / "media")):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, place)
    return trackio


def logged(trackio: Any) -> dict[str, tuple[Any, list[dict[str, Any]]]]:
    """Of each run by name: the run itself, and what was logged."""
    from trackio.sqlite_storage import SQLiteStorage

    return {run.name: (run, SQLiteStorage.get_logs(PROJECT, run.name, run_id=run.id))
            for run in trackio.Api().runs(PROJECT)}  # fmt: skip


def test_trackio_has_figures_pictures_and_the_config(trackio: Any, tmp_path: Path, ali: Ali) -> None:
    out = tmp_path / "run"
    ended = ali(*TRAIN, "--steps", 4, "--log", "trackio", "--json", "--out", out)
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["steps"] == 4  # it prints, but not where the result goes
    ((name, (run, lines)),) = logged(trackio).items()
    assert name.startswith("run-")
    assert run.config["architecture"] == "tiny"
    assert run.config["log_every"] == 1
    figures = {line["step"]: line["loss_discriminator"] for line in lines if "loss_discriminator" in line}
    assert figures == {step: pytest.approx(line["loss_discriminator"]) for step, line in metrics(out).items()}
    for what in ("samples", "reconstructions"):
        shown = {line["step"]: line[what]["file_path"] for line in lines if what in line}
        assert list(shown) == [2, 4]
        for step, path in shown.items():
            kept = tmp_path / "trackio" / "media" / path
            assert kept.read_bytes() == (out / "samples" / f"step-{step:09d}-{what}.png").read_bytes()


def test_trackio_goes_on_with_a_continued_run_and_begins_a_new_one(trackio: Any, tmp_path: Path, ali: Ali) -> None:
    """A run of the same name elsewhere is another one."""
    for place in ("a", "b"):
        assert ali(*TRAIN, "--steps", 2, "--log", "trackio", "--out", tmp_path / place / "run").code == 0
    assert ali(*TRAIN[:2], "--resume", "--steps", 4, "--log", "trackio", "--out", tmp_path / "a" / "run").code == 0
    found = logged(trackio)
    steps = sorted(sorted({line["step"] for line in lines}) for _, lines in found.values())
    assert steps == [[1, 2], [1, 2, 3, 4]]


def test_trackios_server_is_sent_the_run(
    trackio: Any, tmp_path: Path, ali: Ali, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, address, _, with_token = trackio.show(open_browser=False, block_thread=False)
    try:
        monkeypatch.setenv("TRACKIO_SERVER_URL", with_token)
        assert ali(*TRAIN, "--steps", 2, "--log", "trackio", "--out", tmp_path / "run").code == 0

        def asked(name: str, **what: Any) -> Any:
            request = Request(f"{address}api/{name}", json.dumps(what).encode(), {"Content-Type": "application/json"})
            return json.load(urlopen(request, timeout=30))["data"]

        (run,) = asked("get_runs_for_project", project=PROJECT)
        lines = asked("get_logs", project=PROJECT, run=run["name"], run_id=run["id"])
    finally:
        server.close()
    assert address.startswith("http://127.0.0.1:")
    assert [line["step"] for line in lines if "loss_discriminator" in line] == [1, 2]
    assert [line["step"] for line in lines if "samples" in line] == [2]


def test_a_server_without_its_token_is_one_line(
    trackio: Any, tmp_path: Path, ali: Ali, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKIO_SERVER_URL", "http://127.0.0.1:9")
    ended = ali(*TRAIN, "--steps", 2, "--log", "trackio", "--out", tmp_path / "run")
    assert ended.code == 1
    assert ended.err.startswith("error: --log trackio: Self-hosted logging requires a write token")
    assert ended.err.count("\n") == 1


def test_what_trackio_cannot_keep_is_warned_of_once_and_training_goes_on(
    trackio: Any, tmp_path: Path, ali: Ali
) -> None:
    (tmp_path / "trackio" / "media").mkdir(parents=True)
    (tmp_path / "trackio" / "media" / PROJECT).write_text("in the way of its pictures")
    ended = ali(*TRAIN[1:], "--steps", 6, "--log", "trackio", "--out", tmp_path / "run")
    assert ended.code == 0, ended.err
    assert ended.err.count("--log trackio: ") == 1  # of three grids of two pictures
    assert "; training goes on" in ended.err
    assert "UserWarning" not in ended.err
    assert sorted(metrics(tmp_path / "run")) == [1, 2, 3, 4, 5, 6]


# Weights & Biases


@pytest.fixture
def wandb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The library, offline, with nobody logged in."""
    wandb = pytest.importorskip("wandb")
    wandb.teardown()
    for name, value in {"WANDB_MODE": "offline", "HOME": str(tmp_path), "NETRC": str(tmp_path / "netrc")}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    yield wandb
    wandb.teardown()


def records(path: Path) -> list[Any]:
    """What is in a file of an offline run, a log of LevelDB's: blocks of 32 KiB, pieces with 7 bytes before."""
    from wandb.proto import wandb_internal_pb2

    data, place, found, piece = path.read_bytes(), 7, list[Any](), b""
    while place + 7 <= len(data):
        if 0x8000 - place % 0x8000 < 7:
            place += 0x8000 - place % 0x8000
        size, kind = int.from_bytes(data[place + 4 : place + 6], "little"), data[place + 6]
        piece += data[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4):  # whole, or its last piece
            found.append(wandb_internal_pb2.Record.FromString(piece))
            piece = b""
    return found


def history(path: Path) -> list[dict[str, Any]]:
    return [{item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
            for record in records(path) if record.HasField("history")]  # fmt: skip


def test_wandb_keeps_the_run_beside_it(wandb: Any, tmp_path: Path, ali: Ali) -> None:
    out = tmp_path / "run"
    ended = ali(*TRAIN, "--steps", 2, "--log", "wandb", "--out", out)
    assert ended.code == 0, ended.err
    assert ended.err == ""
    (folder,) = (out / "wandb").glob("offline-run-*")
    (file,) = folder.glob("run-*.wandb")
    (begun,) = [record.run for record in records(file) if record.HasField("run")]
    config = {item.key: json.loads(item.value_json) for item in begun.config.update}
    assert (begun.project, begun.display_name) == (PROJECT, "run")
    assert config["architecture"] == "tiny"
    lines = history(file)
    figures = {line["step"]: line["loss_discriminator"] for line in lines if "loss_discriminator" in line}
    assert figures == {step: pytest.approx(line["loss_discriminator"]) for step, line in metrics(out).items()}
    for what in ("samples", "reconstructions"):
        ((step, picture),) = [(line["step"], line[f"{what}.path"]) for line in lines if f"{what}.path" in line]
        assert step == 2
        kept = np.asarray(Image.open(folder / "files" / picture))
        assert (kept == np.asarray(Image.open(out / "samples" / f"step-{step:09d}-{what}.png"))).all()


@pytest.mark.slow
def test_wandb_goes_on_with_a_continued_run(wandb: Any, tmp_path: Path, ali: Ali) -> None:
    out = tmp_path / "run"
    assert ali(*TRAIN, "--steps", 2, "--log", "wandb", "--out", out).code == 0
    (file,) = (out / "wandb").glob("offline-run-*/run-*.wandb")
    assert ali(*TRAIN[:2], "--resume", "--steps", 4, "--log", "wandb", "--out", out).code == 0
    (later,) = set((out / "wandb").glob("offline-run-*/run-*.wandb")) - {file}
    assert later.name == file.name  # the same run
    assert [line["step"] for line in history(later) if "loss_discriminator" in line] == [3, 4]


def test_nobody_logged_in_is_one_line(wandb: Any, tmp_path: Path, ali: Ali, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    ended = ali(*TRAIN, "--steps", 2, "--log", "wandb", "--out", tmp_path / "run")
    assert ended.code == 1
    assert ended.err.startswith("error: --log wandb: No API key configured")
    assert "WANDB_MODE=offline keeps the run in" in ended.err
    assert ended.err.count("\n") == 1


# Extras


@pytest.mark.parametrize("name", ["tensorboard", "trackio", "wandb"])
@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_a_missing_extra_is_one_line(
    name: str, dry: tuple[str, ...], tmp_path: Path, ali: Ali, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    ended = ali(*TRAIN, "--steps", 2, "--log", name, "--out", tmp_path / "run", *dry)
    assert ended.code == 1
    assert ended.err == f"error: --log {name} needs {name}: pip install 'ali-plugin[{name}]'\n"
    assert not (tmp_path / "run").exists()
