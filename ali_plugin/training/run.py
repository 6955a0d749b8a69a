"""Start or continue a run from options, and say beforehand what it would do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from ali_plugin.datasets.streams.split import StreamSplit
from ali_plugin.errors import FolderError
from ali_plugin.support.shared import sharing
from ali_plugin.training import checkpoint, distributed, duration, run_folder
from ali_plugin.training.assemble import Assembled
from ali_plugin.training.batches import share
from ali_plugin.training.callbacks.best import BestModel
from ali_plugin.training.callbacks.callback import Callback, build_callback
from ali_plugin.training.callbacks.collapse import CollapseWarning
from ali_plugin.training.callbacks.held_out import HeldOutError
from ali_plugin.training.callbacks.pictures import PictureSaver
from ali_plugin.training.callbacks.record import RecordKeeper
from ali_plugin.training.config import TRAIN_CONFIG_NAME, TrainConfig
from ali_plugin.training.continued import continued
from ali_plugin.training.decide import Decided, decide
from ali_plugin.training.run_folder import refuse_unfit
from ali_plugin.training.stream_batches import refuse_few_shards
from ali_plugin.training.trainer import Trainer
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
        options: fields of ``TrainConfig``; what is absent or None is decided as ``decide`` says, or comes from the
            run that is continued.
        allow_changed_data: continue although the data are others than the run has seen.

    Raises:
        ALIError: see ``TrainConfig``, ``Trainer``.
    """
    registry = registry or default_registry()
    with sharing():  # a folder's listing, by the look at its pictures and by both splits
        decided = _decided(options, out, resume, registry)
        given = [build_callback(one, registry) if isinstance(one, str) else one for one in callbacks]
        resume = _goes_on(out, resume)
        assembled = decided.assembled(registry, distributed.world_size())
    watching = watchers(assembled, given)
    return Trainer(assembled, out, watching, resume=resume, allow_changed_data=allow_changed_data)


def _goes_on(out: Path, resume: bool) -> bool:
    """Whether the run goes on from a checkpoint: as asked, or as this very launch has begun it; one process decides."""
    distributed.refuse_other_step(checkpoint.last_step(out), str(out))
    decided = resume
    if distributed.rank() == 0:
        if run_folder.is_of(out, distributed.launch_name()):
            decided = bool(checkpoint.found(out))
        else:
            refuse_unfit(out, resume=resume)
    return bool(distributed.gather(torch.tensor(int(decided)))[0])


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
    measured: bool = False,
    registry: Registry | None = None,
) -> dict[str, Any]:
    """What ``prepare(...).run()`` would do, with every check that takes neither memory nor a file.

    Args:
        measured: make some steps, which takes both memory and some seconds, and say how long the run will take.
    """
    registry = registry or default_registry()
    decided = _decided(options, out, resume, registry)
    refuse_unfit(out, resume=resume)
    for name in callbacks:
        build_callback(name, registry)
    run = decided.assembled(registry, processes, planned=True)
    with blaming(run.objective):
        run.step.game.check(share(run.config.batch_size, processes, run.config.labels))
    distributed.refuse_shared_gpu(run.device, processes)
    if isinstance(run.train, StreamSplit):
        refuse_few_shards(run.train, processes)
    notes, left = run.notes, run.total_steps
    if resume and (saved := checkpoint.found(out)):
        notes += run.continuing(saved[-1], allowed=allow_changed_data)
        left = max(left - checkpoint.read_position(saved[-1]).step, 0)
    kinds = run.model.config.parts
    step = duration.seconds_per_step(run, processes) if measured and left else None
    return {
        "config": asdict(run.config),
        "out": str(out),
        "device": str(run.device),
        "samples": len(run.train),
        "steps": run.total_steps,
        "seconds_per_step": step,
        "seconds": None if step is None else step * left,
        "parameters": {kind: sum(p.numel() for p in run.model.part(kind).parameters()) for kind in kinds},
        "notes": list(notes),
    }


def _decided(options: dict[str, Any], out: Path, resume: bool, registry: Registry) -> Decided:
    if not resume:
        return decide(options, out, registry)
    if not (out / TRAIN_CONFIG_NAME).is_file():
        raise FolderError(f"{str(out)!r} is no run that could be continued; start it without --resume")
    return Decided(continued(TrainConfig.from_file(out / TRAIN_CONFIG_NAME), options, registry))
