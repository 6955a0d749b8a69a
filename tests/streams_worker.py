"""A process of ``test_streams_together``: ``distributed_worker``'s tiny model on a stream, watched and killed.

Called by torchrun as ``streams_worker.py OUT SHARDS [DRAW]``. Keeps beside OUT which samples each process drew, and
kills the process where it wants its batch number DRAW.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from functools import partial
from itertools import count
from pathlib import Path

from ali_plugin.objectives.game import Batch
from ali_plugin.training import distributed
from ali_plugin.training.trainer import Trainer
from distributed_worker import train
from shards import numbers


def watch(trainer: Trainer, kept: Path, fatal: int) -> None:
    """Keep the numbers of the samples that a process draws, a line a batch."""
    draw, lines, draws = trainer.batches.next, kept.open("w"), count(1)

    def watched() -> Batch:
        if next(draws) == fatal:
            os.kill(os.getpid(), signal.SIGKILL)
        batch = draw()
        print(json.dumps(numbers(batch.x)), file=lines, flush=True)
        return batch

    trainer.batches.next = watched  # type: ignore[method-assign]


def main(out: Path, shards: str, fatal: int = 0) -> None:
    with distributed.process_group("cpu"):
        kept = out.with_name(f"{out.name}.{distributed.world_size()}.{distributed.rank()}")
        stream = {"dataset": "webdataset", "data_dir": shards, "batch_size": 12, "checkpoint_every": 3, "steps": 10}
        train("plain", out, look=partial(watch, kept=kept, fatal=fatal), **stream)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:]))
