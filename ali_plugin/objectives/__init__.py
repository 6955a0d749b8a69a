"""The built-in objectives. An objective's ``build(model)`` returns a ``Game``."""

from __future__ import annotations

from collections.abc import Callable

from ali_registry import Objective, hookimpl


@hookimpl
def register_objectives(register: Callable[[Objective], None]) -> None:
    register(
        Objective(
            name="ali",
            summary="adversarially learned inference, Algorithm 1, simultaneous updates",
            build="ali_plugin.objectives.ali:ALIGame",
        )
    )
