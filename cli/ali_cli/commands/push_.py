"""ali push"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from ali_cli.paths import MODEL
from ali_cli.settings import json_option
from ali_cli.terminal import note, print_json, print_table, say


@click.command(epilog="\b\nExamples:\n  ali push runs/fashion me/ali-fashion --dry-run\n"
                      "  ali push runs/fashion me/ali-fashion --private\n"
                      "  ali push runs/fashion me/ali-fashion --report\n"
                      "  ali push runs/fashion me/ali-fashion --format diffusers\n"
                      "  ali push runs/fashion somebody/ali-fashion --create-pr")  # fmt: skip
@click.argument("model", type=MODEL)
@click.argument("repo")
@click.option("--private", is_flag=True, default=None, help="Make a new repository private.")
@click.option("--revision", help="Branch to commit to, made if need be. [default: main]")
@click.option("--create-pr", is_flag=True, help="Propose the commit as a pull request.")
@click.option(
    "--format",
    "layout",
    type=click.Choice(["ali", "diffusers"]),
    help="Layout on the Hub: one file of weights, or the folder of a diffusers pipeline. [default: as it is]",
)
@click.option("--report", "with_report", is_flag=True, help="Send the page of `ali report`, too.")
@click.option("--message", default="Upload an ALI model", show_default=True, help="Of the commit.")
@click.option("--dry-run", is_flag=True, help="List the files and sizes; send and write nothing.")
@json_option
def command(
    model: str,
    repo: str,
    private: bool | None,
    revision: str | None,
    create_pr: bool,
    layout: str | None,
    with_report: bool,
    message: str,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Publish MODEL to REPO (user/name) on the Hugging Face Hub, in one commit, with its card.

    Only the model's own files go; checkpoints, logs and whatever else lies there are named and stay. Log in
    beforehand with `hf auth login`, or set HF_TOKEN to a token with the right to write.
    """
    from ali_plugin.folder.checked import check
    from ali_plugin.hub.download import locate
    from ali_plugin.hub.publish import plan, push
    from ali_plugin.tasks.layouts import in_layout

    source = locate(model)
    page = _report(source) if with_report else None
    with in_layout(source, layout) as folder:
        if dry_run:
            planned = plan(check(folder), repo, page)
        else:
            pushed = push(
                check(folder),
                repo,
                private=private,
                revision=revision,
                create_pr=create_pr,
                message=message,
                report=page,
                keep_card=folder is source and Path(model).is_dir(),  # neither a copy nor a folder of the cache
            )
    if dry_run:
        if as_json:
            print_json({"repo": repo, **asdict(planned)})
            return
        rows = [(name, f"{size:,}") for name, size in planned.files.items()]
        print_table("", ["file", "bytes"], rows, right=["bytes"])
        note(f"would go to {repo}; nothing was sent")
        _name_left(planned.left)
        return
    _name_left(pushed.left)
    if pushed.unkept:
        note(f"published, but the card in {source} is as it was: {pushed.unkept}")
    if not pushed.changed:
        note(f"{repo} has all of it already; no commit was made")
    if as_json:
        print_json(asdict(pushed))
    else:
        say(pushed.url)


def _report(run: Path) -> str:
    from ali_plugin.report.page import report

    page, notes = report([run])
    for line in notes:
        note(line)
    return page


def _name_left(names: tuple[str, ...]) -> None:
    if names:
        note(f"not part of the model, stays here: {', '.join(names)}")
