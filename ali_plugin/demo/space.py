"""The files of a Space: the model's own, an app that opens its demo, what that needs, and a card."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from ali_plugin.errors import OptionError
from ali_plugin.folder.checked import Checked
from ali_plugin.folder.model_folder import CARD_NAME
from ali_plugin.hub.card_text import dump, markdown
from ali_plugin.pictures.decode import check_shape
from ali_plugin.support.extras import need
from ali_plugin.version import __version__
from ali_registry.text import printable

MODEL = "model"  # the folder in the Space
APP_NAME, REQUIREMENTS_NAME = "app.py", "requirements.txt"
APP = '''"""The demo of the model in the folder {folder!r}, see README.md."""

from pathlib import Path

from ali_plugin.demo import app

app(Path(__file__).with_name({folder!r}), {name!r}).launch()
'''


def files(model: Checked, repo_id: str | None = None) -> dict[str, Path | bytes]:
    """All files of the Space by name: what is made, and where a file of the model is.

    Args:
        repo_id: where the model itself is published, for the card; None if it is nowhere else.

    Raises:
        PartMismatch: the model is of other data than pictures.
        OptionError: it has no decoder.
        MissingExtra: Gradio is not installed, with whose version the Space is to run.
    """
    check_shape(model.config.data_shape)
    if model.config.decoder is None:
        raise OptionError("a model without a decoder has no demo")
    name = printable(repo_id.rpartition("/")[2] if repo_id else f"ali-{model.config.architecture or 'model'}", 60)
    made = {
        CARD_NAME: _card(name, repo_id),
        APP_NAME: APP.format(folder=MODEL, name=name),
        REQUIREMENTS_NAME: _requirements(model),
    }
    own = {f"{MODEL}/{name}": model.path / name for name in model.files if name != CARD_NAME}
    return {**{name: text.encode() for name, text in made.items()}, **own}


def _requirements(model: Checked) -> str:
    """The library and the plugins that the model is made with, as they are here."""
    plugins = {plugin.distribution: plugin.version for plugin in model.config.plugins}
    plugins.pop("ali-plugin", None)
    lines = [f"{name}=={found}" for name, found in sorted(plugins.items())]
    return "\n".join([f"ali-plugin[demo]=={__version__}", *lines]) + "\n"


def _card(name: str, repo_id: str | None) -> str:
    """README.md, on top of which the Hub reads how to run the Space."""
    need("gradio", "a Space", "demo")
    front: Mapping[str, object] = {
        "title": name,
        "emoji": "🎲",
        "colorFrom": "indigo",
        "colorTo": "yellow",
        "sdk": "gradio",
        "sdk_version": version("gradio"),
        "app_file": APP_NAME,
        "pinned": False,
        "short_description": "Samples, reconstructions and codes of a model",
        "tags": ["ali", "bigan", "adversarially-learned-inference"],
        **({"models": [repo_id]} if repo_id else {}),
    }
    which = f"[{repo_id}](https://huggingface.co/{repo_id})" if repo_id else f"the model in `{MODEL}/`"
    return (
        f"---\n{dump(front).rstrip()}\n---\n\n# {markdown(name)}\n\n"
        f"Draw and vary samples of {which}, look at a picture's code, reconstruction and anomaly score, and walk "
        "between two pictures. The model learned to generate and to infer at once (adversarially learned inference, "
        f"ALI).\n\nOn your own machine: `pip install 'ali-plugin[demo]'`, then `ali demo {repo_id or 'MODEL'}`.\n"
    )
