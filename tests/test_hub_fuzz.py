"""A Hub whose answers are mutated in every part: what is loaded is true, and all else is our error, soon."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).resolve().parents[1] / "benchmarks" / "fuzz_hub.py"


@pytest.mark.slow
def test_mutated_answers(tmp_path: Path) -> None:
    command = [sys.executable, str(FUZZ), "--count", "60", "--seed", "7", "--processes", "2"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    told = json.loads(ended.stdout)
    assert told["failed"] == 0
    assert told["mutated_answers"] > 40
    assert told["slowest_seconds"] < 20
    assert {"load: done", "load: HubError", "push: done", "push: HubError"} <= told["ends"].keys()
