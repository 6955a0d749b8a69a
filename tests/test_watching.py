"""Watching never ends a run: readers that go, terminals that close, disks that fill, a person who waits."""

from __future__ import annotations

import json
import os
import pty
import resource
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ali_plugin import ALI
from ali_plugin.errors import CallbackFailed, FolderError
from ali_plugin.support import atomic
from ali_plugin.training import checkpoint
from ali_plugin.training.callbacks import Callback, loggers
from ali_plugin.training.run import prepare
from conftest import Ali

SLOW = [sys.executable, str(Path(__file__).with_name("slow_ali.py"))]
SMALL = {"architecture": "tiny", "device": "cpu", "log_every": 1, "sample_every": 2, "checkpoint_every": 2}
TRAIN = ["train", "--arch", "tiny", "--objective", "slow", "--device", "cpu", "--log-every", "1",
         "--checkpoint-every", "100000"]  # fmt: skip
ENDLESS = [*TRAIN, "--steps", "1000000"]


pytestmark = pytest.mark.usefixtures("tiny_registered")


def start(arguments: list[str], out: Path, step: int = 1, **choices: Any) -> subprocess.Popen[str]:
    """The program with steps that take so much work, 2,000,000 for about a second."""
    environment = {**os.environ, "ALI_TEST_STEP": str(step), "PYTHONDONTWRITEBYTECODE": "1"}
    choices.setdefault("stderr", subprocess.PIPE)
    command = [*SLOW, *arguments, "--out", str(out)]
    return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, env=environment, **choices)


def wait_for(ready: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.02)


def saved_step(out: Path) -> int:
    """That of the newest checkpoint, which is sound."""
    path = checkpoint.found(out)[-1]
    position = checkpoint.read_position(path)
    assert ALI.from_pretrained(out)
    return position.step


# Readers that go.


@pytest.mark.parametrize("extra", [[], ["--json"], ["--log", "tensorboard"]])
def test_a_reader_that_has_seen_enough_ends_no_training(extra: list[str], tmp_path: Path) -> None:
    """As in ``ali train 2>&1 | head -2``."""
    out = tmp_path / "run"
    process = start([*TRAIN, "--steps", "60", *extra], out, stderr=subprocess.STDOUT)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("step 1/60")
    process.stdout.close()
    assert process.wait(60) == 0
    assert saved_step(out) == 60
    assert len((out / "metrics.jsonl").read_text().splitlines()) == 60
    assert (out / "README.md").is_file()


@pytest.mark.parametrize("closed", ["stdout", "stderr", "both"])
def test_streams_that_are_closed_from_the_start(closed: str, tmp_path: Path) -> None:
    redirect = {"stdout": ">&-", "stderr": "2>&-", "both": ">&- 2>&-"}[closed]
    command = " ".join([*SLOW, *TRAIN, "--steps", "3", "--out", str(tmp_path / "run")])
    done = subprocess.run(["sh", "-c", f"{command} {redirect}"], capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert saved_step(tmp_path / "run") == 3


@pytest.mark.slow
def test_output_onto_a_full_disk(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        process = start([*TRAIN, "--steps", "5"], tmp_path / "run", stderr=full)
        assert process.wait(60) == 0
        assert saved_step(tmp_path / "run") == 5
        process = start(["train", "--resume", "--steps", "7"], tmp_path / "run", stderr=subprocess.PIPE)
        process.communicate(timeout=60)
        command = [*SLOW, "-q", "train", "--resume", "--steps", "9", "--out", str(tmp_path / "run")]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr == (
        f"error: step 9 is saved in {tmp_path / 'run'}, but this cannot be printed: No space left on device\n"
    )
    assert saved_step(tmp_path / "run") == 9


# Signals.


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("reader", ["there", "gone"])
def test_a_signal_ends_the_run_after_its_step(number: signal.Signals, reader: str, tmp_path: Path, ali: Ali) -> None:
    out = tmp_path / "run"
    process = start(ENDLESS, out)
    assert process.stderr is not None
    process.stderr.readline()
    if reader == "gone":
        process.stderr.close()
        process.stderr = None
    process.send_signal(number)
    _, text = process.communicate(timeout=60)
    assert process.returncode == 130
    reached = saved_step(out)
    assert json.loads((out / "metrics.jsonl").read_text().splitlines()[-1])["step"] == reached
    if reader == "there":
        assert f"stopped after step {reached}, saved; continue with: ali " in text
        assert "--resume" in text


def test_who_ignores_hang_ups_trains_on(tmp_path: Path) -> None:
    """As with ``nohup``."""
    process = start([*TRAIN, "--steps", "100"], tmp_path / "run", 20_000,
                    preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))  # fmt: skip
    assert process.stderr is not None
    process.stderr.readline()
    process.send_signal(signal.SIGHUP)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert saved_step(tmp_path / "run") == 100


@pytest.mark.parametrize("bar", [False, True])
def test_a_terminal_that_closes(bar: bool, tmp_path: Path) -> None:
    """It sends SIGHUP, and what is written to it fails. ``bar``: the run's stderr is that terminal."""
    out = tmp_path / "run"
    number, terminal = pty.fork()
    if number == 0:
        if not bar:
            os.dup2(os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT), 2)
        os.execv(sys.executable, [*SLOW, *ENDLESS, "--out", str(out)])
    try:
        wait_for(lambda: (out / "metrics.jsonl").exists())
    except AssertionError:
        os.kill(number, signal.SIGKILL)
        raise
    finally:
        os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]) == 130
    assert saved_step(out) > 0
    if not bar:
        assert "continue with: ali " in (tmp_path / "log").read_text()


def read_until(source: int, found: Callable[[str], object], seconds: float) -> str:
    """What comes from a terminal until it is found."""
    text, end = "", time.monotonic() + seconds
    while not found(text):
        assert time.monotonic() < end, text
        if select.select([source], [], [], 0.1)[0]:
            text += os.read(source, 65536).decode(errors="replace")
    return text


@pytest.mark.parametrize("bar", [False, True])
def test_ctrl_c_is_answered_within_a_slow_step_and_a_second_one_ends_at_once(bar: bool, tmp_path: Path) -> None:
    out = tmp_path / "run"
    number, terminal = pty.fork()
    if number == 0:
        os.environ["ALI_TEST_STEP"] = "100000000"  # most of a minute
        if not bar:
            os.environ["TERM"] = "dumb"
            os.dup2(os.open(tmp_path / "log", os.O_RDWR | os.O_CREAT), 2)
        os.execv(sys.executable, [*SLOW, *ENDLESS, "--out", str(out)])
    try:
        wait_for(lambda: (out / "train_config.json").exists())
        time.sleep(1)  # into the step
        os.write(terminal, b"\x03")
        begun = time.monotonic()
        answer = "stopping: step 1 is finished first, then the run is saved; Ctrl-C once more ends at once"
        if bar:
            read_until(terminal, lambda text: "stopping: step 1 is finished first" in text, 5)
        else:
            wait_for(lambda: answer in (tmp_path / "log").read_text(), 5)
        assert time.monotonic() - begun < 3
        os.write(terminal, b"\x03")
        begun = time.monotonic()
        code = os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])
        number = 0
        assert code == 130
        assert time.monotonic() - begun < 5
    finally:
        if number:
            os.kill(number, signal.SIGKILL)
            os.waitpid(number, 0)
        os.close(terminal)


def test_something_moves_at_least_every_five_seconds(tmp_path: Path) -> None:
    process = start([*ENDLESS, "--log-every", "1000"], tmp_path / "run", 100_000_000)
    assert process.stderr is not None
    try:
        wait_for(lambda: (tmp_path / "run" / "train_config.json").exists())
        for _ in range(2):
            begun = time.monotonic()
            assert process.stderr.readline().startswith("step 0/1000000  at work on the next, ")
            assert time.monotonic() - begun < 6
    finally:
        process.kill()
        process.communicate()


def test_the_bar_moves_between_log_lines(tmp_path: Path) -> None:
    number, terminal = pty.fork()
    if number == 0:
        os.environ["ALI_TEST_STEP"] = "200000"
        command = [*TRAIN, "--steps", "1000", "--log-every", "1000"]
        os.execv(sys.executable, [*SLOW, *command, "--out", str(tmp_path / "run")])
    try:
        read_until(terminal, lambda text: any(f"{step}/1000" in text for step in range(3, 50)), 40)
    finally:
        os.kill(number, signal.SIGKILL)
        os.waitpid(number, 0)
        os.close(terminal)


# Disks that fill.


class Warnings(Callback):
    """Keeps what the person is warned of."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def on_warning(self, trainer: Any, text: str) -> None:
        self.heard.append(text)


def full(error: int = 28) -> OSError:
    return OSError(error, os.strerror(error))


def break_writing(monkeypatch: pytest.MonkeyPatch, broken: Callable[[Path], bool]) -> None:
    """From now on the disk is full for some files."""
    real = atomic.sync

    def sync(path: Path) -> None:
        if broken(path):
            raise full()
        real(path)

    monkeypatch.setattr(atomic, "sync", sync)


def test_figures_and_pictures_that_cannot_be_written_are_warned_of_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warnings = Warnings()
    trainer = prepare({**SMALL, "steps": 8}, tmp_path / "run", callbacks=[warnings, "tensorboard"])
    break_writing(monkeypatch, lambda path: path.suffix == ".png" and path.parent.name == "samples")
    (tmp_path / "run" / "metrics.jsonl").mkdir(parents=True)
    monkeypatch.setattr("ali_plugin.training.run_folder.claim", lambda *_, **__: None)

    class Broken:
        def add_scalar(self, *_: object) -> None:
            raise full()

        def close(self) -> None:
            pass

    monkeypatch.setattr(loggers.TensorBoard, "on_start", lambda self, _: setattr(self, "_writer", Broken()))
    result = trainer.run()
    assert result.steps == 8
    assert len(warnings.heard) == 3, warnings.heard
    for what in ("metrics.jsonl", "-samples.png", "No space left on device"):
        assert sum(what in text and text.endswith("; training goes on") for text in warnings.heard) >= 1
    assert saved_step(tmp_path / "run") == 8


def test_a_checkpoint_that_cannot_be_written_is_said_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warnings = Warnings()
    trainer = prepare({**SMALL, "steps": 8}, tmp_path / "run", callbacks=[warnings])
    break_writing(monkeypatch, lambda path: "state" in path.name and trainer.step in (4, 6))
    trainer.run()
    assert len(warnings.heard) == 2
    for step, text in zip((4, 6), warnings.heard, strict=True):
        assert text.startswith(
            f"cannot write the checkpoint {tmp_path / 'run' / 'checkpoints'}/step-{step:09d}: No space"
        )
        assert text.endswith("training goes on, and the next one is tried")
    assert [path.name for path in checkpoint.found(tmp_path / "run")] == ["step-000000002", "step-000000008"]


def test_the_last_checkpoint_is_tried_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = prepare({**SMALL, "steps": 4}, tmp_path / "run")
    failed: list[Path] = []
    break_writing(monkeypatch, lambda path: "state" in path.name and trainer.step == 4 and not failed
                  and not failed.append(path))  # type: ignore[func-returns-value]  # fmt: skip
    trainer.run()
    assert len(failed) == 1
    assert saved_step(tmp_path / "run") == 4


def test_an_end_without_a_checkpoint_saves_the_model_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ali: Ali
) -> None:
    out = tmp_path / "run"
    prepare({**SMALL, "steps": 4}, out).run()
    break_writing(monkeypatch, lambda path: "state" in path.name)
    before = (out / "model.safetensors").read_bytes()
    result = ali("train", "--resume", "--steps", 6, "--out", out)
    assert result.code == 1
    assert "error: cannot write the checkpoint" in result.err
    assert f"the model of step 6 is saved in {str(out)!r}, but --resume goes on from " in result.err
    assert "step-000000004" in result.err
    assert (out / "model.safetensors").read_bytes() != before
    assert json.loads((out / "training.json").read_text())["steps"] == 6


def test_an_end_without_a_model_says_where_the_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "run"
    trainer = prepare({**SMALL, "steps": 4}, out)
    break_writing(monkeypatch, lambda path: "model.safetensors" in path.name)
    with pytest.raises(FolderError, match=r"model\.safetensors: No space.*--resume goes on from .*step-000000004"):
        trainer.run()
    monkeypatch.undo()
    assert prepare({"steps": 6}, out, resume=True).run().steps == 6


@pytest.mark.parametrize("name", ["README.md", "training.json", "samples.png", "reconstructions.png"])
def test_a_failing_end_never_loses_the_weights(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ali: Ali
) -> None:
    out = tmp_path / "run"
    stem, suffix = name.split(".")
    break_writing(monkeypatch, lambda path: path.name.startswith(f".{stem}") and path.name.endswith(suffix))
    result = ali("-q", "train", "--arch", "tiny", "--steps", 4, "--device", "cpu", "--out", out)
    assert result.code == 1
    assert result.err.startswith(f"error: the model of step 4 is saved in {str(out)!r}, but at the end of its run: ")
    assert name in result.err
    assert result.err.count("\n") == 1
    assert saved_step(out) == 4


class Failing(Callback):
    def on_end(self, trainer: Any) -> None:
        raise RuntimeError("mine")


class Ended(Callback):
    ended = False

    def on_end(self, trainer: Any) -> None:
        self.ended = True


def test_every_callback_sees_the_end(tmp_path: Path) -> None:
    last = Ended()
    trainer = prepare({**SMALL, "steps": 2}, tmp_path / "run", callbacks=[Failing(), last])
    with pytest.raises(CallbackFailed, match=r"the model of step 2 is saved .* failed in on_end: RuntimeError: mine"):
        trainer.run()
    assert last.ended
    assert (tmp_path / "run" / "README.md").is_file()


@pytest.mark.slow
def test_a_full_disk_in_a_process(tmp_path: Path) -> None:
    """A limit on file sizes stands in for the full disk: at first figures fit, then nothing."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

    arguments = [*TRAIN, "--steps", "40", "--checkpoint-every", "10", "--sample-every", "10", "--log", "tensorboard"]
    process = start(arguments, tmp_path / "run", preexec_fn=limit)
    _, text = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "step 40/40" in text
    assert text.count("cannot write the checkpoint") >= 4
    assert text.count("metrics.jsonl") == 1
    assert len([line for line in text.splitlines() if line.startswith("error:")]) == 1
    assert "Traceback" not in text
    assert "this is a bug" not in text
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(1, len(lines) + 1))


def test_the_streams_end_is_silent_when_the_program_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """At exit Python closes what is left after the modules' names are None."""
    from ali_plugin.support import streams

    stream = streams.Unfailing()
    monkeypatch.setattr(streams, "sys", None)
    stream.close()
    monkeypatch.undo()
    assert stream.write("still there\n") == len("still there\n")
