"""Mutate model folders and see that loading, the card and the records end in a result or in an ALIError.

``python benchmarks/fuzz_folders.py --count 5000`` prints the numbers; the first input that ends otherwise, or takes
more than the allowed time or memory, is kept and ends it with exit code 1. A seed makes the same folders again.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import struct
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ali_plugin import ALI, ALIError
from ali_plugin.folder import evaluation_record as record
from ali_plugin.folder.checked import check
from ali_plugin.folder.training_record import TrainingRecord
from ali_plugin.hub import card

SECONDS, GIGABYTES = 20.0, 1.5
RECORDS: dict[str, Any] = {
    "evaluation.json": [{"metric": "reconstruction", "figure": "mse", "value": 0.1, "dataset": "fashion-mini",
                         "split": "test", "protocol": "how", "seed": 0}],
    "training.json": {"command": "ali train", "dataset": "fashion-mini", "seed": 0, "steps": 9, "planned": 9,
                      "seconds": 1.0, "versions": {"torch": "2"}, "hardware": {"device": "cpu"}},
}  # fmt: skip
ODD: list[Any] = [
    None, True, -1, 0, 1, 65536, 65537, 1 << 31, 1 << 63, 1 << 70, 1.5, 1e308, float("nan"), "", "a\nb", "\x1b[2J",
    "\ud800",
    "../../x", "[/x]", "x" * 3000, [], {}, [1, 2], [[[]]], {"a": 1}, "fashion", "cifar10", "mixture", [3, 32, 32],
]  # fmt: skip


def main() -> None:
    """Fuzz and report."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--count", type=int, default=5000)
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as place:
        ended = fuzz(Path(place), given.count, random.Random(given.seed))
    print(json.dumps({"folders": given.count, "seed": given.seed, **ended}, indent=2))


def fuzz(place: Path, count: int, chance: random.Random) -> dict[str, Any]:
    """Numbers of what happened; exits where a folder ends in anything but a result or an ALIError."""
    sound = place / "sound"
    ALI.from_architecture("mixture").save_pretrained(sound)
    for name, content in RECORDS.items():
        (sound / name).write_text(json.dumps(content))
    card.write(sound)
    ends: Counter[str] = Counter()
    slowest, begun = 0.0, time.perf_counter()
    for i in range(count):
        folder = place / "mutated"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(sound, folder)
        for _ in range(chance.randint(1, 3)):
            mutate(folder, chance)
        for name, use in USES.items():
            started = time.perf_counter()
            ends[f"{name}: {ending(use, folder, f'folder {i}')}"] += 1
            slowest = max(slowest, time.perf_counter() - started)
        if slowest > SECONDS or peak() > GIGABYTES:
            keep(folder, f"folder {i}: {slowest:.1f} s, {peak():.2f} GB")
    return {"ends": dict(sorted(ends.items())), "seconds": round(time.perf_counter() - begun, 1),
            "slowest_seconds": round(slowest, 3), "peak_gigabytes": round(peak(), 2)}  # fmt: skip


USES: dict[str, Callable[[Path], object]] = {
    "load": ALI.from_pretrained,
    "card": lambda folder: card.text(check(folder)),
    "evaluation": record.read,
    "training": TrainingRecord.from_folder,
}


def ending(use: Callable[[Path], object], folder: Path, what: str) -> str:
    """How a use of a folder ended, by name."""
    try:
        use(folder)
    except ALIError as error:
        if not str(error).isprintable() or len(str(error)) > 2000:
            keep(folder, f"{what}: {str(error)!r}")
        return type(error).__name__
    except BaseException:
        keep(folder, f"{what}: {traceback.format_exc()}")
    return "done"


def keep(folder: Path, why: str) -> None:
    """Keep what failed, and end."""
    kept = Path(tempfile.mkdtemp(prefix="fuzz-")) / "folder"
    shutil.copytree(folder, kept, symlinks=True)
    sys.exit(f"{why}\nkept in {kept}")


def peak() -> float:
    """The most memory that this process has held, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def mutate(folder: Path, chance: random.Random) -> None:
    """Change one file of a folder in one way."""
    path = folder / chance.choice(["config.json", "model.safetensors", "README.md", *RECORDS])
    if not path.is_file() or chance.random() < 0.03:
        replace(path, chance)
    elif path.suffix == ".json" and chance.random() < 0.7:
        change_json(path, chance)
    elif path.suffix == ".safetensors" and chance.random() < 0.6:
        change_header(path, chance)
    else:
        change_bytes(path, chance)


def replace(path: Path, chance: random.Random) -> None:
    """Put nothing, a folder, a pipe or a link in the place of a file."""
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
    kind = chance.randrange(5)
    if kind == 1:
        path.mkdir()
    elif kind == 2:
        os.mkfifo(path)
    elif kind > 2:
        path.symlink_to(path if kind == 3 else "/etc/passwd")


def change_bytes(path: Path, chance: random.Random) -> None:
    """Flip, cut, double or insert."""
    content = bytearray(path.read_bytes())
    at = chance.randint(0, min(len(content), chance.choice([100, 4000, 1 << 30])))
    odd = [
        b"\x00",
        b"\xff",
        b"\x1b[2J",
        b"---\n",
        b"<!-- ali: model -->\n",
        b"&a [*a]\n",
        b"\r\n",
        b"{" * 3000,
        b"- " * 2000,
    ]
    kind = chance.randrange(4)
    if kind == 0 and at < len(content):
        content[at] ^= 1 << chance.randrange(8)
    elif kind == 1:
        del content[at:]
    elif kind == 2:
        content[at:at] = content[: chance.randint(0, 3000)]
    else:
        content[at:at] = chance.choice(odd) * chance.choice([1, 1, 50])
    path.write_bytes(content)


def change_json(path: Path, chance: random.Random) -> None:
    """Put an odd value somewhere, or take or add a key."""
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return change_bytes(path, chance)
    path.write_text(json.dumps(changed(value, chance)))


def changed(value: Any, chance: random.Random) -> Any:
    """The value with one odd place."""
    if not isinstance(value, dict | list) or not value or chance.random() < 0.1:
        return chance.choice(ODD)
    where = chance.choice(list(value) if isinstance(value, dict) else range(len(value)))
    if isinstance(value, dict) and chance.random() < 0.1:
        del value[where]
    elif isinstance(value, dict) and chance.random() < 0.05:
        value[chance.choice(["more", "\x1b", ""])] = chance.choice(ODD)
    else:
        value[where] = changed(value[where], chance)
    return value


def change_header(path: Path, chance: random.Random) -> None:
    """Change the JSON in front of the tensors, and sometimes the length that is said of it."""
    content = path.read_bytes()
    try:
        size = struct.unpack("<Q", content[:8])[0]
        header = json.loads(content[8 : 8 + size])
    except (struct.error, ValueError, RecursionError, OverflowError):
        return change_bytes(path, chance)
    text = json.dumps(changed(header, chance)).encode()
    said = len(text) if chance.random() < 0.9 else chance.choice([0, 1, len(text) + 1, 1 << 24, 1 << 40, (1 << 64) - 1])
    path.write_bytes(struct.pack("<Q", said) + text + content[8 + size :])


if __name__ == "__main__":
    main()
