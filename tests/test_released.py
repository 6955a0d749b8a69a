"""Models that come with the package: MODEL everywhere, as they were released, and as good as their cards say."""

from __future__ import annotations

import importlib.util
import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

from ali_plugin import ALI
from ali_plugin.errors import FolderError, OptionError
from ali_plugin.folder import released
from ali_plugin.folder.evaluation_record import read as figures_of
from ali_plugin.folder.model_folder import WEIGHTS_NAME
from ali_plugin.hub import card_text
from conftest import Ali

ROOT = Path(__file__).parent.parent
NAME = "garments"
NAMES = sorted(released.models())


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a released model needs no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The test's own copy of the released models."""
    place = tmp_path / "home"
    shutil.copytree(released.HOME, place)
    monkeypatch.setattr(released, "HOME", place)
    return place


@pytest.mark.parametrize("name", NAMES)
def test_it_draws_garments(name: str, ali: Ali, tmp_path: Path) -> None:
    done = ali("sample", name, "-n", 16, "--out", tmp_path / "new.png")
    assert (done.code, done.err) == (0, f"16 samples in {tmp_path / 'new.png'}\n")
    drawn = ALI.from_pretrained(name).sample(16, generator=torch.Generator().manual_seed(0))
    inside, border = drawn[..., 7:21, 7:21], drawn[..., :2, :2]
    assert inside.mean() > 0.25  # a garment in the middle, nothing in the corner
    assert border.mean() < 0.05
    assert drawn.std(0).mean() > 0.1  # and no two the same
    assert np.asarray(Image.open(tmp_path / "new.png")).std() > 40


def test_it_draws_at_once(tmp_path: Path) -> None:
    """With nothing imported that takes long but torch itself."""
    code = (
        "import sys\nfrom ali_cli.main import main\n"
        f"sys.argv = ['ali', '-q', 'sample', {NAME!r}, '--out', {str(tmp_path / 'new.png')!r}]\n"
        "try:\n    main()\nexcept SystemExit as exit:\n    assert not exit.code, exit.code\n"
        "heavy = {'torch._dynamo', 'sympy', 'torchvision', 'diffusers', 'transformers', 'triton', 'scipy', 'sklearn',\n"
        "         'matplotlib', 'rich', 'ali_plugin.training.trainer', 'ali_plugin.evaluation.evaluate'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert (tmp_path / "new.png").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["score", NAME, "-n", "20", "--out", "OUT.csv"],
        ["encode", NAME, "--out", "OUT.safetensors"],
        ["reconstruct", NAME, "-n", "4", "--out", "OUT.png"],
        ["interpolate", NAME, "--steps", "3", "--out", "OUT.png"],
        ["export", NAME, "--out", "OUT"],
        ["pull", NAME, "--out", "OUT"],
        ["push", NAME, "me/mine", "--dry-run"],
        ["card", NAME],
    ],
    ids=lambda arguments: arguments[0],
)
def test_it_is_a_model_for_every_command(arguments: list[str], ali: Ali, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in released.HOME.rglob("*")}
    done = ali(*(text.replace("OUT", str(tmp_path / "out")) for text in arguments))
    assert done.code == 0, done.err
    assert not any("OUT" in text for text in arguments) or list(tmp_path.glob("out*"))
    assert {path: path.stat().st_mtime_ns for path in released.HOME.rglob("*")} == before


def test_what_is_pulled_is_what_was_released(ali: Ali, tmp_path: Path) -> None:
    assert ali("pull", NAME, "--out", tmp_path / "mine").code == 0
    assert {path.name: released.digest_of(path) for path in (tmp_path / "mine").iterdir()} == dict(
        released.models()[NAME].files
    )


def test_its_card_says_how_to_load_it_also_from_a_copy(ali: Ali, tmp_path: Path) -> None:
    assert f'ALI.from_pretrained("{NAME}")' in ali("card", NAME).out
    done = ali("card", NAME, "--write")
    assert (done.code, "is on the Hub or released; `ali pull`" in done.err) == (1, True)


def test_it_opens_as_a_pipeline() -> None:
    diffusers = pytest.importorskip("ali_plugin.diffusers")
    images = diffusers.ALIPipeline.from_pretrained(NAME)(
        batch_size=2, generator=torch.Generator().manual_seed(1), output_type="pt"
    ).images
    assert torch.equal(images, ALI.from_pretrained(NAME).sample(2, generator=torch.Generator().manual_seed(1)))


def test_a_folder_of_the_name_goes_first(
    trained: Path, tmp_path: Path, ali: Ali, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(trained, tmp_path / NAME)
    monkeypatch.chdir(tmp_path)
    assert ALI.from_pretrained(NAME).config.architecture == "fashion"
    monkeypatch.chdir(trained)
    assert ALI.from_pretrained(NAME).config.architecture == NAME


def test_weights_are_halves_on_the_disk_and_whole_in_memory() -> None:
    with safe_open(released.HOME / NAME / WEIGHTS_NAME, framework="pt") as file:
        kinds = {file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118
    assert "F32" not in kinds
    assert "F16" in kinds
    assert ALI.from_pretrained(NAME).dtype == torch.float32
    assert ALI.from_pretrained(NAME, dtype=None).dtype == torch.float16


def test_lists_show_it_and_show_tells_it_from_the_architecture_of_its_name(ali: Ali) -> None:
    rows = json.loads(ali("list", "model", "--json").out)
    assert [row["name"] for row in rows] == NAMES
    assert {(row["kind"], row["distribution"]) for row in rows} == {("model", "ali-plugin")}
    assert NAME in ali("list", "models").out
    assert [row for row in json.loads(ali("list", "--json").out) if row["kind"] == "model"] == rows
    assert "model" in ali("list", "nonsense").err
    shown = ali("show", NAME).out
    assert f"model {NAME}" in shown
    assert "decoder, " in shown  # the architecture, layer by layer
    assert json.loads(ali("show", NAME, "--json").out)["released"]["summary"] == rows[NAMES.index(NAME)]["summary"]


def test_a_released_model_without_an_architecture_of_its_name_is_shown(home: Path, ali: Ali) -> None:
    manifest = json.loads((home / released.MANIFEST_NAME).read_text())
    (home / NAME).rename(home / "trousers")
    (home / released.MANIFEST_NAME).write_text(json.dumps({"trousers": manifest[NAME]}))
    assert "model trousers" in ali("show", "trousers").out
    assert json.loads(ali("show", "trousers", "--json").out)[0]["kind"] == "model"
    assert ali("show", "trouser").code == 1


@pytest.mark.parametrize("wrong", ["garment", "fashion", "./nowhere", "a/b/c", f"{NAME}@v1"])
def test_a_name_that_is_none_is_told_what_there_is(wrong: str, ali: Ali, tmp_path: Path) -> None:
    done = ali("sample", wrong, "--out", tmp_path / "new.png")
    assert done.code == 1
    assert "is no folder; give a run folder, a model folder, user/name on the Hub, or a released model (" in done.err
    assert NAME in done.err


def test_it_has_no_revisions(ali: Ali, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"has no revision 'v1'; leave it out"):
        ALI.from_pretrained(NAME, revision="v1")
    assert "has no revision" in ali("pull", NAME, "--revision", "v1", "--out", tmp_path / "mine").err


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage", [flipped, Path.unlink, lambda path: path.write_bytes(b"")], ids=["flip", "gone", "empty"]
)
@pytest.mark.parametrize("file", sorted(released.models()[NAME].files))
def test_a_damaged_file_is_refused_by_name(file: str, damage: Callable[[Path], object], home: Path) -> None:
    damage(home / NAME / file)
    with pytest.raises(FolderError, match=rf"{file} .*; install ali-plugin again"):
        ALI.from_pretrained(NAME)


def test_the_manifest_is_of_what_lies_there() -> None:
    folders = {path.name: {file.name for file in path.iterdir()} for path in released.HOME.iterdir() if path.is_dir()}
    assert folders == {name: set(model.files) for name, model in released.models().items()}
    for name, model in released.models().items():
        released.folder(model)
        assert sum((released.HOME / name / file).stat().st_size for file in model.files) < 6e6


def card_figures(name: str) -> dict[tuple[str, str], float]:
    """The figures of a card's metadata, which the Hub shows, by metric and figure."""
    front, body = card_text.split((released.HOME / name / "README.md").read_text())
    assert front is not None
    (model,) = card_text.metadata(front)["model-index"]
    found = {}
    for result in model["results"]:
        for measured in result["metrics"]:
            metric, _, figure = measured["name"].partition(": ")
            found[metric, figure] = measured["value"]
            assert f"| {metric} | {figure} | {measured['value']:.4g} |" in body.replace("\\", "")
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_card_has_the_figures_that_were_kept_and_a_licence(name: str) -> None:
    kept = {(figure.metric, figure.figure): figure.value for figure in figures_of(released.HOME / name)}
    assert card_figures(name) == pytest.approx(kept)
    assert {metric for metric, _ in kept} >= {"reconstruction", "representation", "frechet"}
    front, _ = card_text.split((released.HOME / name / "README.md").read_text())
    assert card_text.metadata(front or "")["license"] == "mit"


def measured(ali: Ali, name: str, *options: str) -> dict[tuple[str, str], float]:
    done = ali("evaluate", name, "--json", *options)
    if done.code and name != NAME:
        pytest.skip(f"the complete data are not at hand: {done.err}")
    assert done.code == 0, done.err
    metrics: dict[str, dict[str, Any]] = json.loads(done.out)["metrics"]
    return {(metric, figure): value for metric, values in metrics.items() for figure, value in values.items()}


def stem(key: tuple[str, str]) -> tuple[str, str]:
    """Without the digest of the classifier, whose weights differ a little from one processor to the next."""
    return key[0], key[1].partition(" (")[0]


def test_the_cards_figures_are_what_evaluate_gives(ali: Ali) -> None:
    found = measured(ali, NAME, "--metric", "reconstruction")
    on_card = {key: value for key, value in card_figures(NAME).items() if key[0] == "reconstruction"}
    assert found == pytest.approx(on_card, rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_all_of_a_cards_figures_are_what_evaluate_gives(name: str, ali: Ali) -> None:
    on_card = card_figures(name)
    chosen = [option for metric in sorted({metric for metric, _ in on_card}) for option in ("--metric", metric)]
    found = measured(ali, name, *chosen, "--extractor", "classifier")
    assert {stem(key): value for key, value in found.items()} == pytest.approx(
        {stem(key): value for key, value in on_card.items()}, rel=0.1, abs=0.01
    )


@pytest.fixture(scope="module")
def maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("release", ROOT / "model_cards" / "release.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_run_is_released_in_one_call_and_again(
    maker: ModuleType, trained: Path, home: Path, ali: Ali, tmp_path: Path
) -> None:
    for _ in range(2):
        made = maker.release(trained, "mine", ["reconstruction"], home)
    assert made == home / "mine"
    assert sorted(released.models()) == sorted([*NAMES, "mine"])
    assert "30 steps, squared error of reconstructions 0." in released.models()["mine"].summary
    assert ali("sample", "mine", "--out", tmp_path / "new.png").code == 0
    assert measured(ali, "mine", "--metric", "reconstruction") == pytest.approx(card_figures("mine"))
    assert 'ALI.from_pretrained("mine")' in (made / "README.md").read_text()


@pytest.mark.parametrize("name", ["", "a/b", "..", "Mine", "mine@1", "-mine"])
def test_what_is_no_name_is_not_released(maker: ModuleType, name: str, trained: Path, home: Path) -> None:
    with pytest.raises(OptionError, match="is no name for a model"):
        maker.release(trained, name, ["reconstruction"], home)
    with pytest.raises(OptionError, match="does not say how it was trained"):
        maker.release(home, "mine", ["reconstruction"], home)
    assert sorted(released.models()) == NAMES
