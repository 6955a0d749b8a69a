"""Every command and every line of Python in the pages about the Hub and the model folder works."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from hub.fixtures import LocalHub
from hub_tasks import ali_in, python_in

DOCS = Path(__file__).resolve().parents[1] / "docs"
BLOCK = re.compile(r"```(console|python)\n(.*?)```", re.DOTALL)


@pytest.mark.parametrize("page", ["hub.md", "model-folder.md"])
def test_pages(hub: LocalHub, trained: Path, tmp_path: Path, page: str) -> None:
    shutil.copytree(trained, tmp_path / "runs" / "fashion")
    client = hub.client(tmp_path / "home", hub.writer.token)
    text = (DOCS / page).read_text().replace("me/ali-", "alice/ali-")
    blocks = BLOCK.findall(text)
    assert blocks
    for language, code in blocks:
        if language == "python":
            assert "model" in client(python_in, tmp_path, code)
            continue
        lines = code.splitlines()
        assert all(line.startswith("$ ali ") for line in lines)
        ended = client(ali_in, tmp_path, *(shlex.split(line)[2:] for line in lines))
        assert [(line, end.err) for line, end in zip(lines, ended, strict=True) if end.code] == []
