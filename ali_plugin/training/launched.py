"""What a launcher such as torchrun tells a process through its environment, checked before anything waits for it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ali_plugin.errors import OptionError
from ali_registry.text import printable

MAX_PROCESSES = 1 << 16
ADVICE = "start the run by --devices N or torchrun, or unset"
RUN_ID, NO_ID = "TORCHELASTIC_RUN_ID", "none"  # torchrun's --rdzv-id, and what that is where nobody gives it
ERRORS = (
    "TORCHELASTIC_ERROR_FILE"  # below a folder that each torchrun makes anew: FOLDER/attempt_N/LOCAL_RANK/error.json
)
LONGEST_NAME = 500


@dataclass(frozen=True)
class Launched:
    """One process of a run.

    Attributes:
        rank: its number of ``world_size``; local_rank: its number on this machine.
        launch: the launcher's name of the run, which stays when it starts the processes again; "" for none.
    """

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    launch: str = ""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Launched:
        """A run of one process where nothing has launched this one.

        Raises:
            OptionError: the variables are incomplete or cannot be, as those that another program has left.
        """
        given = {name: value for name, value in environment.items() if value.strip()}
        world_size = _number(given, "WORLD_SIZE", 1, 1, MAX_PROCESSES)
        rank = _number(given, "RANK", 0, 0, world_size - 1)
        local_rank = _number(given, "LOCAL_RANK", 0, 0, world_size - 1)
        if world_size > 1:
            if missing := [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if name not in given]:
                raise OptionError(f"WORLD_SIZE is {world_size}, without {' and '.join(missing)}; {ADVICE} WORLD_SIZE")
            _number(given, "MASTER_PORT", 0, 1, (1 << 16) - 1)
        # Nobody has launched it without a WORLD_SIZE, whatever else is left in the environment.
        return cls(rank, world_size, local_rank, _name(given) if "WORLD_SIZE" in given else "")


def _name(given: Mapping[str, str]) -> str:
    name = given.get(RUN_ID, NO_ID).strip()
    if name == NO_ID:
        folders = Path(given.get(ERRORS, "")).parents
        name = str(folders[2]) if len(folders) > 3 else ""
    return printable(name, LONGEST_NAME)


def _number(given: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    value = given.get(name, str(default)).strip()
    number = int(value) if value.isascii() and value.isdigit() and len(value) < 12 else None
    if number is None or not least <= number <= most:
        what = "a number " if number is None else ""
        of = f" of WORLD_SIZE {most + 1}" if name.endswith("RANK") else ""
        bounds = f"from {least} to {most}" if least < most else str(least)
        shown = printable(repr(value), 60)
        raise OptionError(f"{name} is {shown} in the environment, it has to be {what}{bounds}{of}; {ADVICE} {name}")
    return number
