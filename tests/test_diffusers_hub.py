"""One repository on the Hub serves both libraries, through the real clients of both."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
import torch

from ali_plugin import ALI, ALIError
from diffusers_tasks import decoded, drawn, drawn_by_ali, push
from hub.actions import call, commits, files
from hub.client import Client
from hub.fixtures import LocalHub
from hub_tasks import ali, ali_in, load, python_in

pytestmark = pytest.mark.usefixtures("hub")  # an empty Hub for every test
REPO = "alice/model"
PARTS = ("encoder", "decoder", "discriminator")
PIPELINE = {"model_index.json", *(f"{kind}/{name}" for kind in PARTS
                                  for name in ("config.json", "diffusion_pytorch_model.safetensors"))}  # fmt: skip
COMPANIONS = {"README.md", "samples.png", "reconstructions.png", "training.json"}
DOCS = Path(__file__).resolve().parents[1] / "docs"
BLOCK = re.compile(r"```(console|python)\n(.*?)```", re.DOTALL)


def downloads(hub: LocalHub) -> set[str]:
    """The files that were asked for."""
    paths = [entry["path"] for entry in hub.log() if "/resolve/" in entry["path"]]
    return {path.split("/resolve/")[1].split("/", 1)[1] for path in paths}


def test_one_repository_for_both(hub: LocalHub, writer: Client, anybody: Client, trained: Path, tmp_path: Path) -> None:
    ended = writer(ali, "push", trained, REPO, "--format", "diffusers")
    assert ended.code == 0, ended.err
    assert set(writer(files, REPO)) - {".gitattributes"} == PIPELINE | COMPANIONS
    assert len(writer(commits, REPO)) == 2  # the Hub's own first one, and ours
    assert not (trained / "model_index.json").exists()
    images = drawn_by_ali(trained, 5)
    for name in ("ALIPipeline", "DiffusionPipeline"):
        assert anybody(drawn, REPO, name, 5, cache_dir=tmp_path) == images
    assert anybody(drawn_by_ali, REPO, 5, cache_dir=tmp_path) == images
    assert anybody(load, REPO, cache_dir=tmp_path) == writer(load, str(trained))


def test_a_part_is_fetched_alone(hub: LocalHub, writer: Client, anybody: Client, trained: Path, tmp_path: Path) -> None:
    assert writer(ali, "push", trained, REPO, "--format", "diffusers").code == 0
    before = downloads(hub)
    model = ALI.from_pretrained(trained)
    z = model.prior(2, torch.Generator().manual_seed(1))
    for name in ("ALIDecoder", "AutoModel"):
        assert (
            anybody(decoded, REPO, name, z.tolist(), subfolder="decoder", cache_dir=tmp_path)
            == model.decode(z).tolist()
        )
    fetched = downloads(hub) - before
    assert "decoder/diffusion_pytorch_model.safetensors" in fetched
    assert not [path for path in fetched if path.startswith(("encoder", "discriminator"))]
    hub.reset()
    cached = anybody(
        decoded, REPO, "ALIDecoder", z.tolist(), subfolder="decoder", local_files_only=True, cache_dir=tmp_path
    )
    assert cached == model.decode(z).tolist()


def test_a_repository_in_our_own_layout(
    hub: LocalHub, writer: Client, anybody: Client, trained: Path, tmp_path: Path
) -> None:
    assert writer(ali, "push", trained, REPO).code == 0
    assert anybody(drawn, REPO, "ALIPipeline", 5, cache_dir=tmp_path) == drawn_by_ali(trained, 5)
    z = torch.ones(1, 16).tolist()
    alone = anybody(decoded, REPO, "ALIDecoder", z, subfolder="decoder", cache_dir=tmp_path)
    assert alone == ALI.from_pretrained(trained).decode(torch.ones(1, 16)).tolist()
    assert anybody(drawn, REPO, "ALIPipeline", 5, revision="main", cache_dir=tmp_path) == drawn_by_ali(trained, 5)
    with pytest.raises(ALIError, match="no revision 'v9'"):
        anybody(drawn, REPO, "ALIPipeline", 5, revision="v9", cache_dir=tmp_path)


def test_the_layout_changes_in_one_commit(hub: LocalHub, writer: Client, trained: Path, tmp_path: Path) -> None:
    own = {"config.json", "model.safetensors"}
    for layout, model_files in (("ali", own), ("diffusers", PIPELINE), ("ali", own)):
        ended = writer(ali, "push", trained, REPO, "--format", layout)
        assert ended.code == 0, ended.err
        assert set(writer(files, REPO)) - {".gitattributes"} == model_files | COMPANIONS
    assert writer(ali, "push", trained, REPO, "--format", "diffusers").code == 0
    ended = writer(ali, "pull", REPO, "--out", tmp_path / "pulled")
    assert ended.code == 0, ended.err
    pulled = {str(path.relative_to(tmp_path / "pulled")) for path in (tmp_path / "pulled").rglob("*") if path.is_file()}
    assert pulled == PIPELINE | COMPANIONS
    assert writer(load, str(tmp_path / "pulled")) == writer(load, str(trained))
    assert writer(ali, "push", tmp_path / "pulled", REPO).err.count("no commit was made") == 1


def test_push_from_python(hub: LocalHub, writer: Client, anybody: Client, trained: Path, tmp_path: Path) -> None:
    url = writer(push, str(trained), REPO, commit_message="A pipeline")
    assert url.startswith(f"{hub.endpoint}/{REPO}/commit/")
    assert writer(commits, REPO)[0] == "A pipeline"
    card = writer(call, "hf_hub_download", REPO, "README.md")
    text = Path(card).read_text()
    assert f'ALIPipeline.from_pretrained("{REPO}")' in text
    assert "- diffusers\n" in text
    assert anybody(drawn, REPO, "DiffusionPipeline", 1, cache_dir=tmp_path) == drawn_by_ali(trained, 1)


def test_page(writer: Client, trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path / "runs" / "garments")
    blocks = BLOCK.findall((DOCS / "diffusers.md").read_text().replace("me/ali-", "alice/ali-"))
    assert [language for language, _ in blocks] == ["python", "console", "python", "python", "python", "python"]
    for language, code in blocks:
        if language == "python":
            assert "pipe" in writer(python_in, tmp_path, code)
            continue
        ended = writer(ali_in, tmp_path, *(shlex.split(line)[2:] for line in code.splitlines()))
        assert [end.err for end in ended if end.code] == []
