"""What goes to the package index: a wheel and a source archive, built from this tree."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest

from ali_plugin.folder import released
from ali_plugin.version import __version__

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-d", folder], cwd=ROOT, check=True)
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (found,) = built.glob("*.whl")
    return found


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return message_from_bytes(archive.read(name))


def test_the_wheel_is_small_and_has_the_released_models(wheel: Path) -> None:
    assert wheel.stat().st_size < 10_000_000
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for name, model in released.models().items():
        assert {f"ali_plugin_model_cards/released/{name}/{file}" for file in model.files} <= names
    assert {"ali_plugin_model_cards/card.md.jinja", "ali_plugin_model_cards/released/manifest.json"} <= names
    assert {name.partition("/")[0] for name in names} == {
        "ali_plugin", "ali_registry", "ali_cli", "ali_plugin_model_cards", f"ali_plugin-{__version__}.dist-info",
    }  # fmt: skip


def test_the_page_of_the_index_shows_nothing_that_is_not_there(wheel: Path) -> None:
    page = str(metadata(wheel).get_payload())
    assert metadata(wheel)["Description-Content-Type"] == "text/markdown"
    assert page.startswith("# ali-plugin\n")
    targets = re.findall(r"\]\(([^)]*)\)", page)
    assert [target for target in targets if not target.startswith("https://")] == []
    assert not re.search(r"!\[|!\w|^\*", page, re.MULTILINE)
    commands = re.findall(r"^\$ .*$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert commands
    assert [command for command in commands if command not in page] == []


def test_the_page_of_the_index_installs_from_the_index(wheel: Path) -> None:
    page = str(metadata(wheel).get_payload())
    assert page.count(".venv/bin/pip install ali-plugin && ") == 2
    assert "pip install 'ali-plugin[eval,demo]'" in page
    assert not re.search(r"install '?\.|clone|pytest", page)


def test_metadata_name_version_pythons_and_licences(wheel: Path) -> None:
    found = metadata(wheel)
    assert (found["Name"], found["Version"], found["License-Expression"]) == ("ali-plugin", __version__, "MIT")
    assert found["Requires-Python"] == ">=3.11"
    assert set(found.get_all("License-File") or []) == {"LICENSE", "ali_plugin/datasets/data/LICENSE-fashion-mnist"}


def test_the_source_archive_has_no_pictures_but_the_models_own(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    pictures = [name for name in names if name.endswith((".png", ".jpg", ".gif"))]
    assert all(name.startswith("model_cards/released/") for name in pictures)
    assert {"pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", "tests/conftest.py"} <= set(names)
    assert {"model_cards/card.md.jinja", "model_cards/released/manifest.json"} <= set(names)
