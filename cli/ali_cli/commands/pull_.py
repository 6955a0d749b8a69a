"""ali pull"""

from __future__ import annotations

from pathlib import Path

import click

from ali_cli.paths import WriteFolder
from ali_cli.settings import json_option
from ali_cli.terminal import note, print_json


@click.command(epilog="\b\nExamples:\n  ali pull me/ali-fashion --out ali-fashion\n"
                      "  ali pull me/ali-fashion --revision v1 --out fashion-v1\n"
                      "  ali pull fashion-residual --out garments")  # fmt: skip
@click.argument("repo")
@click.option("--revision", help="Branch, tag or commit. [default: main]")
@click.option("--out", type=WriteFolder(), required=True, help="A new or empty folder.")
@json_option
def command(repo: str, revision: str | None, out: Path, as_json: bool) -> None:
    """Download the model REPO (user/name) from the Hugging Face Hub as a folder, or copy a released model.

    Nothing but the model's own files is taken. The other commands take REPO directly, too.
    """
    from ali_plugin.hub.download import pull

    files = pull(repo, out, revision=revision)
    if as_json:
        print_json({"path": str(out), "files": files})
    else:
        note(f"{out}: {', '.join(files)}")
