"""Training: config, batches, the step, the loop, checkpoints, callbacks."""

from __future__ import annotations

from collections.abc import Callable

from ali_registry import Callback, hookimpl


@hookimpl
def register_callbacks(register: Callable[[Callback], None]) -> None:
    for name, kind, summary in (
        ("tensorboard", "TensorBoard", "writes figures, pictures and the config to RUN/tensorboard"),
        ("trackio", "Trackio", "writes them to Trackio's folder on this machine, or to its server"),
        ("wandb", "Wandb", "sends them to Weights & Biases; with WANDB_MODE=offline they stay in RUN/wandb"),
    ):
        register(Callback(name=name, summary=summary, build=f"ali_plugin.training.callbacks.loggers:{kind}"))
