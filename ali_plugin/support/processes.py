"""Python processes of our own."""

from __future__ import annotations

import sys


def python_module(name: str, *arguments: str) -> list[str]:
    """The command that runs a module of an installed package.

    ``-P``: plain ``python -m`` puts the working folder first on the path, where a file such as click.py, or a
    dist-info with an entry point, would be run though nobody asked for it.
    """
    return [sys.executable, "-P", "-m", name, *arguments]
