"""``ali`` with a tiny architecture whose steps take long, for tests that need a process of its own.

``ALI_TEST_STEP`` says how much work a step is: rounds of a digest in one call of C, which no signal interrupts.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable

from torch import Tensor

import tiny
from ali_cli.main import main
from ali_plugin import Objective, hookimpl
from ali_plugin.objectives.ali import ALIGame
from ali_plugin.objectives.game import Batch
from ali_registry import default_registry


class SlowGame(ALIGame):
    """ALI after a long call."""

    def gradients(self, batch: Batch) -> dict[str, Tensor]:
        hashlib.pbkdf2_hmac("sha256", b"step", b"salt", int(os.environ.get("ALI_TEST_STEP", "1")))
        return super().gradients(batch)


class Plugin:
    __name__ = "slow"

    @hookimpl
    def register_objectives(self, register: Callable[[Objective], None]) -> None:
        register(Objective(name="slow", build=SlowGame))


if __name__ == "__main__":
    default_registry().add(tiny)
    default_registry().add(Plugin())
    main()
