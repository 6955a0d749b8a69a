"""The checks as parametrised pytest tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ali_plugin.errors import MissingExtra
from ali_plugin.testing.architecture import ARCHITECTURE_CHECKS, NoDevice
from ali_plugin.testing.dataset import DATASET_CHECKS, Subject
from ali_registry import default_registry

try:
    import pytest
except ImportError as error:
    raise MissingExtra("ali_plugin.testing makes pytest tests; pip install 'ali-plugin[test]'") from error

Test = Callable[..., None]


def architecture_suite(*names: str) -> Test:
    """A test function with one case for every architecture and check; assign it to a name with ``test_``.

    Args:
        names: of registered architectures.
    """

    @_cases(names, ARCHITECTURE_CHECKS)
    def test_architecture(name: str, check: Callable[..., None]) -> None:
        try:
            check(name, default_registry())
        except NoDevice as missing:
            pytest.skip(str(missing))

    return test_architecture


def dataset_suite(*names: str, data_dir: str | Path | None = None) -> Test:
    """A test function with one case for every dataset and check; assign it to a name with ``test_``.

    Args:
        names: of registered datasets.
        data_dir: what a person would give as ``--data-dir``.
    """

    @_cases(names, DATASET_CHECKS)
    def test_dataset(name: str, check: Callable[..., None]) -> None:
        check(Subject(name, None if data_dir is None else Path(data_dir), default_registry()))

    return test_dataset


def _cases(names: tuple[str, ...], checks: dict[str, Any]) -> Callable[[Test], Test]:
    cases = [pytest.param(name, check, id=f"{name}-{what}") for name in names for what, check in checks.items()]
    return pytest.mark.parametrize(("name", "check"), cases)
