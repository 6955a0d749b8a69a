"""The demo: what it does to a model, and its page in a real browser, which asks nobody but this machine."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import numpy as np
import pytest
import torch
from PIL import Image

from ali_plugin import ALI
from ali_plugin.demo.serve import free_port, serving
from ali_plugin.demo.space import files
from ali_plugin.demo.studio import Studio
from ali_plugin.errors import DataError, OptionError, PartMismatch
from ali_plugin.folder.checked import check
from ali_plugin.hub import card_text
from ali_plugin.pictures.decode import read_image
from ali_plugin.version import __version__
from browser import Browser, Opened
from browser import browser as browser
from conftest import Ali, program
from hub.actions import snapshot
from hub.client import Client
from hub.fixtures import LocalHub, RawFile
from hub_tasks import ali as ali_command

SPACE = "alice/demo"
CONNECTED: list[str] = []
"""Hosts that this process has asked for or connected to."""


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        CONNECTED.append(str(arguments[1][0]))
    elif event == "socket.getaddrinfo":
        CONNECTED.append(str(arguments[0]))


sys.addaudithook(_watch)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model of garments."""
    folder = tmp_path_factory.mktemp("models") / "garments"
    torch.manual_seed(0)
    ALI.from_architecture("fashion").save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def conditional(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One whose conditions have names that would have to be quoted."""
    folder = tmp_path_factory.mktemp("models") / "conditional"
    ALI.from_architecture("fashion", condition_size=3, condition_names=("shirt", 'hat, "red"', "7")).save_pretrained(
        folder
    )
    return folder


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A photograph of no size that a model takes."""
    path = tmp_path / "shoe.png"
    noise = np.random.default_rng(0).integers(0, 256, (50, 40, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    return path


# What it does


def test_samples_are_those_of_the_seed_and_vary_around_the_chosen_one(model: Path) -> None:
    studio = Studio.of(str(model))
    z, shown = studio.draw(3)
    again, _ = studio.draw(3)
    assert torch.equal(z, again)
    assert len(shown) == len(z)
    same, _ = studio.vary(z[5], 0.0, 9)
    assert torch.allclose(same, z[5].expand_as(same))
    near, pictures = studio.vary(z[5], 0.3, 9)
    assert torch.equal(near[0], z[5])
    assert len(pictures) == len(near)
    assert pictures[0].tobytes() == shown[5].tobytes()
    distance = (near[1:] - z[5]).norm(dim=1)
    assert ((distance > 0) & (distance < (studio.vary(z[5], 1.0, 9)[0][1:] - z[5]).norm(dim=1))).all()


def test_a_picture_is_looked_at_as_the_other_commands_do(model: Path, picture: Path) -> None:
    look = Studio.of(str(model)).look(str(picture))
    ali = ALI.from_pretrained(model)
    x = torch.from_numpy(read_image(picture, (1, 28, 28)))[None] / 255
    assert torch.allclose(look.code, ali.encode(x).mean[0], atol=1e-5)
    assert look.score == pytest.approx(ali.score(x).item(), rel=1e-4)


def test_the_condition_changes_what_is_drawn(conditional: Path, picture: Path) -> None:
    studio = Studio.of(str(conditional))
    assert studio.elements == ["shirt", 'hat, "red"', "7"]
    drawn = {name: studio.draw(0, [name])[1][0].tobytes() for name in studio.elements}
    assert len(set(drawn.values())) == 3
    both = studio.draw(0, studio.elements[:2])[1][0].tobytes()
    assert both not in drawn.values()
    assert studio.look(str(picture), ['hat, "red"']).code.shape == (studio.model.config.latent_size,)
    assert studio.walk(str(picture), str(picture), []).width > 28


def test_what_is_no_model_of_pictures_or_no_picture(tmp_path: Path, model: Path) -> None:
    ALI.from_architecture("mixture").save_pretrained(tmp_path / "points")
    with pytest.raises(PartMismatch, match="no pictures"):
        Studio.of(str(tmp_path / "points"))
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    with pytest.raises(DataError, match="cannot be read as a picture"):
        Studio.of(str(model)).look(str(tmp_path / "broken.png"))
    whole = Studio.of(str(model))
    with pytest.raises(OptionError, match="no decoder"):
        Studio(ALI.from_pretrained(model, parts=["encoder"]), str(model), "half", whole.scoring)


# In a browser


def asked_elsewhere(opened: Opened) -> list[str]:
    return [url for url in opened.requests if urlsplit(url).scheme in ("http", "https", "ws", "wss")
            and urlsplit(url).hostname != "127.0.0.1"]  # fmt: skip


def shown(opened: Opened, place: str) -> Image.Image:
    """The picture that the page shows at a place."""
    opened.page.wait_for_selector(f"{place} img")
    address = opened.page.get_attribute(f"{place} img", "src")
    return Image.open(io.BytesIO(opened.page.request.get(address).body())).convert("RGB")


def test_a_picture_is_uploaded_and_its_reconstruction_comes_back(
    model: Path, picture: Path, browser: Browser, tmp_path: Path
) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    studio = Studio.of(str(model))
    CONNECTED.clear()
    with serving(studio, free_port(0)) as served:
        assert served.link is None
        opened = browser.open()
        opened.page.set_default_timeout(120_000)  # Gradio's page is large
        page = opened.go(served.url)
        page.wait_for_selector("#samples img")
        page.get_by_role("tab", name="A picture").click()
        page.set_input_files("#picture input[type=file]", picture)
        look = studio.look(str(picture))
        assert shown(opened, "#reconstruction").tobytes() == look.again.convert("RGB").tobytes()
        assert shown(opened, "#seen").tobytes() == look.shown.convert("RGB").tobytes()
        assert page.input_value("#score textarea, #score input") == f"{look.score:.4g}"
        assert page.input_value("#code textarea").split()[0] == f"{look.code[0]:.3f}"
        page.get_by_role("tab", name="Between two").click()
        page.click("#walk")
        page.get_by_text("give two").wait_for()
        for end in ("first", "second"):
            page.set_input_files(f"#{end} input[type=file]", picture)
            page.wait_for_selector(f"#{end} img")
        page.click("#walk")
        assert shown(opened, "#path").tobytes() == studio.walk(str(picture), str(picture)).convert("RGB").tobytes()
        page.get_by_role("tab", name="Samples").click()
        sources = "[...document.querySelectorAll('#samples img')].map(image => image.src)"
        before = page.evaluate(f"() => {sources}")
        page.locator("#samples img").nth(2).click()
        page.wait_for_function("() => document.querySelector('#chosen input').value === '3'")
        page.click("#vary")  # the chosen one comes first, the others are new
        page.wait_for_function(
            f"before => {{ const now = {sources}; return now[0] === before[2] && now[1] !== before[1]; }}", arg=before
        )
    assert asked_elsewhere(opened) == []
    assert [line for line in opened.said if line.startswith("error")] == []
    assert set(CONNECTED) <= {"127.0.0.1", "localhost"}
    with socket.socket() as closed, pytest.raises(OSError, match="refused"):
        closed.connect(("127.0.0.1", urlsplit(served.url).port))


# The command


def test_a_port_in_use_is_one_line(model: Path, ali: Ali) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = ali("demo", model, "--port", port)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err == f"error: port {port} is in use; name another with --port, or 0 for any that is free\n"


def test_a_missing_extra_is_one_line(model: Path, ali: Ali, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    ended = ali("demo", model, "--port", 0)
    assert ended.code == 1
    assert ended.err == "error: ali demo needs gradio: pip install 'ali-plugin[demo]'\n"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_is_served_until_it_is_ended(model: Path, number: signal.Signals) -> None:
    command = [*program(), "demo", str(model), "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            address = json.loads("".join(iter(process.stdout.readline, "}\n")) + "}")
            process.send_signal(number)
            _, text = process.communicate(timeout=60)
        finally:
            process.kill()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", address["url"])
    assert address["link"] is None
    assert process.returncode == (0 if number == signal.SIGINT else 143)
    assert "Traceback" not in text


# The Space


def space_files(client: Client) -> dict[str, bytes]:
    """What the Space holds, by name."""
    folder = client(snapshot, SPACE, repo_type="space")
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name != ".gitattributes"]  # the Hub's own
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_a_space_is_published_in_one_commit(hub: LocalHub, model: Path, tmp_path: Path) -> None:
    writer = hub.client(tmp_path / "home", hub.writer.token)
    planned = json.loads(writer(ali_command, "push", model, "--space", SPACE, "--dry-run", "--json").out)
    before = len(hub.log())
    ended = writer(ali_command, "push", model, "--space", SPACE, "--json")
    assert ended.code == 0, ended.err
    pushed = json.loads(ended.out)
    assert pushed["url"] == f"{hub.endpoint}/spaces/{SPACE}"
    assert pushed["files"] == planned["files"]
    commits = [line for line in hub.log()[before:] if "/commit/" in line["path"]]
    assert [line["path"] for line in commits] == [f"/api/spaces/{SPACE}/commit/main"]
    found = space_files(writer)
    assert {name: len(data) for name, data in found.items()} == pushed["files"]
    assert found["model/model.safetensors"] == (model / "model.safetensors").read_bytes()
    assert found["requirements.txt"].decode() == f"ali-plugin[demo]=={__version__}\n"
    front = card_text.metadata(card_text.split(found["README.md"].decode())[0] or "")
    assert front["sdk"] == "gradio"
    assert front["sdk_version"] == version("gradio")
    assert front["app_file"] in found
    again = json.loads(writer(ali_command, "push", model, "--space", SPACE, "--json").out)
    assert (again["changed"], again["commit"]) == (False, pushed["commit"])


def test_a_model_and_its_space_go_together(hub: LocalHub, model: Path, tmp_path: Path) -> None:
    writer = hub.client(tmp_path / "home", hub.writer.token)
    hub.write(SPACE, {"model/stale.png": RawFile(b"of an older model"), "notes.txt": RawFile(b"mine")}, "spaces")
    ended = writer(ali_command, "push", model, "alice/garments", "--space", SPACE)
    assert ended.code == 0, ended.err
    assert ended.out.split() == [f"{hub.endpoint}/alice/garments", f"{hub.endpoint}/spaces/{SPACE}"]
    found = space_files(writer)
    assert "model/stale.png" not in found
    assert found["notes.txt"] == b"mine"
    front = card_text.metadata(card_text.split(found["README.md"].decode())[0] or "")
    assert front["models"] == ["alice/garments"]
    assert front["title"] == "garments"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Missing argument 'REPO'"),
        (("--space", SPACE, "--report"), "--report is of the model's repository"),
        (("--space", SPACE, "--revision", "next"), "--revision is of the model's repository"),
        (("--space", f"{SPACE}@next"), "names a revision; a Space runs what is on its main branch"),
        (("--space", "no space"), "'no space'"),
    ],
)
def test_what_makes_no_space(arguments: tuple[str, ...], said: str, model: Path, ali: Ali) -> None:
    ended = ali("push", model, *arguments)
    assert ended.code in (1, 2)
    assert ended.err.startswith("error: ")
    assert said in ended.err
    assert ended.err.count("\n") == 1


@pytest.mark.slow
def test_the_app_of_a_space_runs(model: Path, tmp_path: Path) -> None:
    """As a Space starts it: ``python app.py`` beside its files, with the port in the environment."""
    for name, file in files(check(model)).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(file if isinstance(file, bytes) else file.read_bytes())
    port = free_port(0)
    env = {**os.environ, "GRADIO_SERVER_PORT": str(port), "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "app.py"], cwd=tmp_path, env=env, stdout=subprocess.DEVNULL) as process:
        try:
            end = time.monotonic() + 120
            while True:
                with contextlib.suppress(OSError), urlopen(f"http://127.0.0.1:{port}/config", timeout=5) as answer:
                    config = json.load(answer)
                    break
                assert process.poll() is None
                assert time.monotonic() < end
                time.sleep(0.5)
        finally:
            process.kill()
    assert config["title"] == "ali-fashion: adversarially learned inference"
