"""Pushing: what is written to the folder, and when."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import copied
from hub.actions import download, put
from hub.client import Client
from hub.faults import Fault
from hub.fixtures import LocalHub, RawFile
from hub_tasks import ali, ali_in

pytestmark = pytest.mark.usefixtures("hub")
REPO = "alice/model"


@pytest.fixture
def run(untrained_once: Path, tmp_path: Path) -> Path:
    return copied(untrained_once, tmp_path / "runs" / "x")


def content(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


@pytest.mark.parametrize("way", ["runs/x", "runs/x/", "./runs/x", "runs//x", "runs/../runs/x/.", "absolute"])
def test_the_local_card_is_refreshed_however_the_folder_is_called(
    writer: Client, run: Path, tmp_path: Path, way: str
) -> None:
    (ended,) = writer(ali_in, tmp_path, ["push", str(run) if way == "absolute" else way, REPO])
    assert ended.code == 0, ended.err
    assert (run / "README.md").read_bytes() == writer(download, REPO, "README.md")
    assert f'from_pretrained("{REPO}")' in (run / "README.md").read_text()


@pytest.mark.parametrize(
    "fault",
    [Fault("status", "/commit/", status=403), Fault("status", "/api/repos/create", status=403),
     Fault("status", "/preupload/", status=400), Fault("body", "/commit/", content='{"commitUrl": 7}'),
     Fault("body", "/commit/", content='{"commitOid": "../x", "commitUrl": "http://x/a/b/commit/1"}')],
    ids=lambda fault: f"{fault.action} {fault.path} {fault.status}",
)  # fmt: skip
@pytest.mark.parametrize("there", [False, True])
def test_a_card_that_was_not_published_is_not_written(
    hub: LocalHub, writer: Client, run: Path, fault: Fault, there: bool
) -> None:
    if there:
        (run / "README.md").write_text("# Mine\n")
    before = content(run)
    hub.inject(fault)
    ended = writer(ali, "push", run, REPO)
    assert ended.code == 1
    assert ended.err.count("error:") == 1
    assert content(run) == before


def test_a_dry_run_writes_nothing(hub: LocalHub, writer: Client, run: Path, tmp_path: Path) -> None:
    (run / "README.md").write_text("# Mine\n")
    before = content(run)
    for options in ([], ["--json"], ["--format", "ali"], ["--private"], ["--create-pr"]):
        assert writer(ali, "push", run, REPO, "--dry-run", *options).code == 0
    assert content(run) == before
    assert hub.log() == []


def test_a_card_that_cannot_be_written_is_said_after_the_push(writer: Client, run: Path) -> None:
    (run / "README.md").write_text("# Mine\n")
    (run / "README.md").chmod(0o444)
    ended = writer(ali, "push", run, REPO)
    assert ended.code == 0
    assert "published, but the card in" in ended.err
    assert "read-only" in ended.err
    assert (run / "README.md").read_text() == "# Mine\n"
    assert b"# Mine" in writer(download, REPO, "README.md")


def test_a_hub_card_with_windows_line_ends_stays_single(writer: Client, run: Path) -> None:
    writer(ali, "push", run, REPO)
    theirs = writer(download, REPO, "README.md").replace(b"\n", b"\r\n") + b"Mine.\r\n"
    writer(put, REPO, "README.md", b"\xef\xbb\xbf" + theirs)
    (run / "README.md").unlink()
    assert writer(ali, "push", run, REPO).code == 0
    text = writer(download, REPO, "README.md").decode()
    assert text.count("<!-- ali: use -->") == 1
    assert text.count("Mine.") == 1


def test_a_hub_card_that_is_too_large_is_not_fetched(hub: LocalHub, writer: Client, run: Path) -> None:
    hub.write(REPO, {"README.md": RawFile(b"x", lfs=True, size=2 << 30)})
    assert "README.md has 2147483648 bytes" in writer(ali, "push", run, REPO).err


@pytest.mark.parametrize("kind", ["file", "below a file"])
def test_a_home_that_cannot_be_written_is_named(hub: LocalHub, run: Path, tmp_path: Path, kind: str) -> None:
    (tmp_path / "home").write_text("")
    home = tmp_path / "home" if kind == "file" else tmp_path / "home" / "deeper"
    hub.write(REPO, {path.name: RawFile(path.read_bytes()) for path in run.iterdir()})
    ended = hub.client(home)(ali, "pull", REPO, "--out", tmp_path / "pulled")
    assert ended.code == 1
    assert "cannot be written" in ended.err
    assert "HF_HOME" in ended.err
    assert "run it again" not in ended.err
