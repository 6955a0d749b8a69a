"""Checks for what a plugin registers, as pytest tests in one line each::

    from ali_plugin.testing import architecture_suite, dataset_suite

    test_architecture = architecture_suite("my-net")
    test_dataset = dataset_suite("my-data")

Each makes one test per check, ``test_architecture[my-net-gradients]``. Without pytest, call
``check_architecture(name)`` and ``check_dataset(name)``, or single functions of ``ARCHITECTURE_CHECKS`` and
``DATASET_CHECKS``. A check that fails raises AssertionError with a sentence that says what is wrong.
"""

from ali_plugin.testing.architecture import ARCHITECTURE_CHECKS, check_architecture
from ali_plugin.testing.dataset import DATASET_CHECKS, check_dataset
from ali_plugin.testing.suites import architecture_suite, dataset_suite

__all__ = [
    "ARCHITECTURE_CHECKS", "DATASET_CHECKS", "architecture_suite", "check_architecture", "check_dataset",
    "dataset_suite",
]  # fmt: skip
