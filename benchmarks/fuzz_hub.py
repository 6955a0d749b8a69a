"""Mutate what a Hub answers to a load or a push: each ends in the true files or in an ALIError, and loads go on after.

``python benchmarks/fuzz_hub.py --count 5000`` prints the numbers, and the inputs that end otherwise, leave a damaged
file in the cache or anything beside it, or take more than the allowed time or memory; exit code 1 if there are any.
``--seed S --first N --count 1`` makes that input again. The answers are those of the tests' local Hub.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from hub_answers import REPO, Mutating, Plan

from hub.fixtures import STRANGER, WRITER, LocalHub, RawFile
from hub.hub import Settings
from hub.server import Server

SECONDS, GIGABYTES, HANGS = 20.0, 1.5, 120.0
TOGETHER = 25  # inputs that a process takes at once
LOADING = ("GET /api/models/", "HEAD .*config", "GET .*config", "HEAD .*safetensors",
           "GET /_storage/", "HEAD .*README", "GET .*README")  # fmt: skip
PUSHING = ("POST /api/repos/create", "GET /api/models/", "POST /api/validate-yaml", "POST .*/preupload/",
           "POST .*/objects/batch", "PUT /_storage/", "POST .*/objects/verify", "POST .*/commit/", "HEAD .*README",
           "GET .*README")  # fmt: skip


class Bench:
    """A process's Hub, with a model on it; made before the client is imported, which reads where its Hub is."""

    def __init__(self, home: Path) -> None:
        server = Server(0, home / "hub", (WRITER, STRANGER), Settings())
        server.RequestHandlerClass = Mutating
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.home, self.hub = home, LocalHub(server.hub.endpoint)
        os.environ |= self.hub.env(home / "hf", WRITER.token, ALI_CACHE=str(home / "ali"), HF_HUB_VERBOSITY="critical")
        import torch

        from ali_plugin import ALI

        torch.manual_seed(0)  # digests are parts of paths, by which answers are mutated
        self.model = home / "model"
        ALI.from_architecture("mixture").save_pretrained(self.model)
        self.files = {"README.md": b"# A model\n", **{path.name: path.read_bytes() for path in self.model.iterdir()}}
        rows = {name: RawFile(content, name.endswith(".safetensors")) for name, content in self.files.items()}
        self.hub.write(REPO, rows)

    def try_one(self, seed: int, number: int) -> tuple[str, int, float]:
        """How an input ends, by name, how many answers were mutated, and in how many seconds."""
        chance = random.Random(f"{seed} {number}")
        what = "load" if chance.random() < 0.75 else "push"
        stage = chance.choice(LOADING if what == "load" else PUSHING)
        Mutating.plan = plan = Plan(f"{seed} {number}", stage, chance.random() < 0.3)
        use = self.load if what == "load" else lambda: self.push(number, "README" in stage or chance.random() < 0.3)
        begun = time.perf_counter()
        end = ending(use)
        seconds = time.perf_counter() - begun
        Mutating.plan = None
        self.refuse_leftovers()
        self.refuse_aftermath()
        return f"{what}: {end}", plan.done, seconds

    def refuse_aftermath(self) -> None:
        """Loads work again, once what was left in open connections is read."""
        if all(ending(self.load) != "done" for _ in range(5)):
            self.load()
        self.forget()

    def load(self) -> None:
        from ali_plugin.hub.download import fetch

        folder = fetch(REPO, cache_dir=self.home / "cache")
        found = {path.name for path in folder.iterdir()}
        if not {"config.json", "model.safetensors"} <= found <= self.files.keys():
            raise AssertionError(f"loaded {found}")

    def push(self, number: int, there: bool) -> None:
        """Push weights that the Hub has not seen, to a repository that is ``there`` already, with a card, or not."""
        from ali_plugin.folder.checked import check
        from ali_plugin.hub.publish import push

        weights = self.files["model.safetensors"]
        (self.model / "model.safetensors").write_bytes(weights[:-4] + number.to_bytes(4, "little"))
        if there:
            self.hub.write(f"alice/p{number}", {"README.md": RawFile(b"# Mine\n")})
        push(check(self.model), f"alice/p{number}", keep_card=False)

    def refuse_leftovers(self) -> None:
        """Every file of a snapshot is the true one, and nothing lies where nothing belongs."""
        for path in (self.home / "cache").glob("*/snapshots/*/*"):
            if path.read_bytes() != self.files.get(path.name):
                raise AssertionError(f"{path} is not what the Hub has")
        places = {path.name for path in self.home.iterdir()}
        if more := places - {"hub", "hf", "ali", "model", "cache"} or Path("/tmp/ali-fuzz-escaped").exists():
            raise AssertionError(f"left behind: {more}")
        self.forget()

    def forget(self) -> None:
        """Empty the caches, of loads and of the cards that pushes look at."""
        for folder in (self.home / "cache", self.home / "hf" / "hub"):
            shutil.rmtree(folder, ignore_errors=True)


def ending(use: Callable[[], object]) -> str:
    """ "done", or the name of our error; whatever else is raised goes on."""
    from ali_plugin import ALIError

    try:
        use()
    except ALIError as error:
        said = str(error)
        if not said.isprintable() or len(said) > 2000 or WRITER.token in said:
            raise AssertionError(f"says {said!r}") from error
        return type(error).__name__
    return "done"


@dataclass
class Found:
    """What came of some inputs.

    Attributes:
        failed: what was wrong, by input; answers: how many were mutated; seconds, gigabytes: the most of one input.
    """

    ends: Counter[str] = field(default_factory=Counter)
    failed: dict[int, str] = field(default_factory=dict)
    answers: int = 0
    seconds: float = 0.0
    gigabytes: float = 0.0

    def add(self, more: Found) -> None:
        self.ends += more.ends
        self.failed |= more.failed
        self.answers += more.answers
        self.seconds, self.gigabytes = max(self.seconds, more.seconds), max(self.gigabytes, more.gigabytes)


def attempt(seed: int, numbers: range) -> Found:
    """Try inputs in this process."""
    tried = bench()  # before anything imports the client
    from fuzz_folders import peak

    found = Found()
    for number in numbers:
        faulthandler.dump_traceback_later(HANGS, exit=True)
        try:
            end, mutated, seconds = tried.try_one(seed, number)
            found.add(Found(Counter([end]), {}, mutated, seconds, peak()))
            if seconds > SECONDS or peak() > GIGABYTES:
                raise AssertionError(f"took {seconds:.1f} s, {peak():.2f} GB; {end}")
        except Exception:
            found.failed[number] = traceback.format_exc()
        finally:
            faulthandler.cancel_dump_traceback_later()
    return found


_bench: Bench | None = None


def bench() -> Bench:
    """This process's, made when it is first asked for."""
    global _bench
    if _bench is None:
        _bench = Bench(Path(tempfile.mkdtemp(dir=os.environ["FUZZ_HOME"])))
    return _bench


def main() -> None:
    """Fuzz and report."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--count", type=int, default=5000)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--first", type=int, default=0)
    options.add_argument("--processes", type=int, default=8, help="most wait: a client asks again after seconds")
    given = options.parse_args()
    begun, found = time.perf_counter(), Found()
    with tempfile.TemporaryDirectory() as home:
        os.environ["FUZZ_HOME"] = home
        numbers = range(given.first, given.first + given.count)
        with ProcessPoolExecutor(given.processes, multiprocessing.get_context("spawn")) as pool:
            tasks = [
                pool.submit(attempt, given.seed, numbers[i : i + TOGETHER]) for i in range(0, given.count, TOGETHER)
            ]
            for task in as_completed(tasks):
                for number, what in task.result().failed.items():
                    print(f"input {number} of seed {given.seed}: {what}", file=sys.stderr, flush=True)
                found.add(task.result())
    print(json.dumps({"inputs": given.count, "seed": given.seed, "mutated_answers": found.answers,
                      "failed": len(found.failed), "ends": dict(sorted(found.ends.items())),
                      "seconds": round(time.perf_counter() - begun, 1), "slowest_seconds": round(found.seconds, 1),
                      "peak_gigabytes": round(found.gigabytes, 2)}, indent=2))  # fmt: skip
    sys.exit(1 if found.failed else 0)


if __name__ == "__main__":
    main()
