"""Mutated pictures of every kind, read as a dataset reads them: each is read or refused, in bounded time and memory.

    python benchmarks/fuzz_pictures.py --count 5000 --seed 0

Prints how many were read and refused, for what, the slowest, and the most memory; exits 1 where anything else happened.
"""

from __future__ import annotations

import argparse
import io
import random
import resource
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from ali_plugin.errors import DataError
from ali_plugin.pictures.decode import read_image

KINDS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "JPEG2000", "PPM", "DIB")
MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F")
SIZES = ((1, 1), (7, 5), (64, 48), (300, 200))
WORDS = (b"\0", b"\xff", b"\x7f\xff", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\x80\0\0\0", b"\x01")
SECONDS, MEMORY = 20.0, 1500  # bounds: seconds for one picture, MiB for the process


def sound() -> list[bytes]:
    """Pictures of every kind, mode and size that Pillow writes."""
    random_numbers, found = np.random.default_rng(0), []
    for kind in KINDS:
        for mode in MODES:
            for width, height in SIZES:
                picture = Image.fromarray(random_numbers.integers(0, 255, (height, width, 3), dtype=np.uint8))
                exif = Image.Exif()
                exif[0x0112], exif[0x010F] = 6, "camera"
                out = io.BytesIO()
                try:
                    turned = (
                        picture.convert("L").convert("I").convert(mode) if mode == "I;16" else picture.convert(mode)
                    )
                    turned.save(out, kind, **({"exif": exif} if kind in ("PNG", "JPEG", "WEBP", "TIFF") else {}))
                except (OSError, ValueError, SystemError, KeyError):  # a mode that the kind does not have
                    continue
                found.append(out.getvalue())
    return found


def mutated(content: bytes, chance: random.Random) -> bytes:
    """Bytes replaced, most of them near the front where headers are; parts cut, doubled or dropped."""
    changed = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 4, 16))):
        reach = chance.choice((32, 128, len(changed) + 1))
        first = 0 if chance.random() < 0.05 else 8  # what is no picture by its first bytes reaches no decoder
        at = min(first + chance.randrange(reach), len(changed) - 1) if changed else 0
        what = chance.randrange(6)
        if what < 4:
            word = chance.choice(WORDS) if what < 3 else bytes([chance.randrange(256)])
            changed[at : at + len(word)] = word
        elif what == 4:
            del changed[at : at + chance.randrange(1, 64)]
        else:
            changed[at:at] = changed[at : at + chance.randrange(1, 64)]
    return bytes(changed if chance.random() < 0.8 else changed[: chance.randrange(len(changed) + 1)])


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--count", type=int, default=5000)
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    warnings.simplefilter("ignore")
    chance, originals = random.Random(given.seed), sound()
    refused: Counter[str] = Counter()
    slowest, start = 0.0, time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.png"
        for original in originals:
            path.write_bytes(original)
            read_image(path, (3, 32, 32))
        for _ in range(given.count):
            path.write_bytes(mutated(chance.choice(originals), chance))
            begun = time.monotonic()
            try:
                picture = read_image(path, chance.choice(((1, 28, 28), (3, 32, 32))))
                assert picture.dtype == np.uint8
            except DataError as error:
                refused[str(error)[:40]] += 1
            slowest = max(slowest, time.monotonic() - begun)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    read = given.count - refused.total()
    print(f"{len(originals)} sound pictures; of {given.count} mutated ones {read} were read, {refused.total()} refused")
    print(f"{time.monotonic() - start:.0f} s, the slowest picture {slowest:.2f} s, {memory:.0f} MiB at most")
    for reason, times in refused.most_common(12):
        print(f"{times:6} {reason}")
    if slowest > SECONDS or memory > MEMORY:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
