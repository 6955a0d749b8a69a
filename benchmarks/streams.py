"""What it costs to train from shards in place of data at hand: ``python benchmarks/streams.py --out FILE.json``.

Tar shards of so many gigabytes are written: PNG pictures of 64 x 64 pixels, a thousand different ones, padded with
zeros behind their end to the size of photographs, which a sparse file does not keep but a reader reads. A process
of its own trains on them, with all that a run does, and skips to the next block of samples after a few steps, so that
many blocks of the default size pass through its memory; the most that it had is read. Then steps of the same recipe are
timed in interleaved rounds, on the stream and on a sample of it at hand. A round is a block of the stream, and so
holds the reading of one; these blocks are small, which only costs more openings of shards. Processor seconds are of
all threads, and are what other programs of a busy machine hardly change.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ali_plugin.bench.bench import facts
from ali_plugin.datasets import load
from ali_plugin.datasets.streams import block
from ali_plugin.datasets.streams.split import StreamSplit
from ali_plugin.support import atomic
from ali_plugin.support.devices import keep_freed_memory
from ali_plugin.training.assemble import Assembled, assemble, working
from ali_plugin.training.batches import Batches
from ali_plugin.training.callbacks.callback import Callback, Run
from ali_plugin.training.configure import configure
from ali_plugin.training.run import prepare
from ali_plugin.training.stream_batches import StreamBatches
from ali_plugin.training.trainer import Trainer
from ali_registry import default_registry

SIDE, PICTURES, PER_SHARD, PADDED, GIGA = 64, 1000, 2000, 100_000, 10**9
ROUND = 512  # samples of a round, and of a block in it
BLOCKS, STEPS = 4, 4  # that pass through memory, and steps in each


def pictures() -> list[bytes]:
    """PNG files as of photographs: patches of colour under some noise."""
    random, made = np.random.default_rng(0), []
    for _ in range(PICTURES):
        patches = Image.fromarray(random.integers(0, 256, (SIDE // 8, SIDE // 8, 3), dtype=np.uint8))
        smooth = np.asarray(patches.resize((SIDE, SIDE), Image.Resampling.BICUBIC), np.int64)
        noisy = (smooth + random.integers(-12, 13, smooth.shape)).clip(0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(content := io.BytesIO(), "PNG")
        made.append(content.getvalue())
    return made


def write_shard(path: Path, contents: list[bytes]) -> None:
    """Samples of a picture and its class."""
    with path.open("wb") as file:
        for number in range(PER_SHARD):
            which = number % len(contents)
            for ending, content, size in (("png", contents[which], PADDED), ("cls", b"%d" % (which % 10), 1)):
                member = tarfile.TarInfo(f"{number:06}.{ending}")
                member.size = size
                file.write(member.tobuf() + content)
                file.seek(-(-(file.tell() - len(content) + size) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE)
        file.truncate(file.tell() + 2 * tarfile.BLOCKSIZE)


def write_shards(folder: Path, size: int) -> None:
    """Fill a folder with shards of so many bytes together."""
    folder.mkdir()
    contents, number = pictures(), 0
    while sum(path.stat().st_size for path in folder.iterdir()) < size:
        write_shard(folder / f"{number:05}.tar", contents)
        number += 1


class Skip(Callback):
    """Goes to the next block of the stream after a few steps of each."""

    def on_log(self, trainer: Run, figures: dict[str, float]) -> None:
        assert isinstance(trainer, Trainer)
        batches = trainer.batches
        assert isinstance(batches, StreamBatches)
        following = batches.index // batches.order.block_steps + 1
        batches.seek(batches.epoch, following * batches.order.block_steps, batches.nodes)


def train(options: dict[str, Any], out: Path) -> None:
    """A whole run, but for what is skipped."""
    prepare({**options, "steps": BLOCKS * STEPS, "log_every": STEPS}, out, callbacks=[Skip()]).run()


def peak_memory(given: list[str]) -> int:
    """Bytes that a process of its own had in memory at most in ``train``."""
    process = subprocess.Popen([sys.executable, __file__, *given])
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"training failed: {os.waitstatus_to_exitcode(status)}")
    return usage.ru_maxrss * 1024


def speed(run: Assembled, rounds: int) -> dict[str, Any]:
    """Pictures a second, and processor milliseconds of one, from the stream and at hand."""
    streamed = run.batches
    assert isinstance(run.train, StreamSplit)
    assert isinstance(streamed, StreamBatches)
    resident = Batches(run.train.sample(), run.config.batch_size, run.config.seed, run.device)
    steps = streamed.order.block_steps
    pictures = steps * run.config.batch_size

    def seconds(batches: StreamBatches | Batches) -> tuple[float, float]:
        passed, worked = time.perf_counter(), time.process_time()
        for number in range(steps):
            run.step.schedule(number, steps)
            run.step(batches.next())
        return time.perf_counter() - passed, time.process_time() - worked

    found: dict[str, list[tuple[float, float]]] = {"at_hand": [], "stream": []}
    with working(run.stream):
        for _ in range(rounds + 1):  # the first is to warm up
            found["at_hand"].append(seconds(resident))
            found["stream"].append(seconds(streamed))
            print({kind: times[-1] for kind, times in found.items()}, file=sys.stderr, flush=True)

    def medians(of: Callable[[float], float], which: int) -> dict[str, float]:
        each = {kind: [of(times[which]) for times in every[1:]] for kind, every in found.items()}
        ratio = statistics.median(a / b for a, b in zip(each["stream"], each["at_hand"], strict=True))
        return {**{kind: round(statistics.median(every), 3) for kind, every in each.items()}, "ratio": round(ratio, 4)}

    return {
        "pictures_of_a_round": pictures,
        "rounds": rounds,
        "images_per_second": medians(lambda seconds: pictures / seconds, 0),
        "processor_milliseconds_of_a_picture": medians(lambda seconds: 1000 * seconds / pictures, 1),
    }


def measure(folder: Path, architecture: str, size: int, rounds: int) -> dict[str, Any]:
    write_shards(shards := folder / "shards", size)
    files = list(shards.iterdir())
    begun = time.process_time()
    samples = len(load("webdataset", "train", data_dir=shards, data_shape=(3, SIDE, SIDE)))
    listing = time.process_time() - begun
    print(f"listed {samples} samples in {listing:.1f} processor seconds", file=sys.stderr, flush=True)
    memory = peak_memory(["--arch", architecture, "--train", str(folder)])
    print(f"peak memory {memory / GIGA:.3f} GB", file=sys.stderr, flush=True)
    block.BUFFER = ROUND
    keep_freed_memory()
    config = configure({**options_of(folder, architecture), "steps": 10**6}, default_registry())
    return {
        "architecture": architecture,
        "batch_size": config.batch_size,
        "shards": len(files),
        "gigabytes": round(sum(path.stat().st_size for path in files) / GIGA, 2),
        "training_samples": samples,
        "processor_seconds_to_list_the_shards_once": round(listing, 1),
        "peak_memory_gigabytes": round(memory / GIGA, 3),
        "blocks_until_then": BLOCKS + 1,
        **speed(assemble(config, default_registry()), rounds),
    }


def options_of(folder: Path, architecture: str) -> dict[str, Any]:
    return {"architecture": architecture, "image_size": SIDE, "dataset": "webdataset", "device": "cpu",
            "data_dir": str(folder / "shards")}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--gigabytes", type=float, default=20.0)
    parser.add_argument("--arch", default="residual-small", help="one of the nets for pictures of any size")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)  # the process whose memory is read
    given = parser.parse_args()
    if given.train:
        train(options_of(given.train, given.arch), given.train / "run")
        return
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["ALI_CACHE"] = str(Path(temporary) / "cache")
        found = measure(Path(temporary), given.arch, round(given.gigabytes * GIGA), given.rounds)
    print(json.dumps(found, indent=2))
    if given.out:
        atomic.write(given.out, json.dumps({"machine": facts(torch.device("cpu")), **found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
