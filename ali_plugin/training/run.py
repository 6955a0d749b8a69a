"""Start or continue a run from options, and say beforehand what it would do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ali_plugin.datasets.streams.split import StreamSplit
from ali_plugin.errors import FolderError
from ali_plugin.support.devices import computes_bf16, resolve_device
from ali_plugin.training import checkpoint, distributed
from ali_plugin.training.assemble import Assembled, assemble
from ali_plugin.training.batches import share
from ali_plugin.training.callbacks.best import BestModel
from ali_plugin.training.callbacks.callback import Callback, build_callback
from ali_plugin.training.callbacks.collapse import CollapseWarning
from ali_plugin.training.callbacks.held_out import HeldOutError
from ali_plugin.training.callbacks.pictures import PictureSaver
from ali_plugin.training.callbacks.record import RecordKeeper
from ali_plugin.training.config import TRAIN_CONFIG_NAME, TrainConfig, configure, continued
from ali_plugin.training.run_folder import refuse_unfit
from ali_plugin.training.stream_batches import refuse_few_shards
from ali_plugin.training.trainer import Trainer
from ali_registry import Callback as CallbackRecord
from ali_registry import Registry, blaming, default_registry


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
    given = [build_callback(one, registry) if isinstance(one, str) else one for one in callbacks]
    if distributed.restarted():  # by the launcher, after a process of the run has died
        resume = bool(checkpoint.found(out))
    elif distributed.rank() == 0:
        refuse_unfit(out, resume=resume)
    assembled = assemble(config, registry)
    watching = watchers(assembled, given)
    return Trainer(assembled, out, watching, resume=resume, allow_changed_data=allow_changed_data)


def watchers(run: Assembled, given: Iterable[Callback]) -> list[Callback]:
    """All callbacks of a run, in the order in which they are called."""
    return [
        *([] if run.config.labels is None else [HeldOutError(run.held_out)]),
        PictureSaver(run.held_out),
        BestModel(run.held_out),
        CollapseWarning(run.held_out),
        *given,
        RecordKeeper(),  # last: the card shows what the others have written
    ]


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
    for name in callbacks:
        registry.get(CallbackRecord, name)
    run = assemble(config, registry, planned=True)
    with blaming(run.objective):
        run.step.game.check(share(config.batch_size, processes))
    distributed.refuse_shared_gpu(run.device, processes)
    if isinstance(run.train, StreamSplit):
        refuse_few_shards(run.train, processes)
    notes = run.train.notes
    if resume and (saved := checkpoint.found(out)):
        notes += run.continuing(saved[-1], allowed=allow_changed_data)
    kinds = run.model.config.parts
    return {
        "config": asdict(config),
        "out": str(out),
        "device": str(run.device),
        "samples": len(run.train),
        "steps": run.total_steps,
        "parameters": {kind: sum(p.numel() for p in run.model.part(kind).parameters()) for kind in kinds},
        "notes": list(notes),
    }


def _config(options: dict[str, Any], out: Path, resume: bool, registry: Registry) -> TrainConfig:
    if not resume:
        return _decided(configure(options, registry))
    if not (out / TRAIN_CONFIG_NAME).is_file():
        raise FolderError(f"{str(out)!r} is no run that could be continued; start it without --resume")
    return continued(TrainConfig.from_file(out / TRAIN_CONFIG_NAME), options, registry)


def _decided(config: TrainConfig) -> TrainConfig:
    """With the precision that this device is best at, where it is left to us; the run keeps it wherever it goes on."""
    if config.precision != "auto":
        return config
    bf16 = computes_bf16(distributed.local_device(resolve_device(config.device)))
    return replace(config, precision="bf16" if bf16 else "float32")
