"""Every command and every line of Python in the page about the Hub works, against a Hub."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

from hub.fixtures import LocalHub
from hub_tasks import ali_in, python_in

PAGE = Path(__file__).resolve().parents[1] / "docs" / "hub.md"
BLOCK = re.compile(r"```(console|python)\n(.*?)```", re.DOTALL)


def test_the_page(hub: LocalHub, trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "runs" / "garments")
    client = hub.client(tmp_path / "home", hub.writer.token)
    text = PAGE.read_text().replace("me/ali-", "alice/ali-")
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
