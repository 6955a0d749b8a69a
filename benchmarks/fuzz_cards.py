"""Mutate cards and the metadata on top of them, and see that a card is made of each, or refused by an ALIError.

``python benchmarks/fuzz_cards.py --count 5000`` prints the numbers; the first card that ends otherwise, is not settled
after it was made once, or takes more than the allowed time or memory is kept and ends it with exit code 1.
A seed makes the same cards again.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

from fuzz_folders import ODD, RECORDS, peak
from huggingface_hub import ModelCard

from ali_plugin import ALI, ALIError
from ali_plugin.folder.checked import Checked, check
from ali_plugin.folder.model_folder import CARD_NAME
from ali_plugin.hub import card, card_text

SECONDS, GIGABYTES = 8.0, 1.5
KEYS = [
    "license",
    "tags",
    "datasets",
    "model-index",
    "library_name",
    "pipeline_tag",
    "model_name",
    "eval_results",
    "base_model",
    "language",
    "metrics",
    "self",
    "extra",
    "ignore_metadata_errors",
    "1",
    "~",
    "<<",
    "? [a]",
]
VALUES = [
    "x",
    "[1, {a: b}]",
    "{}",
    "~",
    "2020-13-45",
    "1e999",
    "1:1:1:1",
    "&a 1",
    "*a",
    "&a [*a]",
    "!!python/name:os",
    "!!binary x",
    "!!set {a, ? b}",
    "'",
    '"',
    "|\n  text",
    ">-\n  text",
    "[" * 3000,
    "{a: " * 3000,
    "1" * 5000,
    '"\\ud800"',
    "\x01",
    "\u2028",
    "\u202e",
    "x" * 70_000,
    "[mit, [mit, [mit]]]",
    "0x" + "f" * 40,
]
PIECES = [
    "---\n",
    "---",
    "--- \r\n",
    "----\n",
    "\ufeff",
    "\r\n",
    "\r",
    "\n",
    "\t",
    "\0",
    "<!-- ali: use -->\n",
    "<!-- /ali: use -->\n",
    "<!-- ali: limits -->",
    "<!-- ali: x -->\r\n",
    "<!--",
    "```\n",
    "`",
    "# Mine\n",
    "\ud800",
    'from_pretrained("me/mine"',
    'from_pretrained("a',
    "{{ 7 * 7 }}",
    "{% raw %}",
    "<script>",
    "| a |\n|---|\n",
]


def main() -> None:
    """Fuzz and report."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--count", type=int, default=5000)
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as place:
        ended = fuzz(Path(place), given.count, random.Random(given.seed))
    print(json.dumps({"cards": given.count, "seed": given.seed, **ended}, indent=2))


def fuzz(folder: Path, count: int, chance: random.Random) -> dict[str, Any]:
    """Numbers of what happened; exits where a card ends in anything but a card or an ALIError."""
    ALI.from_architecture("mixture").save_pretrained(folder)
    for name, content in RECORDS.items():
        (folder / name).write_text(json.dumps(content))
    model = check(folder)
    sound = card.text(model, "me/mine")
    ends: Counter[str] = Counter()
    slowest, begun = 0.0, time.perf_counter()
    for i in range(count):
        content = mutated(sound, chance)
        started = time.perf_counter()
        ends[ending(model, content, theirs=chance.random() < 0.3)] += 1
        slowest = max(slowest, time.perf_counter() - started)
        if slowest > SECONDS or peak() > GIGABYTES:
            keep(content, f"card {i}: {slowest:.1f} s, {peak():.2f} GB")
    return {"ends": dict(sorted(ends.items())), "seconds": round(time.perf_counter() - begun, 1),
            "slowest_seconds": round(slowest, 3), "peak_gigabytes": round(peak(), 2)}  # fmt: skip


def ending(model: Checked, content: bytes, *, theirs: bool) -> str:
    """How the making of a card ended, by name.

    Args:
        theirs: the mutated card is the one on the Hub, and the folder has none.
    """
    path = model.path / CARD_NAME
    path.unlink(missing_ok=True)
    try:
        if theirs:
            made = card.text(model, "me/mine", theirs=content.decode())
        else:
            path.write_bytes(content)
            made = card.text(model, "me/mine")
        path.write_bytes(made.encode())
        if card.text(model) != made:
            keep(content, "the card changes when it is made again")
        ModelCard(made)
        front = card_text.split(made)[0]
        if front is None or card_text.metadata(front)["library_name"] != "ali-plugin":
            keep(content, "the card's metadata are not ours")
    except UnicodeDecodeError:
        return "not text"
    except ALIError as error:
        if not str(error).isprintable() or len(str(error)) > 2000:
            keep(content, repr(str(error)))
        return type(error).__name__
    except Exception:
        keep(content, traceback.format_exc())
    return "made"


def keep(content: bytes, why: str) -> None:
    """Keep what failed, and end."""
    kept = Path(tempfile.mkdtemp(prefix="fuzz-")) / CARD_NAME
    kept.write_bytes(content)
    sys.exit(f"{why}\nkept in {kept}")


def mutated(sound: str, chance: random.Random) -> bytes:
    """A card that is odd in one to four places."""
    front, body = card_text.split(sound)
    lines = (front or "").splitlines()
    for _ in range(chance.choice([0, 0, 0, 1, 1, 2, 3])):
        value = chance.choice([*VALUES, json.dumps(chance.choice(ODD))])
        line = f"{chance.choice(KEYS)}: {value}"
        lines.insert(chance.randint(0, len(lines)), line)
        if chance.random() < 0.3:
            del lines[chance.randrange(len(lines))]
    text = "---\n" + "\n".join(lines) + "\n---\n" + body
    for _ in range(chance.randint(0, 3)):
        at = chance.randint(0, len(text))
        piece = chance.choice(PIECES) * chance.choice([1, 1, 1, 2, 5000])
        text = text[:at] + piece + text[at + chance.choice([0, 0, 1, 40]) :]
    if chance.random() < 0.2:
        text = text.replace("\n", chance.choice(["\r\n", "\r"]))
    content = bytearray(text.encode("utf-8", "surrogatepass"))
    if content and chance.random() < 0.1:
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    return bytes(content)


if __name__ == "__main__":
    main()
