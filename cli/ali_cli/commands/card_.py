"""ali card"""

from __future__ import annotations

from pathlib import Path

import click

from ali_cli.paths import MODEL
from ali_cli.settings import json_option
from ali_cli.terminal import note, print_json, print_text


@click.command(epilog="\b\nExamples:\n  ali card runs/garments\n"
                      "  ali card runs/garments --write --license cc-by-4.0\n"
                      "  ali card me/ali-fashion")  # fmt: skip
@click.argument("model", type=MODEL)
@click.option("--write", is_flag=True, help="Refresh the README.md in MODEL instead of printing it.")
@click.option("--license", help="Licence of the weights, an identifier of the Hub's list such as mit.")
@json_option
def command(model: str, write: bool, license: str | None, as_json: bool) -> None:
    """Print MODEL's card, made from its files as they are now.

    What a person has written between the marked sections stays, and so do metadata that were added.
    """
    from ali_plugin.errors import OptionError
    from ali_plugin.folder.checked import check
    from ali_plugin.folder.model_folder import CARD_NAME
    from ali_plugin.hub import card
    from ali_plugin.hub.download import locate

    folder = locate(model)
    if write and not Path(model).is_dir():
        raise OptionError(f"{model!r} is on the Hub or released; `ali pull` makes a folder of it, with a card to write")
    text = card.write(folder, license=license) if write else card.text(check(folder), license=license)
    if as_json:
        print_json({"path": str(folder / CARD_NAME), "written": write, "text": text})
    elif write:
        note(f"card in {folder / CARD_NAME}")
    else:
        print_text(text)
