"""`ali new-plugin`: what it writes works straight away, and it refuses what cannot become a package."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ali_plugin.errors import FolderError, OptionError
from ali_plugin.new_plugin.write import new_plugin
from ali_registry import build_registry
from environment import FreshEnvironment

BUILT_IN = build_registry(only=())


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> FreshEnvironment:
    return FreshEnvironment.create(tmp_path_factory.mktemp("environment"))


@pytest.fixture(scope="module")
def project(environment: FreshEnvironment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Written and installed the way its README says."""
    folder = tmp_path_factory.mktemp("work")
    made = json.loads(environment.ali("new-plugin", "my-nets", "--json", cwd=folder).stdout)
    assert made["path"] == "ali-plugin-my-nets"
    assert "ali_plugin_my_nets/nets.py" in made["files"]
    assert ".github/workflows/tests.yml" in made["files"]
    environment.install(folder / made["path"], "--editable")
    return folder / "ali-plugin-my-nets"


def test_its_architecture_is_listed_and_trains(environment: FreshEnvironment, project: Path) -> None:
    listed = json.loads(environment.ali("list", "architecture", "--json").stdout)
    mine = next(row for row in listed if row["name"] == "my-nets")
    assert (mine["distribution"], mine["version"]) == ("ali-plugin-my-nets", "0.1.0")
    done = environment.ali(
        "train", "--arch", "my-nets", "--steps", 3, "--batch-size", 4, "--json", "-q", cwd=project.parent
    )
    assert json.loads(done.stdout)["steps"] == 3
    config = json.loads((project.parent / "runs" / "my-nets" / "config.json").read_text())
    assert {"distribution": "ali-plugin-my-nets", "version": "0.1.0"} in config["plugins"]


def test_its_tests_pass(environment: FreshEnvironment, project: Path) -> None:
    assert "passed" in environment.run("pytest", "-q", "-p", "no:cacheprovider", cwd=project).stdout


@pytest.mark.parametrize("name", ["my-nets", "n", "n" * 40])
def test_it_is_clean_for_ruff(name: str, tmp_path: Path) -> None:
    pytest.importorskip("ruff", reason="ruff is in the dev extra")
    new_plugin(name, tmp_path, BUILT_IN)
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "."], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_it_is_typed(environment: FreshEnvironment, project: Path) -> None:
    pytest.importorskip("mypy", reason="mypy is in the dev extra")
    assert "Success" in environment.run("mypy", cwd=project).stdout


@pytest.mark.parametrize(
    "name", ["", "My-Nets", "my_nets", "-nets", "nets-", "my--nets", "9nets", "../nets", "n" * 41, "ali-plugin-"]
)
def test_a_bad_name_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="such as 'my-nets'"):
        new_plugin(name, tmp_path / "new", BUILT_IN)
    assert not (tmp_path / "new").exists()


def test_a_registered_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="'fashion' is there already, from plugin 'architectures' of ali-plugin"):
        new_plugin("fashion", tmp_path / "new", BUILT_IN)


def test_a_used_folder_is_refused_and_an_empty_one_taken(tmp_path: Path) -> None:
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "thesis.tex").write_text("all of it")
    with pytest.raises(FolderError, match="is in use"):
        new_plugin("nets", tmp_path / "used", BUILT_IN)
    assert [path.name for path in (tmp_path / "used").iterdir()] == ["thesis.tex"]
    (tmp_path / "empty").mkdir()
    folder, files = new_plugin("ali-plugin-nets", tmp_path / "empty", BUILT_IN)
    assert folder == tmp_path / "empty"
    assert "ali_plugin_nets/__init__.py" in files  # the prefix is not doubled
    assert all("{{" not in (folder / file).read_text() for file in files)
