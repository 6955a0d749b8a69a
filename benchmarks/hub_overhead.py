"""What checking costs: our push, first load and cached load beside the raw client's, on the tests' local Hub.

python benchmarks/hub_overhead.py [--megabytes 50] [--rounds 7]

Interleaved medians in seconds; "process" is `ali push` as a whole, with its imports, and
"model" a cached load with its nets.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path.insert(0, str(TESTS))


def timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def measure(folder: Path, rounds: int, home: Path) -> dict[str, list[float]]:
    """Seconds of every round; imports what reads the environment, which ``main`` has set."""
    from huggingface_hub import HfApi, snapshot_download

    from ali_plugin import ALI
    from ali_plugin.folder.checked import check
    from ali_plugin.folder.model_folder import FILES
    from ali_plugin.hub.download import fetch
    from ali_plugin.hub.publish import push

    def raw_push(repo: str) -> None:
        HfApi().create_repo(repo, exist_ok=True)
        HfApi().upload_folder(repo_id=repo, folder_path=folder)

    def raw_load(cache: Path) -> None:
        snapshot_download("alice/warm", cache_dir=cache, allow_patterns=list(FILES))

    times: dict[str, list[float]] = {}

    def note(name: str, work: Callable[[], object]) -> None:
        times.setdefault(name, []).append(timed(work))

    process = [str(Path(sys.executable).with_name("ali")), "push", str(folder), "alice/warm"]
    push(check(folder), "alice/warm", keep_card=True)
    for number in range(rounds):
        raw, ours = home / f"raw{number}", home / f"ours{number}"
        note("push raw", lambda n=number: raw_push(f"alice/raw{n}"))
        note("push", lambda n=number: push(check(folder), f"alice/ours{n}", keep_card=False))
        note("first raw", lambda c=raw: raw_load(c))
        note("first", lambda c=ours: fetch("alice/warm", cache_dir=c))
        note("cached raw", lambda c=raw: raw_load(c))
        note("cached", lambda c=ours: fetch("alice/warm", cache_dir=c))
        note("model", lambda c=ours: ALI.from_pretrained("alice/warm", cache_dir=c))
        note("process", lambda: subprocess.run(process, check=True, capture_output=True))
        shutil.rmtree(raw)
        shutil.rmtree(ours)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    from hub.fixtures import WRITER, running

    with tempfile.TemporaryDirectory() as temporary, running(Path(temporary) / "hub") as endpoint:
        home = Path(temporary)
        os.environ |= {"HF_ENDPOINT": endpoint, "HF_HOME": str(home / "hf"), "HF_TOKEN": WRITER.token,
                       "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "ALI_CACHE": str(home / "ali"),
                       "HF_HUB_DISABLE_PROGRESS_BARS": "1"}  # fmt: skip
        from ali_plugin import ALI

        folder = home / "model"
        ALI.from_architecture("fashion", latent_size=max(1, options.megabytes * 112)).save_pretrained(folder)
        times = {name: statistics.median(found) for name, found in measure(folder, options.rounds, home).items()}
    ratios = {name: round(times[name] / times[f"{name} raw"], 2) for name in ("push", "first", "cached")}
    print(json.dumps({"seconds": {name: round(value, 4) for name, value in times.items()}, "ratios": ratios}, indent=2))


if __name__ == "__main__":
    main()
