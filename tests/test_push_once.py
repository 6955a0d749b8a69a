"""A push finds out once what it needs to know, and imports no more than it needs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ali_plugin import ALI
from ali_plugin.support.weightless import weightless
from hub.actions import commits, download, files
from hub.fixtures import LocalHub
from installed import ali, install

REPO = "alice/model"
PLUGIN = """
    import os, sys
    from math import prod
    import torch
    from torch import nn
    from ali_plugin import Discriminator, TrainingDefaults

    def note(what):
        with open(os.environ["NOTES"], "a") as file:
            file.write(what + "\\n")

    def opened(event, arguments):
        if event == "open" and str(arguments[0]).endswith(".safetensors"):
            note("opened")

    sys.addaudithook(opened)

    class Net(nn.Linear):
        def __init__(self, kind, into, out, shape=None):
            note(kind)
            super().__init__(into, out)
            nn.init.normal_(self.weight, std=0.1)
            self.shape = shape

        def forward(self, *inputs):
            out = super().forward(torch.cat([part.flatten(1) for part in inputs], 1))
            return out if self.shape is None else out.reshape(-1, *self.shape)

    def encoder(data_shape, latent_size):
        return Net("encoder", prod(data_shape), latent_size)

    def decoder(data_shape, latent_size):
        return Net("decoder", latent_size, prod(data_shape), data_shape)

    def discriminator(data_shape, latent_size):
        return Net("discriminator", prod(data_shape) + latent_size, 1)

    @hookimpl
    def register_encoders(register):
        register(Encoder(name="counted", build=encoder))

    @hookimpl
    def register_decoders(register):
        register(Decoder(name="counted", build=decoder))

    @hookimpl
    def register_discriminators(register):
        register(Discriminator(name="counted", build=discriminator))

    @hookimpl
    def register_architectures(register):
        register(Architecture(name="counted", encoder="counted", decoder="counted", discriminator="counted",
                              data_shape=(1, 4, 4), latent_size=3,
                              training=TrainingDefaults(dataset="fashion-mini", batch_size=4, epochs=1, lr=1e-3)))
"""
ONCE = {"encoder": 1, "decoder": 1, "discriminator": 1}
Counted = Callable[..., tuple[str, Counter[str]]]


@pytest.fixture
def counted(hub: LocalHub, tmp_path: Path) -> Counted:
    """Runs ``ali ARGUMENTS`` with the plugin against the Hub; what it prints, and how often it built and opened."""
    site = tmp_path / "site"
    install(site, "ali-counted", PLUGIN)
    env = hub.env(tmp_path / "home", hub.writer.token)
    env.pop("PYTHONPATH", None)

    def run(*arguments: object) -> tuple[str, Counter[str]]:
        notes = tmp_path / "notes"
        notes.write_text("")
        ended = ali(*arguments, site=site, NOTES=str(notes), **env)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout, Counter(notes.read_text().split())

    return run


@pytest.fixture
def model(counted: Counted, tmp_path: Path) -> Path:
    """A model folder of the plugin's architecture."""
    folder = tmp_path / "model"
    notes = tmp_path / "made"
    code = f"from ali_plugin import ALI; ALI.from_architecture('counted').save_pretrained({str(folder)!r})"
    path = os.pathsep.join(filter(None, (str(tmp_path / "site"), os.environ.get("PYTHONPATH"))))
    env = {**os.environ, "PYTHONPATH": path, "NOTES": str(notes)}
    subprocess.run([sys.executable, "-c", code], env=env, check=True)
    return folder


def test_a_push_builds_each_net_once(hub: LocalHub, counted: Counted, model: Path, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in model.iterdir()}
    listed, found = counted("push", model, REPO, "--dry-run", "--json")
    assert found == {**ONCE, "opened": 1}  # the header
    assert hub.log() == []

    pushed, found = counted("push", model, REPO, "--json")
    assert {kind: found[kind] for kind in ONCE} == ONCE
    assert json.loads(pushed)["files"] == json.loads(listed)["files"]
    client = hub.client(tmp_path / "reader", hub.reader.token)
    assert set(client(files, REPO)) == {".gitattributes", "README.md", *before}
    for name, content in before.items():
        assert client(download, REPO, name) == (model / name).read_bytes() == content
    assert client(download, REPO, "README.md") == (model / "README.md").read_bytes()

    again, found = counted("push", model, REPO, "--json")
    assert {kind: found[kind] for kind in ONCE} == ONCE
    assert json.loads(again)["changed"] is False
    assert len(client(commits, REPO)) == 2

    printed, found = counted("card", model)
    assert found == {**ONCE, "opened": 1}
    assert printed == (model / "README.md").read_text()


PUSHES = """
import sys
from ali_cli.main import main
for folder in sys.argv[1:]:
    sys.argv = ['ali', 'push', folder, 'alice/model', '--dry-run', '--json']
    try:
        main()
    except SystemExit as exit:
        assert not exit.code, (folder, exit.code)
    heavy = {'torch._dynamo', 'sympy', 'torchvision', 'diffusers', 'transformers', 'PIL', 'rich', 'triton',
             'ali_plugin.training.trainer', 'ali_plugin.evaluation.evaluate'} & set(sys.modules)
    assert not heavy, (folder, heavy)
"""


def test_a_push_imports_no_compiler_and_no_host(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("fashion", "mixture", "svhn", "celeba-conditional")]
    for folder in folders:
        ALI.from_architecture(folder.name).save_pretrained(folder)
    subprocess.run([sys.executable, "-c", PUSHES, *map(str, folders)], check=True, stdout=subprocess.PIPE)


# --- Nets without weights -----------------------------------------------------------------------------

DRAWS: dict[str, Callable[[Tensor], Any]] = {
    "init": lambda weight: nn.init.normal_(weight, mean=1.0, std=0.1),
    "init by name": lambda weight: nn.init.normal_(tensor=weight, std=0.1),
    "normal": lambda weight: weight.normal_(0, 2),
    "log normal": lambda weight: weight.log_normal_(),
    "exponential": lambda weight: weight.exponential_(2.0),
    "cauchy": lambda weight: weight.cauchy_(),
    "geometric": lambda weight: weight.geometric_(0.5),
    "uniform": lambda weight: weight.uniform_(),
    "kaiming": nn.init.kaiming_normal_,
    "xavier": nn.init.xavier_normal_,
}
REFUSED: dict[str, Callable[[Any], Any]] = {
    "init": lambda weight: nn.init.normal_(weight, std=-1.0),
    "normal": lambda weight: weight.normal_(0, -1),
    "log normal": lambda weight: weight.log_normal_(0, -1),
    "exponential": lambda weight: weight.exponential_(-2.0),
    "geometric": lambda weight: weight.geometric_(1.5),
    "keyword": lambda weight: weight.normal_(sigma=1),
}


@pytest.mark.parametrize("name", DRAWS)
def test_drawing_weights_that_are_nowhere(name: str) -> None:
    before = torch.get_rng_state()
    with weightless():
        weight = nn.Parameter(torch.empty(3, 4))
        with torch.no_grad():
            assert DRAWS[name](weight) is weight
        assert weight.is_meta
        assert weight.shape == (3, 4)
        with torch.no_grad():  # one that has memory, beside those that have none
            held = DRAWS[name](torch.zeros(50, 50, device="cpu"))
    assert held.count_nonzero() > 1000
    torch.set_rng_state(before)
    with torch.no_grad():
        torch.testing.assert_close(held, DRAWS[name](torch.zeros(50, 50)))  # nothing was drawn for the first


@pytest.mark.parametrize("name", REFUSED)
def test_arguments_that_no_drawing_takes_are_refused_there_too(name: str) -> None:
    def said(weight: Tensor) -> tuple[type[Exception], str]:
        with pytest.raises((RuntimeError, TypeError)) as caught, torch.no_grad():
            REFUSED[name](weight)
        return caught.type, str(caught.value)

    with weightless():
        found = said(torch.empty(3, 4))
    assert found == said(torch.empty(3, 4))


def test_the_nets_of_every_architecture_are_the_same_without_memory() -> None:
    def shapes(nets: Mapping[str, nn.Module]) -> dict[str, tuple[torch.Size, torch.dtype]]:
        return {f"{kind}.{name}": (held.shape, held.dtype) for kind, net in nets.items()
                for name, held in net.state_dict().items()}  # fmt: skip

    for name in ("fashion", "mixture", "svhn"):
        with weightless():
            nets = ALI.from_architecture(name).nets
        assert all(held.is_meta for net in nets.values() for held in net.parameters())
        assert shapes(nets) == shapes(ALI.from_architecture(name).nets)
