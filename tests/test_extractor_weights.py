"""The one pickle that an evaluation may read: the known file, or none."""

from __future__ import annotations

import hashlib
import importlib
import pickle
import urllib.error
from pathlib import Path
from typing import Any, Never

import pytest
import torch

from ali_plugin.errors import DataError
from ali_plugin.evaluation import extractors

NAME = "weights-inception-2015-12-05-6726825d.pth"


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, target: str) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return Path.touch, (Path(self.target),)


@pytest.fixture
def checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def test_a_file_that_is_another_is_not_unpickled(checkpoints: Path, tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    torch.save({"trap": Trap(str(sprung))}, checkpoints / "made.pth")
    for content in (pickle.dumps(Trap(str(sprung))), (checkpoints / "made.pth").read_bytes(), b"", b"x" * 1000):
        (checkpoints / NAME).write_bytes(content)
        with pytest.raises(DataError, match="SHA-256 is another"):
            extractors._inception(torch.device("cpu"))
    assert not sprung.exists()


def test_a_download_that_is_another_is_not_kept(
    checkpoints: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other.pth").write_bytes(pickle.dumps(Trap(str(tmp_path / "sprung"))))
    monkeypatch.setattr(extractors, "INCEPTION_URL", f"file://{tmp_path}/other.pth")
    with pytest.raises(DataError, match="cannot be fetched"):
        extractors._inception(torch.device("cpu"))
    assert not (checkpoints / "other.pth").exists()
    assert not (tmp_path / "sprung").exists()


def test_no_connection_is_said(checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> Never:
        raise urllib.error.URLError("no route\x1b[31m")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    with pytest.raises(DataError, match="cannot be fetched") as caught:
        extractors._inception(torch.device("cpu"))
    assert "\x1b" not in str(caught.value)


def test_the_known_file_is_read_as_plain_tensors(checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = importlib.import_module("torch_fidelity.feature_extractor_inceptionv3")
    net_class = module.FeatureExtractorInceptionV3
    with monkeypatch.context() as patch:
        patch.setattr(net_class, "load_state_dict", lambda self, state: None)
        patch.setattr(torch, "load", lambda *_, **__: {})
        net = net_class("x", ["2048"], "unread")
    torch.save(net.state_dict(), checkpoints / NAME)
    content = (checkpoints / NAME).read_bytes()
    monkeypatch.setattr(extractors, "INCEPTION_SHA256", hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(extractors, "INCEPTION_BYTES", len(content))
    found = extractors._inception(torch.device("cpu")).features(torch.rand(1, 3, 8, 8))
    assert found.shape == (1, 2048)
