"""What lies in the working folder is data, never code: no module and no plugin of it is run unasked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ali_plugin.support.processes import python_module
from conftest import TINY, program

MODULES = (
    "click", "torch", "json", "numpy", "typing", "ali_cli", "ali_plugin", "ali_registry", "pluggy", "PIL",
    "safetensors", "torchvision", "runpy", "pickle", "socket", "random", "filelock", "rich", "resource", "struct",
)  # fmt: skip
LEAK = "import os, pathlib\npathlib.Path(os.environ['LEAKED']).write_text(__name__)\n"


@pytest.fixture
def poisoned(tmp_path: Path) -> Path:
    """A folder with a module for each of many names, and with a plugin that nobody has installed."""
    folder = tmp_path / "poisoned"
    folder.mkdir()
    for name in (*MODULES, "evil"):
        (folder / f"{name}.py").write_text(LEAK)
    metadata = folder / "evil-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[ali_plugin]\nevil = evil\n")
    return folder


def run(command: list[str], folder: Path, **variables: str) -> tuple[subprocess.CompletedProcess[str], Path]:
    leaked = folder.parent / "leaked"
    environment = {**os.environ, "LEAKED": str(leaked), **variables}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240)
    return done, leaked


COMMANDS = {
    "plugins": ["plugins"],
    "bench": ["bench", "--batch-size", "4", "--repeats", "1"],
    "train": ["train", "--steps", "2", *TINY],
    "train in two processes": ["train", "--devices", "2", "--steps", "2", *TINY],
    "train compiled": ["train", "--compile", "--steps", "2", *TINY],
    "experiment": ["experiment", "mixture", "--steps", "2", "--runs", "2", "--device", "cpu"],
}


SLOW = ("train", "train compiled", "experiment")  # the first is also what each of two processes does


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in COMMANDS]
)
def test_program_runs_nothing_of_the_working_folder(name: str, poisoned: Path) -> None:
    out = [] if name in ("plugins", "bench") else ["--out", str(poisoned.parent / "out")]
    done, leaked = run([*program(), *COMMANDS[name], *out], poisoned)
    assert not leaked.exists(), leaked.read_text()
    if name != "train compiled":  # which needs a compiler
        assert done.returncode == 0, done.stderr
    assert "evil" not in done.stdout


def launchers() -> dict[str, list[str]]:
    torchrun = [sys.executable, "-P", "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return {
        "module": [sys.executable, "-m", "ali_cli", "plugins"],
        "safe module": python_module("ali_cli", "plugins"),
        "torchrun": [*torchrun, "-m", "ali_cli", "train", "--steps", "2", *TINY, "--out", "out"],
    }


@pytest.mark.parametrize("name", launchers())
def test_module_runs_nothing_of_the_working_folder(name: str, poisoned: Path) -> None:
    for module in ("ali_cli", "runpy", "typing"):  # looked up by Python itself before a line of ours
        (poisoned / f"{module}.py").unlink()
    done, leaked = run(launchers()[name], poisoned)
    assert not leaked.exists(), leaked.read_text()
    assert done.returncode == 0, done.stderr
    assert "evil" not in done.stdout


def test_the_poison_works(poisoned: Path) -> None:
    """A plain ``python -m`` of another package does run it, so that the tests above can fail."""
    _, leaked = run([sys.executable, "-m", "pluggy"], poisoned)
    assert leaked.read_text()
    for name in MODULES:
        (poisoned / f"{name}.py").unlink()
    code = "from importlib.metadata import entry_points; print(entry_points(group='ali_plugin').names)"
    done, _ = run([sys.executable, "-c", code], poisoned)
    assert "evil" in done.stdout
