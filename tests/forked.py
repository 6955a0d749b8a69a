"""A process of ``test_run_folder``: trains a tiny model in children that it forks, at once or killed on the way.

Called as ``forked.py race ROUNDS FOLDER new|resume...`` or ``forked.py kill KILLS FOLDER anywhere|metrics|end...``;
prints JSON, by kind. To fork spares each child the import of torch, and of all that a training imports as it goes.
"""

from __future__ import annotations

import importlib
import json
import os
import random
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

import tiny
from ali_plugin.errors import ALIError
from ali_plugin.training import checkpoint, metrics
from ali_plugin.training.run import prepare
from ali_registry import build_registry

STEPS = 8
OPTIONS = {"architecture": "tiny", "device": "cpu", "log_every": 1, "sample_every": 4, "checkpoint_every": 3}
LATER = 20  # steps that a race goes on for: long enough that the other comes before its end
EVENTS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree"}
REGISTRY = build_registry(only=(), plugins=[tiny])


def train(out: Path, resume: bool, steps: int = STEPS) -> None:
    options = {"steps": steps} if resume else {**OPTIONS, "steps": steps}
    prepare(options, out, resume=resume, registry=REGISTRY).run()


def child(work: Callable[[], None], report: Path) -> int:
    """Fork; the child's error, if it has one, lands in ``report``."""
    number = os.fork()
    if number == 0:
        code = 1
        try:
            work()
            code = 0
        except ALIError as error:
            report.write_text(f"{type(error).__name__}: {error}")
        except BaseException as error:
            report.write_text(f"foreign {type(error).__name__}: {error}")
        os._exit(code)
    return number


def wait(number: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])


def import_as_a_training_does(folder: Path) -> None:
    """A first child finds out what that is. To train in this process would start threads, which no fork takes along."""
    names = folder / "modules"

    def first() -> None:
        train(folder / "first", False, 1)
        names.write_text("\n".join(sys.modules))

    wait(child(first, folder / "error"))
    for name in names.read_text().split():
        with suppress(ImportError):  # of names that other modules have made
            importlib.import_module(name)


def race(kind: str, rounds: int, folder: Path) -> list[Any]:
    """Each round, two processes that start together in one folder: their exit codes, texts and numbers."""
    found = []
    if kind == "resume":
        wait(child(lambda: train(folder / "run", False, 3), folder / "first"))
    for i in range(rounds):
        out = folder / "run" if kind == "resume" else folder / f"run-{i}"
        ready, go = os.pipe()

        def work(out: Path = out, ready: int = ready, i: int = i) -> None:
            os.read(ready, 1)
            train(out, kind == "resume", 3 + LATER * (i + 1) if kind == "resume" else STEPS)

        reports = [folder / f"{i}-{k}" for k in range(2)]
        numbers = [child(work, report) for report in reports]
        os.write(go, b"12")
        codes = [wait(number) for number in numbers]
        found.append({
            "codes": codes,
            "errors": [report.read_text() for report in reports if report.exists()],
            "processes": numbers,
            "steps": steps_of(out),
        })  # fmt: skip
        os.close(ready)
        os.close(go)
    return found


def steps_of(out: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (out / metrics.METRICS_NAME).read_text().splitlines()]


def kill(kind: str, kills: int, folder: Path) -> list[Any]:
    """Runs that are killed once and then started again as a person would: how each ended."""
    seen = folder / "operations"
    wait(child(lambda: watched(folder / "whole", None, seen), folder / "error"))
    whole, operations = load_file(folder / "whole" / "model.safetensors"), seen.read_text().splitlines()
    found = []
    for i, at in enumerate(places(kind, kills, operations)):
        out, report = folder / f"run-{i}", folder / f"error-{i}"
        work = (lambda: torn(out, at)) if kind == "metrics" else (lambda: watched(out, at, None))  # noqa: B023
        killed = wait(child(work, report))
        wait(child(lambda: train(out, bool(checkpoint.found(out))), report))  # noqa: B023
        weights = load_file(out / "model.safetensors") if (out / "model.safetensors").exists() else {}
        found.append({
            "at": str(at),
            "killed": killed == -signal.SIGKILL,
            "error": report.read_text() if report.exists() else "",
            "same": weights.keys() == whole.keys() and all(torch.equal(whole[name], weights[name]) for name in whole),
            "steps": steps_of(out),
        })  # fmt: skip
    return found


def places(kind: str, kills: int, operations: list[str]) -> list[int]:
    if kind == "metrics":
        return [1 + i % STEPS for i in range(kills)]
    if kind == "end":  # what comes after the last step's figures
        first = max(i for i, operation in enumerate(operations) if operation.endswith(metrics.METRICS_NAME))
        return [first + 1 + i * (len(operations) - first - 1) // kills for i in range(kills)]
    return sorted(random.Random(0).sample(range(len(operations)), kills))


def watched(out: Path, at: int | None, seen: Path | None) -> None:
    """Train; the process is killed before its operation number ``at`` on a file of the folder."""
    count, log = 0, []

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if event in EVENTS and str(out) in str(arguments[0]):
            if count == at:
                os.kill(os.getpid(), signal.SIGKILL)
            count += 1
            log.append(f"{event} {arguments[0]}")

    sys.addaudithook(hook)
    train(out, False)
    if seen is not None:
        seen.write_text("\n".join(log))


def torn(out: Path, at: int) -> None:
    """Train; the process is killed when it has written half of a line of figures."""
    count = 0

    def half(file: Any, content: bytes) -> None:
        nonlocal count
        count += 1
        file.write(content[: len(content) // 2] if count == at else content)
        if count == at:
            os.kill(os.getpid(), signal.SIGKILL)

    metrics._append_whole = half
    train(out, False)


if __name__ == "__main__":
    torch.set_num_threads(1)
    what, count, folder, *kinds = sys.argv[1:]
    ended = {}
    import_as_a_training_does(Path(folder))
    for kind in kinds:
        (Path(folder) / kind).mkdir()
        ended[kind] = (race if what == "race" else kill)(kind, int(count), Path(folder) / kind)
    print(json.dumps(ended))
