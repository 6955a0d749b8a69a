"""Write docs/results.md: ``python docs/make_results.py``, or ``--check``.

First what to expect, from the records of the released models; then the files of ``ali experiment`` in
benchmarks/results, the paper's before the ablations, each with its picture ``docs/images/results-NAME.png`` and a
person's remarks, ``benchmarks/results/NAME.md``, where there are any.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS, PAGE, IMAGES = ROOT / "benchmarks" / "results", ROOT / "docs" / "results.md", "images"
RELEASED = ROOT / "model_cards" / "released"
ORDER = ("same-nets", "representation", "semi-supervised", "conditional", "mixture", "modes", "anomaly", "games")
EXPECTED = {
    "squared error": "mse",
    "nearest neighbour of codes": "nearest_neighbour_accuracy",
    "of raw pixels": "nearest_neighbour_accuracy_raw",
    "of PCA": "nearest_neighbour_accuracy_pca",
    "Fréchet distance": "distance",
    "of real pictures": "floor",
    "recall": "recall",
}
"""Columns of the released models, and the figures of their records."""

INTRODUCTION = """# Results

Made by `python docs/make_results.py` from the records of the released models and the files in `benchmarks/results`; not
edited by hand. What the figures mean is in [evaluation.md](evaluation.md).
"""

OF_EXPERIMENTS = """# The experiments

Every table gives the command that made it, and the steps and seconds of each training. These runs had one or two CPU
cores and minutes where the recipes take hours: they show where the models stand after the same time, not how far they
get. Without `--steps` and `--minutes` the same commands run longer, the mixture for the published length; they take a
GPU where there is one.
"""


def page() -> str:
    """The whole page."""
    found = [(path.stem, json.loads(path.read_text())) for path in RESULTS.glob("*.json")]
    found.sort(key=lambda one: (ORDER.index(one[0]) if one[0] in ORDER else len(ORDER), one[0]))
    sections = [section(name, result) for name, result in found if "experiment" in result]
    parts = [expected(), [OF_EXPERIMENTS], *sections]
    return "\n".join([INTRODUCTION, *("\n".join(lines) for lines in parts)])


def expected() -> Iterator[str]:
    """What the models are like that come with the package; a test compares their records with ``ali evaluate``."""
    yield "# What to expect"
    yield ""
    yield "The released models (`ali list model`), each by its recipe in this package, one seed:"
    yield ""
    folders = sorted(path.parent for path in RELEASED.glob("*/evaluation.json"))
    yield from table(["model", *EXPECTED, "trained on"], map(_expected_row, folders))
    for folder in folders:
        for name in ("samples", "reconstructions"):
            yield f"![{name} of {folder.name}](../model_cards/released/{folder.name}/{name}.png)"
        yield ""


def _expected_row(folder: Path) -> Iterator[str]:
    measured = json.loads((folder / "evaluation.json").read_text())
    figures = {line["figure"].partition(" ")[0]: line["value"] for line in measured}
    training = json.loads((folder / "training.json").read_text())
    hardware = training["hardware"]
    yield f"`{folder.name}`"
    yield from (shown(figures.get(figure)) for figure in EXPECTED.values())
    yield (f"{training['dataset']}, {training['seconds'] / 60:.1f} minutes of {hardware['threads']} of "
           f"{hardware['cores']} cores")  # fmt: skip


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
