"""Distributions that are really installed, in a folder of their own, and the program run against them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

HEADER = "from ali_plugin import Architecture, Command, Dataset, Decoder, Encoder, hookimpl\n"


def install(site: Path, distribution: str, code: str, *, version: str = "1.0", entry: str | None = None) -> None:
    """Write a one-module distribution with one ``ali_plugin`` entry point the way an installer leaves it.

    Args:
        site: a folder that will be on the path.
        entry: name of the entry point; the distribution's if None.
    """
    module = distribution.replace("-", "_")
    site.mkdir(parents=True, exist_ok=True)
    (site / f"{module}.py").write_text(HEADER + dedent(code))
    info = site / f"{module}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[ali_plugin]\n{entry or distribution} = {module}\n")


def ali(*arguments: object, site: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the program in a process of its own, with ``site`` in front of the path."""
    path = os.pathsep.join(str(part) for part in (site, os.environ.get("PYTHONPATH")) if part)
    return subprocess.run(
        [sys.executable, "-m", "ali_cli", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path, **variables},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
