"""Training: config, batches, the step, the loop, checkpoints, callbacks."""

from __future__ import annotations

from collections.abc import Callable

from ali_registry import Callback, hookimpl


@hookimpl
def register_callbacks(register: Callable[[Callback], None]) -> None:
    register(
        Callback(
            name="tensorboard",
            summary="writes every figure to RUN/tensorboard",
            build="ali_plugin.training.callbacks.loggers:TensorBoard",
        )
    )
