"""Write docs/results.md from benchmarks/results/*.json: ``python docs/make_results.py``, or ``--check``.

Only files of ``ali experiment`` are shown, each with its picture ``docs/images/results-NAME.png`` and a person's
remarks, ``benchmarks/results/NAME.md``, where there are any.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS, PAGE, IMAGES = ROOT / "benchmarks" / "results", ROOT / "docs" / "results.md", "images"

INTRODUCTION = """# Results of the experiments

Made by `python docs/make_results.py` from the files in `benchmarks/results`; not edited by hand. What the
figures mean is in [evaluation.md](evaluation.md).

Every table gives the command that made it, and the steps and seconds of each training. These runs had one or two CPU
cores and minutes where the recipes take hours: they show where the models stand after the same time, not how far they
get. Without `--steps` and `--minutes` the same commands run longer, the mixture for the published length; they take a
GPU where there is one.
"""


def page() -> str:
    """The whole page."""
    found = [(path.stem, json.loads(path.read_text())) for path in sorted(RESULTS.glob("*.json"))]
    sections = [section(name, result) for name, result in found if "experiment" in result]
    return "\n".join([INTRODUCTION, *("\n".join(lines) for lines in sections)])


def section(name: str, result: dict[str, Any]) -> Iterator[str]:
    """An experiment: how it was run, our figures, the published ones."""
    hardware, versions = result["hardware"], result["versions"]
    yield f"## {name}"
    yield ""
    yield f"`{result['command']}`"
    yield ""
    where = (
        hardware.get("accelerator") or f"{hardware['processor']}, {hardware['threads']} of {hardware['cores']} cores"
    )
    kept = ", ".join(f"{package} {version}" for package, version in versions.items())
    yield f"Seed {result['seed']}, {result['seconds'] / 60:.0f} minutes in all, {where}; {kept}."
    yield ""
    head, *lines = figures(result["rows"])
    yield from table(head, lines)
    yield from (f"- {note}" for note in result["notes"])
    yield ""
    remarks = RESULTS / f"{name}.md"
    if remarks.exists():
        yield remarks.read_text()
    yield "Published:"
    yield ""
    yield from table(["what", "figure", "source"], (line.values() for line in result["published"]))
    if (PAGE.parent / IMAGES / f"results-{name}.png").exists():
        yield f"![{name}]({IMAGES}/results-{name}.png)"
        yield ""


def figures(rows: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    """The lines of a table of figures, its head first; the longer side goes down the page."""
    names = list(dict.fromkeys(figure for row in rows for figure in row["figures"]))
    lines = [(row["name"], *(shown(row["figures"].get(name)) for name in names)) for row in rows]
    down = len(rows) > len(names)
    return [("", *names), *lines] if down else list(zip(("figure", *names), *lines, strict=True))


def table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """A table in Markdown."""
    head = list(columns)
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""


def shown(value: float | None) -> str:
    """Four digits; nothing where a figure was not measured."""
    return "" if value is None else f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def main() -> None:
    made = page()
    if "--check" not in sys.argv:
        PAGE.write_text(made)
    elif not PAGE.exists() or PAGE.read_text() != made:
        sys.exit(f"{PAGE.name} is stale; run `python docs/make_results.py`")


if __name__ == "__main__":
    main()
