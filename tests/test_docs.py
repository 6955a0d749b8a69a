"""Every command in README.md, docs/*.md and examples/*/README.md is run, and generated pages are fresh.

The rules:

- A fenced block ```` ```console ```` holds commands, each on a line that begins with ``$ ``; other lines are what
  a person would see and are not compared. A fenced ```` ```python ```` block whose first line is ``# file: PATH``
  is written to that path. Both happen in the order of the page, in one temporary folder for each page.
- In that folder stand ready: ``runs/garments``, a small trained model, put back where a section ``##`` begins;
  ``pictures`` and ``my-pictures``, folders of pictures; ``shards``, tar files; ``shoe.jpg`` and ``bag.png``;
  ``data``, with a few samples in Fashion-MNIST's own format; ``examples``.
- ``ali`` runs in this process, as its console script would (starting torch for each would take minutes).
- ``pip install -e`` installs into a fresh environment of the page, without dependencies; ``ali`` and ``pytest`` see
  that environment from then on, and ``ali`` sees a file that the page changes.
- ``train`` takes the few steps of ``SHORT`` in place of --epochs and --steps, and its run folder makes way first;
  ``bench`` measures a small batch once, and no memory, for which it would start a process for each kind of step;
  ``evaluate`` fits the L2-SVM to one set of labels.
- A classifier for features, as of ``--extractor classifier``, is trained for a moment.
- What names the Hub runs in a process of the page, of its environment where it has one, against the local Hub server,
  where ``me`` is ``alice`` and ``somebody`` is ``bob``; for the reference both have an ``ali-fashion`` there, the
  former with a tag ``v1``.
- Of a fenced block ```` ```sh ```` the command ``.venv/bin/ali`` is run; that it can be installed so, .ci/run tries.
- ``cd`` and ``pytest`` do what they say. What matches ``NOT_RUN`` is not run, for the reason given there.
  Anything else fails: a page shows no command that nobody has tried.
"""

from __future__ import annotations

import importlib
import inspect
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ali_plugin.bench import bench
from ali_plugin.folder.model_folder import FILES
from ali_plugin.training.config import DEFAULT_ARCHITECTURE
from ali_registry import default_registry, hookspecs, restrict_plugins
from conftest import Ali
from environment import FreshEnvironment
from hub.actions import call, create
from hub.client import Client
from hub.fixtures import LocalHub, RawFile
from hub_tasks import ali_in
from shards import write_shards
from test_datasets import write_mnist_format

ROOT = Path(__file__).parent.parent
SHORT = ("--steps", "4", "--batch-size", "20", "--log-every", "2", "--device", "cpu")
SHORT_RESUMED = ("--steps", "6")
SHORT_BENCH = ("--batch-size", "2", "--repeats", "1")
SHORT_REPRESENTATION = ("--label-sets", "1")
NOT_RUN = {
    r"pip install '?ali-plugin\b.*": "the package under test is installed already",
    r"ali experiment .*": "test_experiments.py runs each that a page shows",
    r"ali demo .*": "it is served until somebody ends it; test_demo.py opens it",
    r"git .*": "needs a remote repository",
    r"(bash examples/several-machines/|sbatch |sky ).*": "test_several_machines.py runs each file",
}
OF_THE_HUB = re.compile(r"ali (push|pull) .*|ali .* me/.*")
SHOWN_ELSEWHERE = ("docs/hub.md", "docs/diffusers.md")  # run as a whole by test_docs_hub and test_diffusers_hub
REFERENCE = "docs/cli.md"  # whose examples, from --help, name models that others have made
PAGES = sorted(str(path.relative_to(ROOT)) for path in [
    ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").glob("*/README.md"),
])  # fmt: skip


@dataclass(frozen=True)
class Step:
    """A command to run, a file to write, or the beginning of a section."""

    command: str = ""
    path: str = ""
    text: str = ""
    new_section: bool = False


def steps(page: str) -> Iterator[Step]:
    """What a page tells its reader to do, in order."""
    for heading, language, block in re.findall(r"^(## )|^```(\w+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        if heading:
            yield Step(new_section=True)
        elif language == "console":
            yield from (Step(command=line[2:]) for line in block.splitlines() if line.startswith("$ "))
        elif language == "sh":
            yield from (Step(command=command) for command in re.findall(r"\.venv/bin/(ali .*)", block))
        elif language == "python" and (named := re.match(r"# file: (\S+)\n", block)):
            yield Step(path=named[1], text=block[named.end() :].lstrip("\n"))


class Reader:
    """Does what a page says."""

    def __init__(self, folder: Path, trained: Path, ali: Ali, patch: pytest.MonkeyPatch, hub: LocalHub) -> None:
        self.folder, self.trained, self.ali, self.patch, self.hub = folder, trained, ali, patch, hub
        self.environment: FreshEnvironment | None = None
        self.here = folder

    def follow(self, step: Step) -> None:
        if step.new_section:
            shutil.rmtree(self.folder / "runs" / "garments", ignore_errors=True)
            shutil.copytree(self.trained, self.folder / "runs" / "garments")
        elif step.path:
            (self.here / step.path).parent.mkdir(parents=True, exist_ok=True)
            (self.here / step.path).write_text(step.text)
        elif OF_THE_HUB.fullmatch(step.command):
            ours = step.command.replace("me/", "alice/").replace("somebody/", "bob/")
            self.run_with_hub(*shlex.split(ours)[1:])
        elif not any(re.fullmatch(pattern, step.command) for pattern in NOT_RUN):
            self.run(*shlex.split(step.command, comments=True))

    def run(self, program: str, *arguments: str) -> None:
        if program == "cd":
            self.here = (self.here / arguments[0]).resolve()
        elif program == "ali":
            if arguments[:1] == ("train",):
                arguments = self.shortened(arguments)
            elif arguments[:1] == ("bench",):
                arguments = (*arguments, *SHORT_BENCH)
            elif arguments[:1] == ("evaluate",) and ("representation" in arguments or "--metric" not in arguments):
                arguments = (*arguments, *SHORT_REPRESENTATION)
            self.run_ali(*arguments)
        elif program == "pip" and arguments[:2] == ("install", "-e"):
            self.install(self.here / re.sub(r"\[.*\]$", "", arguments[2]))
        elif program == "pytest" and self.environment:
            self.environment.run("pytest", *arguments, cwd=self.here)
        else:
            raise AssertionError(f"no rule for: {program} {shlex.join(arguments)}")

    @cached_property
    def client(self) -> Client:
        """The process of who writes to the Hub, started once for a page."""
        return self.hub.client(self.folder / "home", self.hub.writer.token)

    def run_with_hub(self, *arguments: str) -> None:
        if self.environment is None:
            (ended,) = self.client(ali_in, self.here, [*arguments])
            code, said = ended.code, ended.err
        else:
            there = self.hub.env(self.folder / "home", self.hub.writer.token)
            done = self.environment.ali(*arguments, cwd=self.here, check=False, env=there)
            code, said = done.returncode, done.stderr
        assert code == 0, f"ali {shlex.join(arguments)}\n{said}"

    def install(self, project: Path) -> None:
        self.environment = self.environment or FreshEnvironment.create(self.folder / ".environment")
        self.environment.install(project, "--editable")
        seen = [str(self.environment.site_packages), str(project)]
        self.patch.setattr(sys, "path", [*sys.path, *seen])

    def run_ali(self, *arguments: str) -> None:
        for name, module in list(sys.modules.items()):
            if (getattr(module, "__file__", None) or "").startswith(str(self.folder)):
                del sys.modules[name]
        importlib.invalidate_caches()
        default_registry.cache_clear()
        self.patch.chdir(self.here)
        done = self.ali(*arguments)
        assert done.code == 0, f"ali {shlex.join(arguments)}\n{done.err}"

    def shortened(self, arguments: tuple[str, ...]) -> tuple[str, ...]:
        """A training command of a few steps; the folder of a new run is free for it."""
        line = re.sub(r" --(epochs|steps|batch-size) \d+", "", shlex.join(arguments))
        if "--resume" in arguments:
            return (*shlex.split(line), *SHORT_RESUMED)
        out = re.search(r"--out (\S+)", line)
        architecture = re.search(r"--arch (\S+)", line)
        folder = out[1] if out else f"runs/{architecture[1] if architecture else DEFAULT_ARCHITECTURE}"
        shutil.rmtree(self.here / folder, ignore_errors=True)
        return (*shlex.split(line), *SHORT)


def publish(reader: Reader) -> None:
    """Put the model on the Hub under the names that the reference's examples have; one is pushed to as private."""
    files = {path.name: RawFile(path.read_bytes(), path.suffix == ".safetensors")
             for path in (reader.trained / name for name in FILES) if path.is_file()}  # fmt: skip
    reader.client(create, "alice/ali-fashion", private=True)
    for repository in ("alice/ali-fashion", "bob/ali-fashion"):
        reader.hub.write(repository, files)
    reader.client(call, "create_tag", "alice/ali-fashion", tag="v1")


@pytest.fixture
def reader(
    tmp_path: Path, trained: Path, ali: Ali, monkeypatch: pytest.MonkeyPatch, hub: LocalHub,
    hasty_classifier: None, default_nets: None,
) -> Iterator[Reader]:  # fmt: skip
    shutil.copytree(trained, tmp_path / "runs" / "garments")
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    write_mnist_format(tmp_path / "data" / "FashionMNIST" / "raw", train=5060)
    generator = np.random.default_rng(0)
    write_shards(tmp_path / "shards", (20, 20, 20))
    names = [f"{folder}/{i}.png" for folder in ("pictures", "my-pictures") for i in range(40)]
    for name in ["shoe.jpg", "bag.png", *names]:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(generator.integers(0, 255, (40, 36, 3), dtype=np.uint8)).save(path)
    monkeypatch.setattr(bench, "peak_memory", lambda setup, kind: 1)
    yield Reader(tmp_path, trained, ali, monkeypatch, hub)
    restrict_plugins(None)  # which also forgets the plugins of the page


# What an example's page shows, test_example.py runs by itself, so that this need not be done every time.
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] if name.startswith("examples") else [])
     for name in PAGES if name not in SHOWN_ELSEWHERE],
)  # fmt: skip
def test_what_a_page_says_works(name: str, reader: Reader) -> None:
    if name == REFERENCE:
        publish(reader)
    for step in steps((ROOT / name).read_text()):
        reader.follow(step)


def test_the_command_reference_is_fresh() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "make_cli.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 0, done.stderr


HOOKS = {name: hook for name, hook in vars(hookspecs).items() if name.startswith("register_")}


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_has_a_heading_with_its_exact_signature(hook: str) -> None:
    signature = str(inspect.signature(HOOKS[hook])).replace("'", "")
    headings = re.findall(r"^## `(.*)`$", (ROOT / "docs" / "plugins.md").read_text(), re.MULTILINE)
    assert f"{hook}{signature}" in headings


def test_no_heading_is_left_of_a_hook_that_is_gone() -> None:
    headings = re.findall(r"^## `(register_\w+)\(", (ROOT / "docs" / "plugins.md").read_text(), re.MULTILINE)
    assert headings == list(HOOKS)


def anchors(page: str) -> set[str]:
    """What the headings of a page are called in links, as GitHub makes it of them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", page, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", PAGES)
def test_links_and_pictures_lead_somewhere(name: str) -> None:
    for target in re.findall(r"\]\(([^)\s:]+)\)", (ROOT / name).read_text()):
        path, _, anchor = target.partition("#")
        place = (ROOT / name).parent / path if path else ROOT / name
        assert place.exists(), f"{name} links to {target}"
        assert not anchor or anchor in anchors(place.read_text()), f"{name} links to {target}"


def test_every_extra_is_described() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    described = (ROOT / "docs" / "index.md").read_text().partition("## Extras")[2]
    named = {
        name for line in re.findall(r"^\| (`.*?) \|", described, re.MULTILINE) for name in re.findall("`(.*?)`", line)
    }
    assert named == set(extras)
