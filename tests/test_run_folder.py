"""The folder of a run: one process at a time, started anew after an early kill, nothing lost or changed elsewhere."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ali_plugin.errors import FolderError
from ali_plugin.folder import evaluation_record as record
from ali_plugin.folder.evaluation_record import Figure
from ali_plugin.new_plugin import write as new_plugin
from ali_plugin.support import atomic, locks
from ali_plugin.tasks.export import export
from ali_plugin.training import checkpoint, run_folder
from ali_plugin.training.callbacks import Callback
from ali_plugin.training.metrics import Metrics
from ali_plugin.training.run import prepare
from conftest import Ali

FORKED = Path(__file__).with_name("forked.py")
SMALL = {"architecture": "tiny", "device": "cpu", "log_every": 1, "sample_every": 2, "checkpoint_every": 2}
STEPS = list(range(1, 9))


pytestmark = pytest.mark.usefixtures("tiny_registered")


@pytest.fixture(scope="module")
def run_once(tiny_registered: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four steps with two checkpoints."""
    out = tmp_path_factory.mktemp("once") / "run"
    prepare({**SMALL, "steps": 4, "keep": 2}, out).run()
    return out


@pytest.fixture
def run(run_once: Path, tmp_path: Path) -> Path:
    """The test's own copy of it."""
    return Path(shutil.copytree(run_once, tmp_path / "run"))


RACES, KILLS = ("new", "resume"), ("anywhere", "metrics", "end")


def forked(what: str, count: int, folder: Path, *kinds: str) -> dict[str, list[dict[str, Any]]]:
    """What ``forked.py`` reports, by kind."""
    command = [sys.executable, str(FORKED), what, str(count), str(folder), *kinds]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    found: dict[str, list[dict[str, Any]]] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def raced(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """A few rounds of each kind of race."""
    return forked("race", 3, tmp_path_factory.mktemp("races"), *RACES)


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """A few kills of each kind."""
    return forked("kill", 4, tmp_path_factory.mktemp("kills"), *KILLS)


def content(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def steps_of(out: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (out / "metrics.jsonl").read_text().splitlines()]


# One folder, one process.


def assert_one_wins(rounds: list[dict[str, Any]]) -> None:
    for i, found in enumerate(rounds):
        assert sorted(found["codes"]) == [0, 1], found
        (text,) = found["errors"]
        winner = found["processes"][found["codes"].index(0)]
        # One that looks when the other has ended finds what that has made.
        said = (f"is in use by process {winner} on", "is in use; continue its run", "has continued the run in")
        assert text.startswith("FolderError: ")
        assert any(part in text for part in said), text
        assert found["steps"] == sorted(set(found["steps"])), i


@pytest.mark.parametrize("kind", RACES)
def test_of_two_processes_one_trains(kind: str, raced: dict[str, list[dict[str, Any]]]) -> None:
    assert_one_wins(raced[kind])


@pytest.mark.slow
@pytest.mark.parametrize("kind", RACES)
def test_of_two_processes_one_trains_in_a_hundred_rounds(kind: str, tmp_path: Path) -> None:
    assert_one_wins(forked("race", 100, tmp_path, kind)[kind])


HOLD = """
import sys, time
from pathlib import Path
from ali_plugin.support import locks
with locks.holding(Path(sys.argv[1]), "it"):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder() -> Iterator[Any]:
    """Starts processes that hold a lock until they are killed."""
    started = []

    def hold(lock: Path) -> subprocess.Popen[str]:
        process = subprocess.Popen([sys.executable, "-c", HOLD, str(lock)], stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        return process

    yield hold
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def test_lock_says_who_holds_it_and_goes_with_its_process(run: Path, holder: Any, ali: Ali) -> None:
    before = content(run)
    process = holder(run / locks.NAME)
    for extra in ([], ["--resume"], ["--resume", "--dry-run"], ["--dry-run"]):
        result = ali("train", *extra, "--out", run)
        assert result.code == 1
        assert f"the run in {str(run)!r} is in use by process {process.pid} on " in result.err
        assert result.err.count("\n") == 1
    assert {name: data for name, data in content(run).items() if name != locks.FILES[1]} == before
    process.kill()
    process.wait()
    result = ali("train", "--resume", "--steps", 6, "--out", run)
    assert result.code == 0, result.err
    assert not (run / locks.FILES[1]).exists()


def test_figures_are_not_kept_beside_a_model_in_training(
    run: Path, holder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "WAIT", 0.0)
    process = holder(run / locks.NAME)
    with pytest.raises(FolderError, match=f"in use by process {process.pid}"):
        record.keep(run, [Figure("m", "f", 1.0, "d", "test", "p", 0)])


def test_evaluations_that_end_together_all_keep_their_figures(run: Path) -> None:
    figures = [Figure(f"m{i}", "f", 1.0, "d", "test", "p", 0) for i in range(8)]
    threads = [threading.Thread(target=record.keep, args=(run, [figure])) for figure in figures]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {figure.metric for figure in record.read(run)} == {figure.metric for figure in figures}


def test_a_run_that_another_process_has_continued_is_left_alone(run: Path) -> None:
    late = prepare({"steps": 8}, run, resume=True)
    prepare({"steps": 6}, run, resume=True).run()
    with pytest.raises(FolderError, match="another process has continued the run"):
        late.run()
    assert steps_of(run) == [1, 2, 3, 4, 5, 6]


def test_a_folder_that_was_taken_meanwhile_is_left_alone(tmp_path: Path) -> None:
    late = prepare({**SMALL, "steps": 2}, tmp_path / "run")
    prepare({**SMALL, "steps": 4}, tmp_path / "run").run()
    before = content(tmp_path / "run")
    with pytest.raises(FolderError, match="is in use"):
        late.run()
    assert content(tmp_path / "run") == before


@pytest.mark.parametrize("what", ["export", "new-plugin", "making"])
def test_two_that_write_one_new_folder_do_not_mix(what: str, run: Path, tmp_path: Path) -> None:
    out, errors = tmp_path / "out", []

    def make(name: str) -> None:
        try:
            if what == "export":
                export(str(run), out, "float32", discriminator=True)
            elif what == "new-plugin":
                new_plugin.new_plugin(name, out)
            else:
                with atomic.making(out) as temporary:
                    time.sleep(0.1)
                    (temporary / name).write_text(name)
        except FolderError as error:
            errors.append(str(error))

    threads = [threading.Thread(target=make, args=(name,)) for name in ("first", "second")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(errors) == 1
    assert "is in use" in errors[0]
    assert not [path for path in tmp_path.iterdir() if atomic.is_partial(path.name)]
    if what == "making":
        assert len(list(out.iterdir())) == 1
    if what == "new-plugin":
        assert len({name for name in ("first", "second") if any(name in path for path in content(out))}) == 1


# Killed.


@pytest.mark.parametrize("kind", KILLS)
def test_a_killed_run_starts_again_and_ends_as_undisturbed(kind: str, killed: dict[str, list[dict[str, Any]]]) -> None:
    assert_undisturbed(killed[kind], 4)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "kills"), [("anywhere", 100), ("metrics", 20), ("end", 20)])
def test_a_run_killed_at_many_operations_ends_as_undisturbed(kind: str, kills: int, tmp_path: Path) -> None:
    assert_undisturbed(forked("kill", kills, tmp_path, kind)[kind], kills)


def assert_undisturbed(found: list[dict[str, Any]], count: int) -> None:
    assert len(found) == count
    for ended in found:
        assert ended["killed"], ended
        assert not ended["error"], ended
        assert ended["same"], ended
        assert ended["steps"] == STEPS, ended


class Killed(Callback):
    """Leaves a run at its second log line, as a kill does."""

    def on_log(self, trainer: Any, figures: dict[str, float]) -> None:
        if trainer.step == 2:
            raise KeyboardInterrupt


def killed_early(out: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        prepare({**SMALL, "sample_every": 1, "checkpoint_every": 50, "steps": 60}, out, callbacks=[Killed()]).run()


def test_killed_before_the_first_checkpoint_is_simply_started_anew(tmp_path: Path, ali: Ali) -> None:
    out = tmp_path / "run"
    killed_early(out)
    (out / "tensorboard").mkdir()
    (out / "tensorboard" / "events.out.tfevents.1.host").write_bytes(b"")
    (out / "wandb" / "offline-run-20261125_094511-dwf1o8rn" / "files").mkdir(parents=True)
    (out / "wandb" / "latest-run").symlink_to("offline-run-20261125_094511-dwf1o8rn")
    (out / "wandb" / "debug-internal.log").symlink_to("offline-run-20261125_094511-dwf1o8rn/logs/debug-internal.log")
    (out / "checkpoints" / ".step-000000050.1a2b.partial").mkdir(parents=True)
    (out / ".metrics.jsonl.1a2b.partial.jsonl").write_text("{")
    (out / "best").mkdir()
    resumed = ali("train", "--resume", "--out", out)
    assert resumed.code == 1
    assert "has no checkpoint to continue from; start it without --resume" in resumed.err
    result = ali("train", "--arch", "tiny", "--steps", 3, "--log-every", 1, "--device", "cpu", "--out", out)
    assert result.code == 0, result.err
    assert steps_of(out) == [1, 2, 3]
    shown = {path.name for path in (out / "samples").iterdir()}  # those of the run that was killed are gone
    assert shown == {"step-000000003-samples.png", "step-000000003-reconstructions.png"}


@pytest.mark.parametrize("name", ["notes.txt", "model.safetensors", "samples/mine.png", "encoder/config.json"])
def test_what_is_no_early_file_of_a_run_keeps_its_folder(name: str, tmp_path: Path, ali: Ali) -> None:
    out = tmp_path / "run"
    killed_early(out)
    (out / name).parent.mkdir(exist_ok=True)
    (out / name).write_text("mine")
    before = content(out)
    result = ali("train", "--arch", "tiny", "--out", out)
    assert result.code == 1
    assert f"its run has no checkpoint, but {name.split('/')[0]!r} is there" in result.err
    assert content(out) == before


def test_what_killed_processes_left_is_swept(run: Path) -> None:
    old = time.time() - 7200
    left = [run / ".model.safetensors.1a2b.partial.safetensors", run / "checkpoints" / ".step-000000006.1a2b.partial"]
    left[0].write_bytes(b"half")
    left[1].mkdir()
    (left[1] / "state.json").write_text("{")
    for path in (*left, left[1] / "state.json"):
        os.utime(path, (old, old))
    prepare({"steps": 6}, run, resume=True).run()
    assert not any(path.exists() for path in left)


# metrics.jsonl


@pytest.mark.parametrize(
    "damage",
    [
        b"\n",
        b"   \n\n\n",
        b"\0\0\0\0\n",
        b"\0" * 4096,
        b'{"step": 5, "loss',
        b"\xef\xbb\xbf\n",
        b"\xff\xfe\n",
        b"[1]\n",
        b'"step"\n',
        b"null\n",
        b'{"step": "4"}\n',
        b'{"step": true}\n',
        b"[" * 100_000 + b"\n",
        b'{"step": ' + b"9" * 5000 + b"}\n",
        b'{"step": 3}\n{"step": 4}\n',
    ],
)
@pytest.mark.parametrize("where", ["before", "after"])
def test_damaged_figures_are_read_past(damage: bytes, where: str, run: Path) -> None:
    path = run / "metrics.jsonl"
    path.write_bytes(damage + path.read_bytes() if where == "before" else path.read_bytes() + damage)
    prepare({"steps": 6}, run, resume=True).run()
    steps = steps_of(run)
    assert steps == sorted(set(steps))
    assert steps[-3:] == [4, 5, 6]


def test_figures_with_a_mark_of_their_encoding_are_kept(run: Path) -> None:
    path = run / "metrics.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    prepare({"steps": 6}, run, resume=True).run()
    assert steps_of(run) == [1, 2, 3, 4, 5, 6]


def test_figures_that_cannot_be_written_now_are_written_with_the_next(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path / "metrics.jsonl")
    metrics.append({"step": 1})
    metrics.path.rename(tmp_path / "away")
    metrics.path.mkdir()
    with pytest.raises(FolderError, match=r"cannot write .*metrics\.jsonl"):
        metrics.append({"step": 2})
    metrics.path.rmdir()
    (tmp_path / "away").rename(metrics.path)
    metrics.append({"step": 3})
    assert [json.loads(line)["step"] for line in metrics.path.read_text().splitlines()] == [1, 2, 3]


# Links and what is no regular file.

FILES = ["train_config.json", "metrics.jsonl", "config.json", "model.safetensors", "training.json",
         "evaluation.json", "README.md", "samples.png", "model_index.json", locks.NAME]  # fmt: skip
FOLDERS = ["checkpoints", "best", "samples", "tensorboard", "wandb", "encoder", "decoder", "discriminator"]


def elsewhere(tmp_path: Path) -> Path:
    """A folder with all that a run might want to delete or replace."""
    there = tmp_path / "elsewhere"
    for name in (
        *FILES, "best.json", "diffusion_pytorch_model.safetensors", "step-000000002/state.json", "precious.txt",
        "step-000000002-samples.png", "step-000000004-samples.png", "step-000000006-samples.png",
        "step-000000006-reconstructions.png", ".step-000000009.1a2b.partial/state.json",
        ".x.1a2b.partial", "events.out.tfevents.1.host", "latest-run", "debug.log",
    ):  # fmt: skip
        (there / name).parent.mkdir(parents=True, exist_ok=True)
        (there / name).write_text(f"mine: {name}")
        os.utime(there / name, (0, 0))
    return there


@pytest.mark.parametrize("name", [*FILES, *FOLDERS])
@pytest.mark.parametrize("command", ["resume", "new", "evaluate", "card", "export"])
def test_nothing_is_changed_behind_a_link(name: str, command: str, run: Path, tmp_path: Path, ali: Ali) -> None:
    there = elsewhere(tmp_path)
    before = content(there)
    if (run / name).is_dir():
        (run / name).rename(tmp_path / "away")
    else:
        (run / name).unlink(missing_ok=True)
    (run / name).symlink_to(there if name in FOLDERS else there / name)
    arguments = {
        "resume": ["train", "--resume", "--steps", 8, "--log", "wandb" if name == "wandb" else "tensorboard"],
        "new": ["train", "--arch", "tiny", "--steps", 2],
        "evaluate": ["evaluate", run, "--metric", "brightness"],
        "card": ["card", run, "--write"],
        "export": ["export", run],
    }[command]
    out = tmp_path / "export" if command == "export" else run
    result = ali(*arguments, *(["--out", out] if command in ("resume", "new", "export") else []))
    assert "this is a bug" not in result.err
    assert result.code in (0, 1)
    assert {path: data for path, data in content(there).items() if path in before} == before


def test_a_linked_disk_of_checkpoints_is_used_and_never_pruned(run: Path, tmp_path: Path, ali: Ali) -> None:
    (run / "checkpoints").rename(tmp_path / "disk")
    (run / "checkpoints").symlink_to(tmp_path / "disk")
    result = ali("train", "--resume", "--steps", 8, "--out", run)
    assert result.code == 0, result.err
    assert "checkpoints is a link; old checkpoints stay" in result.err
    assert [path.name for path in checkpoint.found(run)] == [f"step-{step:09d}" for step in (2, 4, 6, 8)]


def test_a_linked_disk_serves_a_new_run(tmp_path: Path, ali: Ali) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "checkpoints").symlink_to(tmp_path / "disk")
    common = ["--steps", 4, "--checkpoint-every", 2, "--device", "cpu"]
    assert ali("train", "--arch", "tiny", *common, "--out", tmp_path / "run").code == 0
    assert len(list((tmp_path / "disk").iterdir())) == 2
    (tmp_path / "large").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "large")
    assert ali("train", "--arch", "tiny", *common, "--out", tmp_path / "linked").code == 0
    assert ali("train", "--resume", "--steps", 6, "--out", tmp_path / "linked").code == 0
    assert (tmp_path / "large" / "model.safetensors").is_file()
    (tmp_path / "target").mkdir()
    (tmp_path / "exported").symlink_to(tmp_path / "target")
    assert ali("export", tmp_path / "run", "--out", tmp_path / "exported").code == 0
    assert (tmp_path / "target" / "model.safetensors").is_file()


def test_said_what_is_not_done_through_a_link(run: Path, tmp_path: Path, ali: Ali) -> None:
    there = elsewhere(tmp_path)
    for name in ("best", "samples"):
        (run / name).rename(tmp_path / name)
        (run / name).symlink_to(there)
    result = ali("train", "--resume", "--steps", 8, "--out", run)
    assert result.code == 0, result.err
    assert result.err.count("the best model is not kept") == 1
    assert result.err.count("it is not overwritten") == 1


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "circle"])
@pytest.mark.parametrize("name", [*FILES, "best/best.json", "checkpoints"])
def test_what_is_no_regular_file_ends_in_one_line(kind: str, name: str, run: Path, tmp_path: Path, ali: Ali) -> None:
    path = run / name
    if path.is_dir():
        path.rename(tmp_path / "away")
    else:
        path.unlink(missing_ok=True)
    odd(path, kind)
    for arguments in (
        ["train", "--resume", "--steps", 6, "--out", run],
        ["evaluate", run, "--metric", "brightness"],
        ["card", run],
        ["train", "--arch", "tiny", "--out", run],
    ):
        result = ali(*arguments)
        assert "this is a bug" not in result.err, result.err
        assert result.code in (0, 1)


def odd(path: Path, kind: str) -> None:
    """Make a pipe, a folder, a link to a device, or a link to itself."""
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero" if kind == "device" else path.name)


def test_refused_folders_are_not_made(tmp_path: Path) -> None:
    run_folder.refuse_unfit(tmp_path / "new", resume=False)
    assert not list(tmp_path.iterdir())
