"""What the tests share: the command line as people call it, and a small trained run."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

import tiny
from ali_cli.main import main
from ali_plugin import ALI
from ali_plugin.evaluation import classifier
from ali_plugin.training import decide
from ali_plugin.training.config import DEFAULT_ARCHITECTURE
from ali_registry import default_registry
from hub.fixtures import anybody as anybody
from hub.fixtures import hub as hub
from hub.fixtures import hub_server as hub_server
from hub.fixtures import writer as writer
from hub.fixtures import writer_home as writer_home

# The models here are tiny: threads would only get into each other's way, also in processes that tests start.
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)

TINY = ("--batch-size", "20", "--log-every", "5", "--sample-every", "10", "--checkpoint-every", "10", "--device", "cpu")


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Decoded pictures go to a folder of the tests, also from processes that they start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ALI_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True, scope="session")
def small_nets() -> Iterator[None]:
    """Trainings of this process that name no architecture have fully connected nets, a step of which costs little."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decide, "DEFAULT_ARCHITECTURE", "fashion")
        yield


@pytest.fixture
def default_nets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or those that everybody gets."""
    monkeypatch.setattr(decide, "DEFAULT_ARCHITECTURE", DEFAULT_ARCHITECTURE)


@pytest.fixture
def hasty_classifier(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that do not look at what a classifier's features are worth: it is trained for a moment, and its
    weights stay away from the cache of other tests."""
    monkeypatch.setattr(classifier, "MOST_STEPS", 5)
    monkeypatch.setenv("ALI_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def float64() -> Iterator[None]:
    """Numbers are of double precision where nobody names a type, as references by hand need it."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


@contextmanager
def registered(plugin: object) -> Iterator[None]:
    """The plugin beside the built-in ones, as if it were installed."""
    assert default_registry().add(plugin).error is None
    try:
        yield
    finally:
        default_registry().remove(plugin)


@pytest.fixture(scope="module")
def tiny_registered() -> Iterator[None]:
    """The plugin ``tiny`` beside the built-in ones, for a whole module."""
    with registered(tiny):
        yield


Ali = Callable[..., Result]


@pytest.fixture
def ali(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ali:
    """Runs ``ali ARGUMENTS`` in this process."""

    def run(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["ali", *map(str, arguments)])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as exit:
            code = int(exit.code or 0)
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return run


def program() -> list[str]:
    """The installed program, for tests that need a process of its own."""
    return [str(Path(sys.executable).with_name("ali"))]


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of 30 small steps, which tests take copies of."""
    out = tmp_path_factory.mktemp("trained") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["ali", "-q", "train", "--steps", "30", *TINY, "--out", str(out)])
        with pytest.raises(SystemExit) as ended:
            main()
    assert not ended.value.code
    return out


def copied(folder: Path, to: Path) -> Path:
    """A copy of a folder. Weights, which are only ever replaced as a whole, are links."""

    def copy(source: str, target: str) -> None:
        (os.link if source.endswith(".safetensors") else shutil.copy2)(source, target)

    return Path(shutil.copytree(folder, to, copy_function=copy))


@pytest.fixture
def trained(trained_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The test's own copy of the run: commands leave records beside a model."""
    return copied(trained_once, tmp_path_factory.mktemp("run") / "run")


@pytest.fixture(scope="session")
def untrained_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model that was not trained, which tests take copies of."""
    folder = tmp_path_factory.mktemp("untrained") / "model"
    ALI.from_architecture("fashion").save_pretrained(folder)
    return folder


@pytest.fixture
def untrained(untrained_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The test's own copy of it."""
    return copied(untrained_once, tmp_path_factory.mktemp("model") / "model")
