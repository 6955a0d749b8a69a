"""Start or continue a run from options, and say beforehand what it would do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from ali_plugin.errors import FolderError
from ali_plugin.support.devices import resolve_device
from ali_plugin.training import checkpoint, distributed, fingerprint
from ali_plugin.training.assemble import build_model, load_data
from ali_plugin.training.batches import count_batches, share
from ali_plugin.training.best import BestModel
from ali_plugin.training.callbacks import Callback, build_callback
from ali_plugin.training.collapse import CollapseWarning
from ali_plugin.training.config import TRAIN_CONFIG_NAME, TrainConfig, configure, continued
from ali_plugin.training.fingerprint import Fingerprint
from ali_plugin.training.held_out import HeldOutError
from ali_plugin.training.pictures import PictureSaver
from ali_plugin.training.record import RecordKeeper
from ali_plugin.training.run_folder import refuse_unfit
from ali_plugin.training.trainer import Trainer
from ali_registry import Callback as CallbackRecord
from ali_registry import Registry, default_registry

VARIANCE_OVER = 500  # held-out samples


def prepare(
    options: dict[str, Any],
    out: Path,
    *,
    resume: bool = False,
    allow_changed_data: bool = False,
    callbacks: Sequence[Callback | str] = (),
    registry: Registry | None = None,
) -> Trainer:
    """A trainer for these options, ready to ``run()``.

    Args:
        options: fields of ``TrainConfig``; what is absent or None comes from the architecture's recipe, or
            from the run that is continued.
        allow_changed_data: continue although the data are others than the run has seen.

    Raises:
        ALIError: see ``TrainConfig``, ``Trainer``.
    """
    registry = registry or default_registry()
    config = _config(options, out, resume, registry)
    watching = [build_callback(given, registry) if isinstance(given, str) else given for given in callbacks]
    trainer = Trainer(
        config, out, resume=resume, allow_changed_data=allow_changed_data, callbacks=watching, registry=registry
    )
    held_out = trainer.held_out
    shown, _ = held_out.rows(slice(VARIANCE_OVER))
    trainer.callbacks.insert(0, CollapseWarning(shown.var(0).mean().item()))
    trainer.callbacks.insert(0, BestModel(held_out))
    trainer.callbacks.insert(0, PictureSaver(held_out))
    if trainer.config.labels is not None:
        trainer.callbacks.insert(0, HeldOutError(held_out))
    trainer.callbacks.append(RecordKeeper())  # last: the card shows what the others have written
    return trainer


def plan(
    options: dict[str, Any],
    out: Path,
    resume: bool,
    callbacks: Sequence[str] = (),
    processes: int = 1,
    allow_changed_data: bool = False,
    registry: Registry | None = None,
) -> dict[str, Any]:
    """What ``prepare(...).run()`` would do, with every check that takes neither memory nor a file."""
    registry = registry or default_registry()
    config = _config(options, out, resume, registry)
    refuse_unfit(out, resume=resume)
    device = resolve_device(config.device)
    for name in callbacks:
        registry.get(CallbackRecord, name)
    split = load_data(config, "train", registry)
    with torch.device("meta"):
        model = build_model(config, split, registry)
    steps_per_epoch = count_batches(len(split), config.batch_size)
    share(config.batch_size, processes)
    distributed.refuse_shared_gpu(device, processes)
    notes = split.notes
    if resume and (saved := checkpoint.found(out)):
        data = Fingerprint.of({"train": split, "validation": load_data(config, "validation", registry)})
        uses_classes = model.config.condition_size > 0 or config.labels is not None
        notes += fingerprint.continuing(saved[-1], data, uses_classes=uses_classes, allowed=allow_changed_data)
    return {
        "config": asdict(config),
        "out": str(out),
        "device": str(device),
        "samples": len(split),
        "steps": config.total_steps(steps_per_epoch),
        "parameters": {
            kind: sum(parameter.numel() for parameter in model.part(kind).parameters()) for kind in model.config.parts
        },
        "notes": list(notes),
    }


def _config(options: dict[str, Any], out: Path, resume: bool, registry: Registry) -> TrainConfig:
    if not resume:
        return configure(options, registry)
    if not (out / TRAIN_CONFIG_NAME).is_file():
        raise FolderError(f"{str(out)!r} is no run that could be continued; start it without --resume")
    return continued(TrainConfig.from_file(out / TRAIN_CONFIG_NAME), options, registry)
