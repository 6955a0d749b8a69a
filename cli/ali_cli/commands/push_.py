"""ali push"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ali_cli.paths import MODEL
from ali_cli.settings import json_option
from ali_cli.terminal import note, print_json, print_table, say
from ali_plugin.errors import OptionError

if TYPE_CHECKING:
    from ali_plugin.folder.checked import Checked


@click.command(epilog="\b\nExamples:\n  ali push runs/garments me/ali-fashion --dry-run\n"
                      "  ali push runs/garments me/ali-fashion --private\n"
                      "  ali push runs/garments me/ali-fashion --report\n"
                      "  ali push runs/garments me/ali-fashion --format diffusers\n"
                      "  ali push runs/garments somebody/ali-fashion --create-pr\n"
                      "  ali push runs/garments --space me/fashion-demo")  # fmt: skip
@click.argument("model", type=MODEL)
@click.argument("repo", required=False)
@click.option("--space", help="Publish the model's demo as this Space (user/name), too; without REPO, nothing else.")
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
    repo: str | None,
    space: str | None,
    private: bool | None,
    revision: str | None,
    create_pr: bool,
    layout: str | None,
    with_report: bool,
    message: str,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Publish MODEL to REPO (user/name) on the Hugging Face Hub, in one commit, with its card; its demo as a Space.

    Only the model's own files go; checkpoints, logs and whatever else lies there are named and stay. Log in
    beforehand with `hf auth login`, or set HF_TOKEN to a token with the right to write.
    """
    from ali_plugin.folder.checked import check
    from ali_plugin.hub.download import locate
    from ali_plugin.tasks.layouts import in_layout

    _refuse_unfit(repo, space, revision, with_report)
    source = locate(model)
    page = _report(source) if with_report else None
    results: list[dict[str, Any]] = []
    with in_layout(source, layout) as folder:
        checked = check(folder)
        demo = None if space is None else _demo(checked, space, repo)  # before anything is sent
        if dry_run:
            results += [_plan(checked, repo, page, as_json)] if repo is not None else []
            results += [_plan_demo(demo, as_json)] if demo is not None else []
        else:
            sent = {"private": private, "create_pr": create_pr, "message": message}
            own = folder is source and Path(model).is_dir()  # neither a copy nor a folder of the cache
            if repo is not None:
                results.append(_push(checked, source, repo, revision=revision, report=page, keep_card=own, **sent))
            if demo is not None:
                results.append(_push_demo(demo, **sent))
    if as_json:
        print_json({**results[0], "space": results[1]} if len(results) > 1 else results[0])
    elif not dry_run:
        for result in results:
            say(result["url"])


def _refuse_unfit(repo: str | None, space: str | None, revision: str | None, with_report: bool) -> None:
    if repo is None and space is None:
        raise click.UsageError("Missing argument 'REPO'.", click.get_current_context())
    if repo is None and (revision is not None or with_report):
        option = "--report" if with_report else "--revision"
        raise OptionError(f"{option} is of the model's repository, not of its Space; name REPO, or leave it out")


def _plan(checked: Checked, repo: str, page: str | None, quiet: bool) -> dict[str, Any]:
    """What would be sent of the model."""
    from ali_plugin.hub.publish import plan

    planned = plan(checked, repo, page)
    if not quiet:
        _show_plan(repo, planned.files)
        _name_left(planned.left)
    return {"repo": repo, **asdict(planned)}


def _push(checked: Checked, source: Path, repo: str, **options: Any) -> dict[str, Any]:
    from ali_plugin.hub.publish import push

    pushed = push(checked, repo, **options)
    _name_left(pushed.left)
    if pushed.unkept:
        note(f"published, but the card in {source} is as it was: {pushed.unkept}")
    _say_unchanged(repo, pushed.changed)
    return asdict(pushed)


@dataclass(frozen=True)
class _Demo:
    """The files of a Space, and their sizes."""

    space: str
    files: Mapping[str, Path | bytes]
    sizes: dict[str, int]


def _demo(checked: Checked, space: str, repo: str | None) -> _Demo:
    from ali_plugin.demo.space import files
    from ali_plugin.hub.space import plan

    made = files(checked, repo)
    return _Demo(space, made, plan(made, space))


def _plan_demo(demo: _Demo, quiet: bool) -> dict[str, Any]:
    if not quiet:
        _show_plan(demo.space, demo.sizes)
    return {"repo": demo.space, "files": demo.sizes}


def _push_demo(demo: _Demo, **options: Any) -> dict[str, Any]:
    from ali_plugin.hub.space import push_space

    pushed = push_space(demo.files, demo.space, **options)
    _say_unchanged(demo.space, pushed.changed)
    return asdict(pushed)


def _show_plan(repo: str, files: Mapping[str, int]) -> None:
    print_table("", ["file", "bytes"], [(name, f"{size:,}") for name, size in files.items()], right=["bytes"])
    note(f"would go to {repo}; nothing was sent")


def _say_unchanged(repo: str, changed: bool) -> None:
    if not changed:
        note(f"{repo} has all of it already; no commit was made")


def _report(run: Path) -> str:
    from ali_plugin.report.page import report

    page, notes = report([run])
    for line in notes:
        note(line)
    return page


def _name_left(names: tuple[str, ...]) -> None:
    if names:
        note(f"not part of the model, stays here: {', '.join(names)}")
