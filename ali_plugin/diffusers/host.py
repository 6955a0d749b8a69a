"""The host itself: whether it is there and fits, and how it gets to know our classes."""

from __future__ import annotations

import importlib.util

from ali_plugin.errors import MissingExtra
from ali_plugin.folder.pipeline_layout import LIBRARY

VERSION = (0, 42)  # what is used of it changes from one minor version to the next
INSTALL = "pip install 'ali-plugin[diffusers]'"

try:
    import diffusers
except ImportError as error:
    raise MissingExtra(f"ali_plugin.diffusers needs the diffusers package ({error}): {INSTALL}") from error

if tuple(diffusers.__version__.split(".")[:2]) != tuple(map(str, VERSION)):
    raise MissingExtra(
        f"ali_plugin.diffusers works with diffusers {VERSION[0]}.{VERSION[1]}, "
        f"here is {diffusers.__version__}: {INSTALL}"
    )
if importlib.util.find_spec("accelerate") is None:
    raise MissingExtra(f"ali_plugin.diffusers needs the accelerate package: {INSTALL}")


def register(*classes: type) -> None:
    """Make the classes known: by name in ``diffusers``, and their module as a library of components.

    The host looks for a pipeline's class, and for the class that a component's config names, among its own
    attributes; and it takes components from the Hub only of libraries in its table.
    """
    from diffusers.pipelines.pipeline_loading_utils import LOADABLE_CLASSES

    for one in classes:
        one.__module__ = LIBRARY  # what the host writes into model_index.json, and imports from
        setattr(diffusers, one.__name__, one)
    LOADABLE_CLASSES[LIBRARY] = {"ModelMixin": ["save_pretrained", "from_pretrained"]}
