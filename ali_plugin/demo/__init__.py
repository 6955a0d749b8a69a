"""A model to play with in a browser: samples, one's own pictures, paths between two of them. The extra ``demo``.

``studio`` does what the page asks for, without Gradio; ``page`` is the page, the one file that imports it; ``serve``
opens it on this machine, ``space`` makes the files of a Space on the Hub, whose app calls ``app``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any


def app(source: str | Path, name: str | None = None) -> Any:
    """The page of a model, a ``gradio.Blocks`` to launch.

    Args:
        name: on top of the page, in place of the folder's or the Hub's.

    Raises:
        MissingExtra: Gradio is not installed.
        ALIError: see ``Studio.of``.
    """
    from ali_plugin.demo.page import page
    from ali_plugin.demo.studio import Studio

    return page(Studio.of(str(source), name=name))
