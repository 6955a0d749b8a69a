"""Mutate what a Hub answers to a load or a push, and see that each ends in the true files or in an ALIError.

``python benchmarks/fuzz_hub.py --count 5000`` prints the numbers; the first input that ends otherwise, leaves a damaged
file in the cache or anything beside it, or takes more than the allowed time or memory ends it with exit code 1.
``--seed S --first N --count 1`` makes that input again. The answers are those of the tests' local Hub.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import multiprocessing
import os
import random
import re
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
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1] / "tests"), str(Path(__file__).resolve().parent)]

from hub.fixtures import STRANGER, WRITER, LocalHub, RawFile
from hub.hub import Settings
from hub.server import Handler, Server
from hub.wire import Response

SECONDS, GIGABYTES, HANGS = 20.0, 1.5, 120.0
TOGETHER = 25  # inputs that a process takes at once
REPO = "alice/model"
LOADING = ("GET /api/models/", "HEAD .*config", "GET .*config", "HEAD .*safetensors",
           "GET /_storage/", "HEAD .*README", "GET .*README")  # fmt: skip
PUSHING = ("POST /api/repos/create", "GET /api/models/", "POST /api/validate-yaml", "POST .*/preupload/",
           "POST .*/objects/batch", "PUT /_storage/", "POST .*/objects/verify", "POST .*/commit/", "HEAD .*README",
           "GET .*README")  # fmt: skip
REFUSALS = (400, 401, 403, 404, 409, 410, 412, 416, 418, 423, 451)
OTHER_STATUSES = (100, 101, 199, 201, 202, 204, 205, 206, 226, 300, 301, 302, 303, 304, 305, 307, 308, 399, 600, 999,
                  "0", "-1", "abc", "", "2000", "9" * 400)  # fmt: skip
AGAIN = (408, 429, 500, 502, 503, 504, 599)  # after which the client waits and asks again
HEADERS = ("ETag", "X-Linked-ETag", "X-Linked-Size", "X-Repo-Commit", "X-Xet-Hash", "Content-Length", "Content-Range",
           "Content-Encoding", "Content-Type", "Content-Disposition", "Transfer-Encoding", "Location", "Retry-After",
           "RateLimit", "RateLimit-Policy", "X-Error-Code", "X-Error-Message", "X-HF-Warning", "X-Request-Id", "Link",
           "Set-Cookie", "Connection", "Accept-Ranges", "Date")  # fmt: skip
TEXTS = ("", " ", "0", "1", "-1", "007", "1e3", "18446744073709551616", "9" * 5000, "x", "x" * 70_000, "../../escaped",
         "/tmp/ali-fuzz-escaped", "a/b", '"', '""', '"W/"', "W/" + "0" * 40, "0" * 40, "f" * 64, "\x1b[31mred", "\x00",
         "\xff\xfe", "caf\xe9", "gzip", "br", "identity, gzip", "chunked", "chunked, chunked", "close", "upgrade",
         "bytes 0-0/1", "bytes 5-9/7", "bytes */0", "bytes 99999999999999999999-1/2", "text/html", "application/json",
         "multipart/byteranges", '"api";r=0;t=86400', '"api";r=0;t=x', "Thu, 01 Jan 1970 00:00:00 GMT",
         "RepoNotFound", "RevisionNotFound", "EntryNotFound", "GatedRepo", "DisabledRepo", 'attachment; filename="../x"',
         "http://127.0.0.1:1/", "file:///etc/passwd", "//", "http://[::1", "http://", "?", "javascript:x",
         f"/{REPO}/resolve/main/config.json", f"/api/models/{REPO}", "<http://127.0.0.1:1/>; rel=next")  # fmt: skip
BODIES = (b"", b"null", b"[]", b"{}", b"7", b'"x"', b"[" * 200_000, b'{"a":' * 50_000, b"\xff\xfe\x00", b"\x1f\x8b\x08" + b"\0" * 99,
          b"<html>" * 99, b"9" * 10_000, b'{"error": "\\u001b[31m\\ud800"}', b"NaN", b"\0" * 3_000_000)  # fmt: skip


@dataclass
class Plan:
    """Which answers to one input are mutated: those whose method and path begin like ``stage``, or the first alone.

    Attributes:
        done: how many were.
    """

    key: str
    stage: str
    once: bool
    done: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def chance(self, asked: str) -> random.Random | None:
        """Where an answer is to be mutated, what to do it by: the same for the same request."""
        with self.lock:
            self.seen[asked] += 1
            if not re.match(self.stage, asked) or (self.once and self.done):
                return None
            self.done += 1
            return random.Random(f"{self.key} {asked} {self.seen[asked]}")


class Mutating(Handler):
    """The tests' Hub, some of whose answers are mutated."""

    plan: Plan | None = None

    def send(self, response: Response, faults: dict[Any, Any]) -> None:
        target = self.path.partition("?")[0]
        plan = None if target.startswith("/_control") else Mutating.plan
        chance = plan.chance(f"{self.command} {target}") if plan else None
        if chance is None:
            return super().send(response, faults)
        answer = Answer(response, self.command == "HEAD")
        for _ in range(chance.choice((1, 1, 2, 3))):
            chance.choice(MUTATIONS)(answer, chance)
        # Whoever keeps a connection open lets the client wait for the rest. Before its headers' end an answer to a
        # commit may take a minute, which is no fault.
        self.close_connection |= answer.cut or str(answer.status).startswith("1") or chance.random() < 0.9
        self.wfile.write(answer.bytes(chance))
        return None


class Answer:
    """An HTTP answer that can be made wrong in every part."""

    def __init__(self, response: Response, head: bool) -> None:
        self.status: int | str = response.status
        self.headers = [("Content-Length", str(len(response.body))), *response.headers.items()]
        self.body = b"" if head else b"".join(response.body.pieces())
        self.fits = True  # the length that is announced, if the body changes
        self.head = head
        self.cut = False  # somewhere

    def bytes(self, chance: random.Random) -> bytes:
        if self.fits and not self.head:
            self.headers = [(n, str(len(self.body)) if n == "Content-Length" else v) for n, v in self.headers]
        lines = [f"HTTP/1.1 {self.status} Said", *(f"{name}: {value}" for name, value in self.headers)]
        raw = "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n" + (b"" if self.head else self.body)
        return raw[: int(len(raw) * chance.random())] if self.cut else raw


def change_status(answer: Answer, chance: random.Random) -> None:
    kind = chance.random()
    answer.status = chance.choice(REFUSALS if kind < 0.45 else OTHER_STATUSES if kind < 0.9 else AGAIN)
    if chance.random() < 0.3:
        answer.headers.append(("Location", chance.choice(TEXTS)))


def change_header(answer: Answer, chance: random.Random) -> None:
    there = [name for name, _ in answer.headers]
    name = chance.choice(there if chance.random() < 0.4 else HEADERS)
    kind = chance.random()
    if kind < 0.2:
        answer.headers = [row for row in answer.headers if row[0].lower() != name.lower()]
    elif kind < 0.7:
        answer.headers = [row for row in answer.headers if row[0].lower() != name.lower()]
        answer.headers.append((name, chance.choice(TEXTS)))
    else:
        answer.headers.append((name, chance.choice(TEXTS)))
    answer.fits = answer.fits and name != "Content-Length"


def odd_header(answer: Answer, chance: random.Random) -> None:
    answer.headers.append(chance.choice([("X" * 70_000, "x"), ("", "x"), ("a b", "x"), ("\xe9", "x"), ("A\r\nB", "x"),
                                         ("X", "x\r\n folded"), ("X", "x\n\nbody"), ("X\0", "\0")]))  # fmt: skip
    if chance.random() < 0.1:
        answer.headers += [(f"X-{i}", "x") for i in range(2000)]


def change_body(answer: Answer, chance: random.Random) -> None:
    content = bytearray(answer.body)
    at = chance.randrange(len(content) + 1)
    kind = chance.randrange(5)
    if kind == 0 and at < len(content):
        content[at] ^= 1 << chance.randrange(8)
    elif kind == 1:
        del content[at:]
    elif kind == 2:
        content[at:at] = content[: chance.randint(1, 3000)]
    elif kind == 3:
        content[at:at] = chance.choice(BODIES)
    else:
        content = bytearray(chance.choice(BODIES))
    answer.body = bytes(content)
    answer.fits = answer.fits and chance.random() < 0.7


def change_value(answer: Answer, chance: random.Random) -> None:
    """Of JSON, one odd place; of anything else, bytes."""
    from fuzz_folders import changed

    try:
        answer.body = json.dumps(changed(json.loads(answer.body), chance)).encode("utf-8", "surrogatepass")
    except (ValueError, RecursionError):
        change_body(answer, chance)


def cut(answer: Answer, chance: random.Random) -> None:
    answer.cut = True


MUTATIONS: tuple[Callable[[Answer, random.Random], None], ...] = (
    change_status, change_header, change_header, odd_header, change_body, change_value, change_value, change_value, cut
)  # fmt: skip


class Bench:
    """A process's Hub, with a model on it; made before the client is imported, which reads where its Hub is."""

    def __init__(self, home: Path) -> None:
        server = Server(0, home / "hub", (WRITER, STRANGER), Settings())
        server.RequestHandlerClass = Mutating
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.home, self.hub = home, LocalHub(server.hub.endpoint)
        os.environ |= self.hub.env(home / "hf", WRITER.token, ALI_CACHE=str(home / "ali"), HF_HUB_VERBOSITY="critical")
        from ali_plugin import ALI

        self.model = home / "model"
        ALI.from_architecture("mixture").save_pretrained(self.model)
        self.files = {path.name: path.read_bytes() for path in self.model.iterdir()}
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
        return f"{what}: {end}", plan.done, seconds

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
        shutil.rmtree(self.home / "cache", ignore_errors=True)
        shutil.rmtree(self.home / "hf" / "hub", ignore_errors=True)  # where a push looks at the card that is there


def ending(use: Callable[[], object]) -> str:
    """"done", or the name of our error; whatever else is raised goes on."""
    from ali_plugin import ALIError

    try:
        use()
    except ALIError as error:
        said = str(error)
        if not said.isprintable() or len(said) > 2000 or WRITER.token in said:
            raise AssertionError(f"says {said!r}") from error
        return type(error).__name__
    return "done"


def attempt(seed: int, first: int, count: int) -> dict[str, Any]:
    """Try so many inputs in this process; under "failed", what it ended with too early."""
    tried = bench()  # before anything imports the client
    from fuzz_folders import peak

    ends: Counter[str] = Counter()
    answers, slowest = 0, 0.0
    for number in range(first, first + count):
        faulthandler.dump_traceback_later(HANGS, exit=True)
        try:
            end, mutated, seconds = tried.try_one(seed, number)
            if seconds > SECONDS or peak() > GIGABYTES:
                raise AssertionError(f"took {seconds:.1f} s, {peak():.2f} GB; {end}")
        except BaseException:
            return {"failed": f"input {number} of seed {seed}: {traceback.format_exc()}"}
        finally:
            faulthandler.cancel_dump_traceback_later()
        ends[end] += 1
        answers, slowest = answers + mutated, max(slowest, seconds)
    return {"ends": ends, "answers": answers, "slowest": slowest, "peak": peak()}


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
    begun, ends, answers, slowest, most = time.perf_counter(), Counter[str](), 0, 0.0, 0.0
    with tempfile.TemporaryDirectory() as home:
        os.environ["FUZZ_HOME"] = home
        end = given.first + given.count
        with ProcessPoolExecutor(given.processes, multiprocessing.get_context("spawn")) as pool:
            tasks = [pool.submit(attempt, given.seed, first, min(TOGETHER, end - first))
                     for first in range(given.first, end, TOGETHER)]  # fmt: skip
            for task in as_completed(tasks):
                found = task.result()
                if "failed" in found:
                    pool.shutdown(cancel_futures=True)
                    sys.exit(found["failed"])
                ends += found["ends"]
                answers += found["answers"]
                slowest, most = max(slowest, found["slowest"]), max(most, found["peak"])
    print(json.dumps({"inputs": given.count, "mutated_answers": answers, "seed": given.seed,
                      "ends": dict(sorted(ends.items())), "seconds": round(time.perf_counter() - begun, 1),
                      "slowest_seconds": round(slowest, 1), "peak_gigabytes": round(most, 2)}, indent=2))  # fmt: skip


if __name__ == "__main__":
    main()
