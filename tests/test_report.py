"""``ali report``: a page that opens from disk in a real browser, whatever the run's folder holds."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ali_plugin.evaluation import METRICS
from ali_plugin.training import metrics
from ali_registry import InvalidRecord, Metric
from browser import Browser
from browser import browser as browser
from conftest import Ali, program
from hub.actions import download, files
from hub.fixtures import LocalHub

EVIL = "<img src=x onerror=alert(1)></script><script>alert(2)</script>"


class Page(HTMLParser):
    """Tags with their attributes, and the text between them."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of each such tag."""
        return [attributes for name, attributes in self.tags if name == tag]


def rewrite(path: Path, change: Callable[[Any], Any]) -> None:
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


def lines(*figures: dict[str, Any]) -> str:
    return "".join(json.dumps(line) + "\n" for line in figures)


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


# What it shows.


def test_a_page_in_a_browser(trained: Path, tmp_path: Path, ali: Ali, browser: Browser) -> None:
    assert ali("evaluate", trained, "--metric", "reconstruction", "--metric", "interpolation").code == 0
    out = tmp_path / "report.html"
    assert ali("report", trained, "--out", out).code == 0
    opened = browser.open(color_scheme="light", viewport={"width": 1200, "height": 800})
    page = opened.go(out)
    assert opened.said == []
    assert [url for url in opened.requests if not url.startswith("data:")] == [out.resolve().as_uri()]

    # Every picture is there and has a text for who does not see it; curves have one, too.
    shown = page.eval_on_selector_all("img", "all => all.map(i => [i.alt, i.naturalWidth])")
    assert len(shown) == 8  # two kinds at steps 10, 20 and 30, the interpolations and the traversals
    assert any(alt.startswith("8 directions of the latent space of run, one a row: ") for alt, _ in shown)
    assert all(alt and width > 100 for alt, width in shown)
    told = page.eval_on_selector_all(
        "svg", "all => all.map(s => [s.getAttribute('role'), s.getAttribute('aria-label')])"
    )
    assert [role for role, _ in told] == ["img"] * 5
    assert re.match(r"Losses of run, by step: discriminator from [\d.]+ to [\d.]+; generator from", told[0][1])
    for text in ("ali train --arch fashion", "reconstruction: mse", "squared error per element", "torch"):
        assert text in page.inner_text("main")

    # The slider moves through the steps, by keys as well, and so does the button.
    slider, step = page.get_by_label("Step of the pictures of run"), page.locator("output")
    visible = "() => [...document.querySelectorAll('.frame')].map(f => f.checkVisibility())"
    assert (step.inner_text(), page.evaluate(visible)) == ("step 30", [False, False, True])
    slider.focus()
    page.keyboard.press("ArrowLeft")
    assert (step.inner_text(), page.evaluate(visible)) == ("step 20", [False, True, False])
    page.keyboard.press("Home")
    assert (step.inner_text(), page.evaluate(visible)) == ("step 10", [True, False, False])
    assert slider.get_attribute("aria-valuetext") == "step 10"
    page.get_by_label("Play the pictures of run over time").click()
    page.locator("output", has_text="step 30").wait_for()
    assert opened.said == []

    # Light and dark, and narrow.
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(ground) != light
    page.set_viewport_size({"width": 340, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 340


def test_runs_side_by_side(trained: Path, tmp_path: Path, ali: Ali, browser: Browser) -> None:
    other = tmp_path / "other" / "run"
    command = [*program(), "-q", "train", "--arch", "fashion", "--steps", "20", "--batch-size", "20",
               "--sample-every", "10", "--lr-decay",
               "--objective", "alice", "--log-every", "2", "--device", "cpu", "--out", str(other)]  # fmt: skip
    subprocess.run(command, check=True)
    out = tmp_path / "both.html"
    assert ali("report", trained, other, "--out", out).code == 0
    opened = browser.open(viewport={"width": 1400, "height": 800})
    page = opened.go(out)
    assert opened.said == []
    assert page.inner_text("h1") == "2 runs side by side"
    # Of one name, they are told apart by their folders.
    assert page.locator("section h2").first.inner_text() == f"{trained.parent.name}/run"
    left, right = (page.locator(".timeline").nth(i).bounding_box() for i in (0, 1))
    assert left["y"] == right["y"]
    assert left["x"] < right["x"]
    rows = page.eval_on_selector_all("#model tr.differs", "all => all.map(r => r.innerText.split('\\t'))")
    assert ["objective", "ali", "alice"] in rows
    assert not any(name == "architecture" for name, *_ in rows)
    # Each has its own slider, and curves have the same axes.
    page.get_by_label("Step of the pictures of other/run").press("Home")
    assert page.locator("output").all_inner_texts() == ["step 30", "step 10"]
    axes = "all => all.slice(0, 2).map(s => [...s.querySelectorAll('text')].map(t => t.textContent).join())"
    one, two = page.eval_on_selector_all("#curves svg", axes)
    assert one == two
    # On a phone they stand one above the other.
    page.set_viewport_size({"width": 360, "height": 700})
    left, right = (page.locator(".timeline").nth(i).bounding_box() for i in (0, 1))
    assert left["y"] + left["height"] <= right["y"]
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_rates_and_held_out_errors_are_logged(tmp_path: Path, ali: Ali) -> None:
    out = tmp_path / "run"
    result = ali("-q", "train", "--steps", 4, "--batch-size", 20, "--log-every", 1, "--sample-every", 2, "--lr", 0.01,
                 "--lr-discriminator", 0.02, "--lr-decay", "--device", "cpu", "--out", out)  # fmt: skip
    assert result.code == 0, result.err
    logged = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [line["rate_generator"] for line in logged] == pytest.approx([0.01, 0.0075, 0.005, 0.0025])
    assert [line["rate_discriminator"] for line in logged] == pytest.approx([0.02, 0.015, 0.01, 0.005])
    assert ["mse_held_out" in line for line in logged] == [False, True, False, True]
    best = json.loads((out / "best" / "best.json").read_text())
    assert best == {"step": 4, "reconstruction_mse": logged[-1]["mse_held_out"]}


def test_what_a_figure_means(trained: Path, ali: Ali) -> None:
    measured = ("--metric", "reconstruction", "--metric", "interpolation")
    found = json.loads(ali("evaluate", trained, "--json", *measured).out)["metrics"]
    known = {metric.name: metric for metric in METRICS}
    assert len(found) == 2
    for name, figures in found.items():
        for figure in figures:
            assert known[name].meaning(figure), f"{name}: {figure}"
    assert "SVM on so many labels" in known["representation"].meaning("l2_svm_error_1000_deviation")
    assert "nearest neighbour, by features" in known["representation"].meaning("nearest_neighbour_accuracy_features")
    assert known["frechet"].meaning("distance (inception-1a2b)").startswith("of samples to the training data")
    assert known["reconstruction"].meaning("mses") == ""
    with pytest.raises(InvalidRecord, match=r"figures is \{'mse': 1\}"):
        Metric(name="odd", build=len, figures={"mse": 1})  # type: ignore[dict-item]


def test_a_run_in_the_plane_and_one_that_is_not_done(trained: Path, tmp_path: Path, ali: Ali) -> None:
    """Points have pictures over time and none of the latent space; a run that has not ended has no records."""
    plane = tmp_path / "plane"
    train = ("-q", "train", "--arch", "mixture", "--steps", 4, "--sample-every", 2, "--device", "cpu", "--out", plane)
    assert ali(*train).code == 0
    (trained / "training.json").unlink()
    result = ali("report", plane, trained, "--out", tmp_path / "both.html", "--json")
    assert result.code == 0, result.err
    assert json.loads(result.out)["notes"] == []
    page = Page(tmp_path / "both.html")
    assert len(page.all("img")) == 4 + 6 + 2
    assert "not drawn" in page.text
    assert "ali train --arch fashion --dataset fashion-mini" in page.text


def test_data_that_are_not_here_leave_the_interpolations_out(trained: Path, tmp_path: Path, ali: Ali) -> None:
    rewrite(trained / "train_config.json", lambda config: {**config, "dataset": "mnist", "data_dir": str(tmp_path)})
    (tmp_path / "MNIST").write_text("no folder")
    result = ali("report", trained, "--out", tmp_path / "report.html")
    assert result.code == 0, result.err
    assert "run: no interpolations: " in result.err
    page = Page(tmp_path / "report.html")
    assert "no interpolations: " in page.text
    assert "no traversals: " not in page.text


# What may stand in a run's folder.


def test_text_of_a_run_stays_text(trained: Path, tmp_path: Path, ali: Ali, browser: Browser) -> None:
    folder = trained.rename(trained.with_name(EVIL.replace("/", "")))
    figure = {
        "metric": EVIL,
        "figure": EVIL,
        "value": 1,
        "dataset": EVIL[:40],
        "split": "test",
        "protocol": EVIL,
        "seed": 0,
    }
    (folder / "evaluation.json").write_text(json.dumps([figure]))
    rewrite(folder / "training.json", lambda record: {**record, "command": EVIL, "versions": {EVIL: EVIL}})
    rewrite(folder / "train_config.json", lambda config: {**config, "dataset": EVIL})
    log = [{"step": step, EVIL: step, '" onload="alert(3)': 1.0, "a\u202eb": 1, "\ud800": 2} for step in (1, 2)]
    (folder / "metrics.jsonl").write_text(lines(*log))
    (folder / "samples" / "step-000000020-samples.png").write_bytes(EVIL.encode())
    out = tmp_path / "report.html"
    result = ali("report", folder, "--out", out)
    assert result.code == 0, result.err
    page = Page(out)
    assert len(page.all("script")) == 1
    assert all(set(image) == {"src", "width", "height", "alt"} for image in page.all("img"))
    assert all(set(drawing) == {"viewbox", "role", "aria-label"} for drawing in page.all("svg"))
    assert EVIL in page.text
    assert "\u202e" not in page.text
    assert "step-000000020-samples.png cannot be shown: its content is not PNG" in page.text
    opened = browser.open()
    assert EVIL.split(">")[0] in opened.go(out).inner_text("main")
    assert opened.said == []
    assert [url for url in opened.requests if not url.startswith("data:")] == [out.resolve().as_uri()]


@pytest.mark.slow
def test_a_large_run_makes_a_small_page(trained: Path, tmp_path: Path, ali: Ali) -> None:
    names = [f"figure_{number}" for number in range(90)]
    log = [
        {"step": step, "loss_a": 1e29 * (-1) ** step, **dict.fromkeys(names, 0.123456 * step)} for step in range(5000)
    ]
    (trained / "metrics.jsonl").write_text(lines(*log))
    noise = np.random.default_rng(0).integers(0, 255, (600, 600, 3), dtype=np.uint8)
    first = trained / "samples" / "step-000000001-samples.png"
    Image.fromarray(noise).save(first, compress_level=0)
    for step in range(101, 300):
        os.link(first, trained / "samples" / f"step-{step:09d}-samples.png")
    runs = [trained, *(shutil.copytree(trained, tmp_path / str(i), copy_function=os.link) for i in range(1))]
    out = tmp_path / "report.html"
    begun = time.monotonic()
    result = ali("report", *runs, "--out", out)
    assert result.code == 0, result.err
    assert out.stat().st_size < 5_000_000
    assert time.monotonic() - begun < 60
    steps = [tag["data-step"] for tag in Page(out).all("div") if "data-step" in tag]
    assert steps[0] == "step 1"
    assert steps[-1] == "step 299"
    assert len(steps) == 32


@pytest.mark.parametrize(
    ("content", "kept"),
    [
        ('{"step": 1, "x": 2}\n{"step": 2, "x": NaN}\n{"step": 3, "x', [{"step": 1, "x": 2}, {"step": 2}]),
        ('{"step": 1, "x": 1e999, "y": 1' + "0" * 400 + ', "z": "2", "a": true, "b": null}\n', [{"step": 1}]),
        ('[]\n\n\0\n{"step": 5}\n{"step": 4}\n{"step": 6, "": 1}\n', [{"step": 5}, {"step": 6, "": 1}]),
    ],
)  # fmt: skip
def test_damaged_figures(content: str, kept: list[dict[str, float]], trained: Path, tmp_path: Path, ali: Ali) -> None:
    (trained / "metrics.jsonl").write_text(content)
    assert metrics.read(trained / "metrics.jsonl", 10) == kept
    result = ali("report", trained, "--out", tmp_path / "report.html")
    assert result.code == 0, result.err


def test_many_lines_are_thinned_evenly(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    for count, kept in ((7, [0, 1, 2, 3, 4, 5, 6]), (8, [0, 2, 4, 6, 7]), (21, [0, 4, 8, 12, 16, 20])):
        path.write_text(lines(*({"step": step} for step in range(count))))
        assert [line["step"] for line in metrics.read(path, 8)] == kept


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda run: (run / "metrics.jsonl").unlink(), "metrics.jsonl has no figures, which a run writes as it trains"),
        (lambda run: (run / "metrics.jsonl").write_text("\n"), "metrics.jsonl has no figures"),
        (lambda run: pipe(run / "metrics.jsonl"), "has no figures"),
        (lambda run: ((run / "metrics.jsonl").unlink(), (run / "metrics.jsonl").mkdir()), "has no figures"),
        (lambda run: (run / "train_config.json").unlink(), "is no run, it has no train_config.json; name a folder"),
        (lambda run: (run / "config.json").unlink(), "config.json cannot be read"),
        (lambda run: (run / "evaluation.json").write_text("{}"), "is no list of figures of this version"),
    ],
)
def test_what_is_no_run_is_one_line(
    spoil: Callable[[Path], object], reason: str, trained: Path, tmp_path: Path, ali: Ali
) -> None:
    spoil(trained)
    result = ali("report", trained, "--out", tmp_path / "report.html")
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert reason in result.err
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["runs/none", "--out", "x.html"], "'runs/none' is no run"),
        (["alice/model", "--out", "x.html"], "'alice/model' is no run"),
        (["x"] * 9 + ["--out", "x.html"], "9 runs are too many for one page; name at most 8"),
        (["x", "--out", "x.png"], "has to end in .html"),
        (["--out", "x.html"], "Missing argument 'RUN...'"),
        (["", "--out", "x.html"], "name a file or a folder"),
    ],
)
def test_bad_arguments(arguments: list[str], reason: str, ali: Ali) -> None:
    result = ali("report", *arguments)
    assert result.code in (1, 2)
    assert reason in result.err
    assert result.err.count("\n") == 1


# On the Hub.


@pytest.mark.slow
def test_a_report_goes_with_a_push_and_not_with_a_pull(trained: Path, hub: LocalHub, tmp_path: Path) -> None:
    env = hub.env(tmp_path / "home", hub.writer.token)

    def run(*arguments: object) -> str:
        done = subprocess.run([*program(), *map(str, arguments)], env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    planned = json.loads(run("push", trained, "alice/model", "--report", "--dry-run", "--json"))
    assert hub.log() == []
    sent = json.loads(run("push", trained, "alice/model", "--report", "--json"))
    assert sent["files"].keys() == planned["files"].keys()
    client = hub.client(tmp_path, hub.reader.token)
    page = client(download, "alice/model", "ali-report.html")
    assert len(page) == sent["files"]["ali-report.html"]
    assert b"ali train --arch fashion" in page
    run("pull", "alice/model", "--out", tmp_path / "pulled")
    assert not (tmp_path / "pulled" / "ali-report.html").exists()
    run("push", trained, "alice/model")
    assert "ali-report.html" not in client(files, "alice/model")
