"""How much longer ``ali list`` takes for each installed plugin, apart from the plugin's own import.

    python benchmarks/plugin_startup.py [--plugins 50] [--rounds 15] [--out benchmarks/results/plugin_startup.json]

Installs N distributions into a temporary folder, each with an entry point and a module that registers an encoder
and a dataset. Three processes are timed in turn, so that a busy machine slows all of them alike: ``ali list`` without
the distributions, with them, and the bare import of their modules. Growth per plugin is the difference of the
medians; the target is under 5 ms once the imports are taken off.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

MODULE = """from ali_plugin import Dataset, Encoder, hookimpl

@hookimpl
def register_encoders(register):
    register(Encoder(name="{name}", build="{module}.nets:Net"))

@hookimpl
def register_datasets(register):
    register(Dataset(name="{name}", build="{module}.data:load"))
"""
TARGET_MS = 5.0


def install(site: Path, count: int) -> list[str]:
    """Write the distributions and return the names of their modules."""
    modules = []
    for number in range(count):
        name, module = f"bench-{number:03d}", f"bench_{number:03d}"
        (site / f"{module}.py").write_text(MODULE.format(name=name, module=module))
        info = site / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[ali_plugin]\n{name} = {module}\n")
        modules.append(module)
    return modules


def seconds(site: Path | None, *command: str) -> float:
    """Wall time of ``python COMMAND...`` with the distributions on the path."""
    path = os.pathsep.join(part for part in (str(site or ""), os.environ.get("PYTHONPATH", "")) if part)
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, *command], env={**os.environ, "PYTHONPATH": path}, check=True, stdout=subprocess.DEVNULL
    )
    return time.perf_counter() - start


def measure(count: int, rounds: int) -> dict[str, float]:
    """Median milliseconds of each process, and the growth per plugin."""
    times: dict[str, list[float]] = {"without": [], "with": [], "import_base": [], "imports": []}
    with tempfile.TemporaryDirectory() as folder:
        site = Path(folder)
        modules = install(site, count)
        listing = ("-m", "ali_cli", "list", "--json")
        base = "import ali_plugin"
        for number in range(rounds + 1):
            round_ = {
                "without": seconds(None, *listing),
                "with": seconds(site, *listing),
                "import_base": seconds(site, "-c", base),
                "imports": seconds(site, "-c", f"{base}\nimport {', '.join(modules)}"),
            }
            if number:  # the first writes byte code
                for name, value in round_.items():
                    times[name].append(value)
    median = {name: 1000 * statistics.median(values) for name, values in times.items()}
    growth = (median["with"] - median["without"]) / count
    imports = (median["imports"] - median["import_base"]) / count
    return {
        "list_without_plugins_ms": median["without"],
        "list_with_plugins_ms": median["with"],
        "growth_per_plugin_ms": growth,
        "own_import_per_plugin_ms": imports,
        "growth_apart_from_import_ms": growth - imports,
        "target_ms": TARGET_MS,
    }


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    cpu = next(
        (line.split(":", 1)[1].strip() for line in _cpuinfo() if line.startswith("model name")), platform.processor()
    )
    return {"cpu": cpu, "cores": os.cpu_count(), "system": platform.system(), "python": platform.python_version()}


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plugins", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    result = {
        "plugins": chosen.plugins,
        "rounds": chosen.rounds,
        **{name: round(value, 3) for name, value in measure(chosen.plugins, chosen.rounds).items()},
        "machine": machine(),
        "versions": {name: version(name) for name in ("ali-plugin", "pluggy", "click", "rich")},
    }
    text = json.dumps(result, indent=2) + "\n"
    if chosen.out:
        chosen.out.write_text(text)
    print(text, end="")


if __name__ == "__main__":
    main()
