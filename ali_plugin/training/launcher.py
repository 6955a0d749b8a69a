"""``ali train --devices N``: the processes of a run on this machine, started as torchrun starts them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from ali_plugin.errors import ProcessesFailed
from ali_plugin.support.processes import python_module
from ali_registry.text import printable

MAX_RESTARTS = 3


def launch(processes: int, arguments: Sequence[str]) -> None:
    """Run ``ali ARGUMENTS`` in several processes of this machine, as torchrun does.

    When one of them dies, all are started again and continue from the last checkpoint; not after an error that
    would come again.

    Raises:
        ProcessesFailed: they ended with an error, which they have printed.
    """
    from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    program, *words = python_module("ali_cli", *arguments)
    run_id = uuid.uuid4().hex
    for left in reversed(range(MAX_RESTARTS + 1)):
        with TemporaryDirectory(prefix="ali-launch-") as folder:
            config = LaunchConfig(
                min_nodes=1,
                max_nodes=1,
                nproc_per_node=processes,
                run_id=run_id,
                rdzv_backend="c10d",
                rdzv_endpoint="localhost:0",
                max_restarts=0,  # it would start them again after any error
                monitor_interval=0.5,
                logs_specs=DefaultLogsSpecs(log_dir=folder),
            )
            try:
                elastic_launch(config, program)(*words)
                return
            except ChildFailedError as error:
                told = _told(Path(folder))
                if told or not left:
                    rank, first = error.get_first_failure()
                    why = told or f"process {rank} ended with exit code {first.exitcode}"
                    raise ProcessesFailed(f"the run's processes failed: {printable(why, 1900)}") from error
            except SignalException as error:
                raise ProcessesFailed("stopped; the same command with --resume continues the run") from error


def _told(folder: Path) -> str:
    """What a process said that ended with an error which would come again; "" where none did.

    It need not be among those that had ended when PyTorch looked: the others may have, for they lost it.
    """
    for path in sorted(folder.rglob("error.json")):
        with suppress(OSError, ValueError, LookupError, TypeError):  # PyTorch writes texts of its own there
            return str(json.loads(path.read_text())["message"]["message"])
    return ""
