"""What ``ali bench`` counts, and the step of a person's own file beside the project's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d

from ali_plugin.bench.limits import Limits
from ali_plugin.bench.work import counted
from conftest import Ali

X, Y = torch.ones(8, 8), torch.ones(8, 8)  # 256 bytes each
MAPS, KERNEL = torch.ones(2, 3, 6, 6), torch.ones(4, 3, 3, 3)


@pytest.mark.parametrize(
    ("step", "flop", "moved"),
    [
        (lambda: X @ Y, 2 * 8**3, 3 * 256),
        (lambda: X + 1, 0, 2 * 256),
        (lambda: X.t().reshape(64)[3:].view(61), 0, 2 * 256),  # of them the one that copies
        (lambda: X.detach().unsqueeze(0).expand(9, 8, 8), 0, 0),
        (lambda: torch.ones(8)[:, None].expand(8, 8) + X, 0, 32 + 32 + 2 * 256),  # made, read once, X, the sum
        (lambda: X.clone().add_(Y), 0, 2 * 256 + 3 * 256),
        (lambda: torch._foreach_add_([X, Y], [Y, X]), 0, 6 * 256),
        (lambda: torch.empty(1000), 0, 0),
        (lambda: X.bfloat16(), 0, 256 + 128),
        (lambda: conv2d(MAPS, KERNEL), 2 * 2 * 4 * 3 * 9 * 16, 4 * (MAPS.numel() + KERNEL.numel() + 2 * 4 * 16)),
    ],
)
def test_work_of_operations(step: Callable[[], Any], flop: int, moved: int) -> None:
    found = counted(step)
    assert (found.flop, found.moved) == (flop, moved)


def test_work_of_a_backward_pass() -> None:
    layer = nn.Linear(8, 4, bias=False)
    found = counted(lambda: layer(X).sum().backward())
    assert found.flop == 2 * 2 * 8 * 8 * 4  # forward, and the weights' gradient; X has none
    assert found.intensity == found.flop / found.moved


def test_the_roof_is_the_lower_ceiling() -> None:
    limits = Limits(matmul=100.0, convolution=150.0, bandwidth=10.0)
    assert limits.compute == 150
    assert limits.roof(intensity=3.0) == 30
    assert limits.roof(intensity=20.0) == 150
    assert limits.best(Limits(200.0, 1.0, 1.0)) == Limits(200.0, 150.0, 10.0)


OTHER = """
from __future__ import annotations
from dataclasses import dataclass
import torch
from torch import nn

print("loaded")
torch.set_default_dtype(torch.float64)
torch.set_grad_enabled(False)


@dataclass
class Sizes:
    data_shape: tuple[int, ...]
    batch_size: int


def build(data_shape, batch_size, device):
    sizes, net = Sizes(data_shape, batch_size), nn.Linear(2, 3).to(device)
    assert net.weight.dtype == torch.float64

    def step(x):
        assert x.shape == (sizes.batch_size, *sizes.data_shape)
        assert (x.dtype, torch.get_default_dtype()) == (torch.float32, torch.float64)
        assert not torch.is_grad_enabled()
        assert 0 <= x.min() and x.max() <= 1
        print("a step")
        net(x.double())

    return step


if __name__ == "__main__":
    raise SystemExit("run as a program")
"""


def test_another_step_beside_ours(tmp_path: Path, ali: Ali) -> None:
    """The file sets torch for itself, and prints: neither reaches the other steps or the result."""
    (tmp_path / "other.py").write_text(OTHER)
    options = ("--arch", "mixture", "--batch-size", 6, "--repeats", 2)
    result = ali("bench", *options, "--against", tmp_path / "other.py", "--json")
    assert result.code == 0, result.err
    found = json.loads(result.out)["against"]
    assert found["file"] == "other.py"
    low, high = found["spread"]
    assert 0 < low <= found["images_per_second"] <= high
    assert found["ratio"] < 1  # a layer forwards against six nets, forwards and backwards
    assert found["gflop_per_step"] == pytest.approx(2 * 6 * 2 * 3 / 1e9)
    assert found["gbyte_per_step"] > 0
    assert (torch.get_default_dtype(), torch.is_grad_enabled()) == (torch.float32, True)
    assert list(tmp_path.iterdir()) == [tmp_path / "other.py"]  # nothing compiled beside it


BAD = {
    "": "has no function 'build'",
    "build = 3": "has no function 'build'",
    "def build(": "SyntaxError",
    "\0": "cannot be run",
    "import no_such_package": "No module named 'no_such_package'",
    "import beside": "No module named 'beside'",
    "raise SystemExit": "SystemExit",
    "def build(x): ...": "build(data_shape, batch_size, device) failed: TypeError",
    "def build(**_): raise ValueError('a\\nb')": "failed: ValueError: a b",
    "def build(**_): ...": "returned a NoneType",
    "def build(**_): return lambda: 0": "a step failed: TypeError",
    "def build(**_):\n  def step(x): raise KeyboardInterrupt\n  return step": "a step failed: KeyboardInterrupt",
}


@pytest.mark.parametrize("text", BAD)
def test_files_with_no_step(text: str, tmp_path: Path, ali: Ali) -> None:
    path = tmp_path / "other.py"
    path.write_text(text)
    (tmp_path / "beside.py").write_text("print('run, though nobody asked for it')")
    result = ali("bench", "--arch", "mixture", "--batch-size", 4, "--repeats", 1, "--against", path)
    assert (result.code, result.out) == (1, "")
    assert result.err.count("\n") == 1, result.err
    assert BAD[text] in result.err
    assert "other.py" in result.err


@pytest.mark.parametrize("name", ["missing.py", ".", "large.py", ""])
def test_what_is_no_file_with_a_step(name: str, tmp_path: Path, ali: Ali) -> None:
    (tmp_path / "large.py").write_text("#" * (1 << 21))
    result = ali("bench", "--arch", "mixture", "--against", tmp_path / name if name else "")
    assert (result.code, result.out, result.err.count("\n")) == (1, "", 1), result.err
    assert "--against" in result.err
