"""What the Hub tests have other processes do: functions for ``hub.client.Client``."""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from ali_cli.main import main
from ali_plugin import ALI, ALIError
from ali_plugin.datasets import load as load_data
from ali_plugin.datasets.split import Split
from ali_plugin.datasets.streams.split import StreamSplit
from ali_plugin.hub import guard
from ali_plugin.training.stream_batches import StreamBatches
from shards import numbers


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


def ali(*arguments: object) -> Ended:
    """``ali ARGUMENTS``."""
    sys.argv = ["ali", *map(str, arguments)]
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as exit:
            code = int(exit.code or 0)
    return Ended(code, out.getvalue(), err.getvalue())


def ali_in(folder: Path, *commands: list[str]) -> list[Ended]:
    """Commands one after the other, in a folder."""
    with contextlib.chdir(folder):
        return [ali(*arguments) for arguments in commands]


def python_in(folder: Path, code: str) -> list[str]:
    """Run Python in a folder; the names that it leaves."""
    names: dict[str, Any] = {}
    with contextlib.chdir(folder):
        exec(code, names)
    return sorted(names)


def load(source: str | Path, **options: Any) -> dict[str, str]:
    """The SHA-256 of each tensor of a loaded model."""
    state = ALI.from_pretrained(source, **options).state_dict()
    return {name: hashlib.sha256(tensor.numpy().tobytes()).hexdigest() for name, tensor in state.items()}


def in_haste(seconds: float, *arguments: object) -> Ended:
    """``ali ARGUMENTS``, with no more patience with the Hub than that."""
    before = guard.PATIENCE, guard.WORKING
    guard.PATIENCE = guard.WORKING = seconds
    try:
        return ali(*arguments)
    finally:
        guard.PATIENCE, guard.WORKING = before


def refusal(source: str | Path, **options: Any) -> str:
    """The text of the ALIError that loading raises."""
    try:
        ALI.from_pretrained(source, **options)
    except ALIError as error:
        return str(error)
    raise AssertionError(f"{source} was loaded")


def publish(folder: Path, repo: str, **options: Any) -> str:
    """What ``push_to_hub`` returns for the model of a folder."""
    return ALI.from_pretrained(folder).push_to_hub(repo, **options)


def run_snippet(card: str) -> list[int]:
    """Run the Python of a card; the shape of what it samples."""
    code = re.search(r"```python\n(.*?)```", card, re.DOTALL)
    assert code is not None
    names: dict[str, Any] = {}
    exec(code[1], names)
    assert names["logit"].shape == (4,)
    return list(names["new"].shape)


if __name__ == "__main__":
    print(load(sys.argv[1]))


class Seen(NamedTuple):
    """What is known of a split; ``drawn``: of a stream, the samples of an epoch; ``error``: why there is none."""

    kind: str = ""
    classes: tuple[str, ...] = ()
    numbers: list[int] = []  # noqa: RUF012 - a NamedTuple's
    labels: list[int] = []  # noqa: RUF012
    drawn: list[int] = []  # noqa: RUF012
    error: str = ""


def stream_of(name: str, split: Split = "train") -> Seen:
    """A split of pictures that say which sample they are, see ``shards``."""
    try:
        found = load_data(name, split, data_dir=None, data_shape=(1, 28, 28))
        at_hand = found.sample() if isinstance(found, StreamSplit) else found
    except ALIError as error:
        return Seen(error=str(error))
    labels = [] if at_hand.labels is None else at_hand.labels.tolist()
    drawn = list[int]()
    if isinstance(found, StreamSplit):
        batches = StreamBatches(found, 5, 0, torch.device("cpu"))
        drawn = [number for _ in range(batches.steps_per_epoch) for number in numbers(batches.next().x)]
    data = torch.from_numpy(np.array(at_hand.data)) / 255
    return Seen(type(found).__name__, at_hand.classes, numbers(data), labels, drawn)
