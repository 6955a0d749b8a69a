"""Help and lists stay light; nobody imports what the house forbids."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import TINY

FORBIDDEN = {
    "ali_registry": {"torch", "ali_plugin", "ali_cli"},
    "ali_plugin": {"ali_cli"},
}


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["list"], ["plugins"], ["train", "--help"], ["list", "dataset", "--json"], ["list", "model"]],
)
def test_light_commands_do_not_import_torch(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom ali_cli.main import main\n"
        f"sys.argv = ['ali', *{arguments!r}]\n"
        "try:\n    main()\nexcept SystemExit as exit:\n    assert not exit.code, exit.code\n"
        "heavy = {'torch', 'torchvision', 'numpy', 'huggingface_hub'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


@pytest.mark.parametrize("more", [(), ("--objective", "relativistic")], ids=["paper", "penalties"])
def test_a_run_does_not_import_the_compiler(more: tuple[str, ...], tmp_path: Path) -> None:
    """It takes nearly as long to import as torch, and torch's optimisers and autograd do it at their first call."""
    code = (
        "import sys\nfrom ali_cli.main import main\n"
        f"sys.argv = ['ali', 'train', *{(*TINY, *more)!r}, '--steps', '2', '--out', {str(tmp_path / 'run')!r}]\n"
        "main()\n"
        "heavy = {'torch._dynamo', 'torch._inductor', 'sympy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


def imports_of(package: str) -> Iterator[tuple[Path, str]]:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    for path in Path(spec.origin).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            yield from ((path, name.split(".")[0]) for name in names)


@pytest.mark.parametrize("package", sorted(FORBIDDEN))
def test_packages_import_only_what_the_house_allows(package: str) -> None:
    wrong = [(str(path), name) for path, name in imports_of(package) if name in FORBIDDEN[package]]
    assert not wrong


def test_nothing_unpickles() -> None:
    for package in ("ali_registry", "ali_plugin", "ali_cli"):
        assert not [path for path, name in imports_of(package) if name in {"pickle", "dill", "cloudpickle", "joblib"}]
