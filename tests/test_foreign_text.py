"""Text that is not ours commands no terminal: no escapes, no markup, no forged lines, nothing without end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tiny
from ali_plugin import ALIError, Command, Dataset, Metric, Objective, hookimpl
from ali_plugin.datasets.split import DataSplit
from ali_plugin.folder import evaluation_record as record
from ali_plugin.folder.evaluation_record import Figure
from ali_plugin.folder.training_record import TrainingRecord
from ali_plugin.support.strict_json import parse
from ali_plugin.training.callbacks import Callback as Watcher
from ali_registry import Callback, default_registry
from ali_registry.text import paragraphs, printable
from conftest import Ali, Result

HOSTILE = [
    "[/x]", "[red]no[/red]", "[link=file:///etc/passwd]x[/link]", "\x1b[31mred\x1b[0m", "\x1b]0;title\x07",
    "a\nerror: forged",
    "a\rerror: forged", "\x9b2J", "\u202egnp.exe", "\u2028error: forged", "\udc80\udcff", "y" * 90_000, ":smile:",
    "\x00",
]  # fmt: skip


def harmless(result: Result) -> None:
    shown = result.out + result.err
    assert "this is a bug" not in shown
    assert not [c for c in set(shown) if c not in "\n\t" and printable(c, 10) != c and c != " "], result
    assert not [line for line in shown.splitlines()[1:] if line.startswith("error:")]
    assert len(result.err) < 2100
    assert max(map(len, shown.splitlines()), default=0) < 2200


Plug = Callable[..., None]


@pytest.fixture
def plug() -> Iterator[Plug]:
    """Registers records for the test, each by a plugin called ``odd``."""
    added: list[object] = []

    def add(**hooks: list[Any]) -> None:
        def implementation(records: list[Any]) -> Any:
            @hookimpl
            def hook(register: Callable[[Any], None]) -> None:
                for one in records:
                    register(one)

            return hook

        plugin = SimpleNamespace(__name__="odd", **{hook: implementation(records) for hook, records in hooks.items()})
        added.append(plugin)
        default_registry().add(plugin)

    yield add
    for plugin in added:
        default_registry().remove(plugin)


# --- The door --------------------------------------------------------------------------------------


@given(st.text(st.characters()), st.integers(10, 300))
def test_printable_is_one_bounded_line_that_any_terminal_takes(text: str, longest: int) -> None:
    shown = printable(text, longest)
    assert len(shown) <= longest
    assert len(shown.splitlines()) <= 1
    shown.encode()
    assert printable(shown, longest) == shown


@given(st.text(st.characters()))
def test_paragraphs_keep_lines_and_nothing_that_a_terminal_obeys(text: str) -> None:
    shown = paragraphs(text)
    shown.encode()
    assert "".join(shown.split("\n")).replace("\t", "").isprintable() or not shown.isascii()
    assert shown.count("\n") == text.count("\n")
    assert not set("\x1b\r\x07\x9b\u202e\u2028") & set(shown)


# --- Commands --------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", HOSTILE)
def test_what_a_plugin_says_of_itself(text: str, plug: Plug, ali: Ali) -> None:
    summary = text.replace("\n", " ")
    built = click.Command("say", callback=lambda: click.echo("said"), help=f"Help {text}", epilog=text,
                          params=[click.Option(["--x"], help=text)])  # fmt: skip
    plug(
        register_commands=[Command(name="say", summary=summary, build=lambda: built)],
        register_datasets=[Dataset(name="odd", summary=summary, licence=text, hub_id=text, build=lambda **_: None)],
    )
    default_registry().plugins[-1].error = text
    for words in (["list"], ["list", "dataset"], ["show", "odd"], ["plugins"], ["--help"], ["say", "--help"]):
        result = ali(*words)
        assert result.code == 0, result
        harmless(Result(0, result.out.replace(text, "") if words[0] == "say" else result.out, result.err[:2000]))
        assert "\x1b" not in result.out
    for words in (["list", "--json"], ["show", "odd", "--json"], ["plugins", "--json"]):
        shown = ali(*words).out
        assert shown.isascii()
        json.loads(shown)


@pytest.mark.parametrize("text", HOSTILE)
def test_arguments_in_errors(text: str, ali: Ali, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for words in (
        ["show", text], ["list", text], [text], ["sample", text, "--out", "x.png"], ["train", "--arch", text],
        ["train", "--dataset", text, "--dry-run"], ["new-plugin", text], ["sample", "m", "--out", text],
        ["pull", text, "--out", "m"], ["experiment", text], ["train", f"--{text}"], ["sample", "-n", text, "m"],
    ):  # fmt: skip
        result = ali(*words)
        assert result.code in (1, 2), result
        assert (result.err.startswith("error: "), result.err.count("\n")) == (True, 1), result.err[:500]
        harmless(result)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", HOSTILE)
def test_a_card_from_elsewhere(text: str, untrained: Path, ali: Ali) -> None:
    ali("card", untrained, "--write")
    card = (untrained / "README.md").read_text()
    (untrained / "README.md").write_text(f"{card}\nMine: {text}\n".encode(errors="replace").decode())
    result = ali("card", untrained)
    harmless(Result(result.code, result.out.replace("y" * 1000, "").replace("error: forged", ""), result.err))
    json.loads(ali("card", untrained, "--json").out)


@pytest.mark.parametrize("text", HOSTILE[:-2])
def test_names_of_conditions(text: str, untrained: Path, ali: Ali, tmp_path: Path) -> None:
    config = json.loads((untrained / "config.json").read_text())
    (untrained / "config.json").write_text(json.dumps({**config, "condition_names": [text], "condition_size": 1}))
    for words in (["card", untrained], ["sample", untrained, "--condition", "no", "--out", tmp_path / "x.png"],
                  ["evaluate", untrained]):  # fmt: skip
        harmless(Result(0, "", ali(*words).err))


def test_warnings_are_a_line_each(ali: Ali, monkeypatch: pytest.MonkeyPatch) -> None:
    import warnings

    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    monkeypatch.setattr("ali_cli.commands.list_.print_table", lambda *_: warnings.warn("\x1b[2Ja\nb", stacklevel=1))
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        from ali_cli import terminal

        terminal.prepare()
        assert ali("list").code == 0


def test_json_has_no_word_for_infinity(plug: Plug, untrained: Path, ali: Ali) -> None:
    figures = {"nan": float("nan"), "inf": float("inf"), "one": np.float32(1), "two": torch.tensor(2)}
    plug(register_metrics=[Metric(name="odd", build=lambda _: figures)])
    shown = json.loads(ali("evaluate", untrained, "--metric", "odd", "--json").out)
    assert shown["metrics"]["odd"] == {"nan": None, "inf": None, "one": 1.0, "two": 2.0}
    assert [figure.figure for figure in record.read(untrained)] == ["one", "two"]


# --- Plugins that raise, or give nonsense ----------------------------------------------------------


class Mute(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


def raising(error: BaseException) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


ERRORS = [ValueError("a\nb\x1b[31m"), KeyError("[/x]"), SystemExit(3), SystemExit("x"), GeneratorExit(), Mute(),
          MemoryError(), RecursionError("deep"), EOFError(), OSError(28, "No space left on device"),
          BrokenPipeError(32, "Broken pipe"), StopIteration(), BaseException("base")]  # fmt: skip


def named(result: Result) -> None:
    assert result.code == 1, result
    assert result.err.startswith("error: ")
    assert result.err.count("\n") == 1
    assert "plugin 'odd'" in result.err or "not enough memory" in result.err
    harmless(result)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_plugins_that_raise_are_named(
    error: BaseException, plug: Plug, untrained: Path, tmp_path: Path, ali: Ali
) -> None:
    fail = raising(error)
    plug(
        register_metrics=[Metric(name="odd", build=fail)],
        register_datasets=[Dataset(name="odd", build=fail)],
        register_callbacks=[Callback(name="odd", build=fail)],
        register_commands=[Command(name="unbuilt", build=fail)],
    )
    train = ("train", "--steps", "1", "--out", tmp_path / "run", "--device", "cpu")
    named(ali("evaluate", untrained, "--metric", "odd"))
    named(ali("evaluate", untrained, "--dataset", "odd"))
    named(ali("reconstruct", untrained, "--dataset", "odd", "--out", tmp_path / "x.png"))
    named(ali(*train, "--dataset", "odd"))
    named(ali(*train, "--callback", "odd"))
    named(ali("unbuilt"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "error",
    [error for error in ERRORS if isinstance(error, Exception) and not isinstance(error, BrokenPipeError)],
    ids=lambda error: type(error).__name__,
)
def test_commands_that_raise_are_named(error: BaseException, plug: Plug, ali: Ali) -> None:
    plug(register_commands=[Command(name="odd", build=lambda: click.Command("odd", callback=raising(error)))])
    named(ali("odd"))


class Nonsense:
    def __float__(self) -> float:
        raise RuntimeError("no number")


FIGURES = [
    None, 1.0, [("a", 1.0)], {1: 1.0}, {"a\nb": 1.0}, {"\x1b[31m": 1.0}, {"k" * 5000: 1.0}, {"a": "x"}, {"a": None},
    {"a": torch.ones(2)}, {"a": Nonsense()}, {"a": 10**400}, {"a": {"b": 1.0}}, {"": 1j},
]  # fmt: skip


@pytest.mark.parametrize("figures", FIGURES, ids=lambda figures: str(figures)[:20])
def test_metrics_that_return_nonsense(figures: object, plug: Plug, untrained: Path, ali: Ali) -> None:
    plug(register_metrics=[Metric(name="odd", build=lambda _: figures)])
    result = ali("evaluate", untrained, "--metric", "odd")
    assert (result.code, result.err.count("\n"), "odd" in result.err or "figures" in result.err) == (1, 1, True)
    harmless(Result(1, "", result.err))
    assert not (untrained / "evaluation.json").exists()


def test_more_figures_than_a_record_takes(plug: Plug, untrained: Path, ali: Ali) -> None:
    many = {f"{i:090}": 1.0 for i in range(6000)}
    plug(register_metrics=[Metric(name="odd", build=lambda _: many)])
    result = ali("evaluate", untrained, "--metric", "odd", "--json")  # a table of them takes seconds to lay out
    assert (result.code, result.err.count("\n"), "6000 figures are too many" in result.err) == (1, 1, True)
    assert not (untrained / "evaluation.json").exists()


def split_of(data: Any, labels: Any = None, classes: Any = ()) -> Callable[..., Any]:
    return lambda **_: DataSplit(data, labels, classes)


PICTURES = np.zeros((20, 1, 28, 28), np.uint8)
SPLITS: dict[str, Callable[..., Any]] = {
    "none": lambda **_: None,
    "a list": split_of([1, 2]),
    "float64": split_of(PICTURES.astype(np.float64)),
    "objects": split_of(PICTURES.astype(object)),
    "no samples": split_of(PICTURES[:0]),
    "another shape": split_of(PICTURES[:, :, :5]),
    "a number": split_of(np.zeros((), np.uint8)),
    "NaN": split_of(np.full(PICTURES.shape, np.nan, np.float32)),
    "infinite": split_of(np.full(PICTURES.shape, np.inf, np.float32)),
    "too few labels": split_of(PICTURES, np.zeros(3, np.int64)),
}


@pytest.mark.parametrize("kind", SPLITS)
def test_datasets_that_give_nonsense(kind: str, plug: Plug, untrained: Path, tmp_path: Path, ali: Ali) -> None:
    plug(register_datasets=[Dataset(name="odd", build=SPLITS[kind])])
    given = ["--dataset", "odd"]
    for words in (["evaluate", untrained, *given], ["encode", untrained, *given, "--out", "x.safetensors"],
                  ["train", *given, "--steps", "1", "--out", tmp_path / "run"]):  # fmt: skip
        result = ali(*words)
        assert (result.code, result.err.count("\n"), "'odd'" in result.err) == (1, 1, True), result.err
        harmless(result)
    assert not list(tmp_path.iterdir())


class Noisy(Watcher):
    def on_start(self, trainer: Any) -> None:
        raise Mute


def test_callbacks_that_raise_or_are_none(plug: Plug, tiny_registered: None, tmp_path: Path, ali: Ali) -> None:
    plug(
        register_callbacks=[
            Callback(name="noisy", build=Noisy),
            Callback(name="none", build=lambda: None),
        ]
    )
    for name in ("noisy", "none"):
        words = ["-q", "train", "--arch", "tiny", "--steps", "1", "--device", "cpu", "--out", tmp_path / name]
        result = ali(*words, "--callback", name)
        assert (result.code, result.err.count("\n")) == (1, 1), result.err
        harmless(result)


class Odd(tiny.HalvedGame):
    figures: object = None

    def gradients(self, batch: Any) -> Any:
        super().gradients(batch)
        return self.figures() if callable(self.figures) else self.figures


OBJECTIVES: dict[str, Callable[..., Any]] = {
    "raises when built": raising(Mute()),
    "is none": lambda model: None,
    "raises": type("Raises", (Odd,), {"figures": staticmethod(raising(SystemExit(3)))}),
    "no mapping": type("NoMapping", (Odd,), {"figures": [1]}),
    "no tensors": type("NoTensors", (Odd,), {"figures": {"a": 1.0}}),
    "wide": type("Wide", (Odd,), {"figures": {"a": torch.ones(3), "b": torch.ones(2)}}),
}


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_objectives_that_raise_or_give_nonsense(
    kind: str, plug: Plug, tiny_registered: None, tmp_path: Path, ali: Ali
) -> None:
    plug(register_objectives=[Objective(name="odd", build=OBJECTIVES[kind])])
    words = ["-q", "train", "--arch", "tiny", "--steps", "2", "--device", "cpu", "--out", tmp_path / "run"]
    named(ali(*words, "--objective", "odd"))


# --- Records ---------------------------------------------------------------------------------------

BOUNDED = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
LEAF = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8)
JSON = st.recursive(
    LEAF,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(), max_size=5), inner),
)  # fmt: skip
FIGURE = st.fixed_dictionaries(
    {key: LEAF | st.just("reconstruction") for key in ("metric", "figure", "dataset", "split", "protocol")}
    | {"value": LEAF | st.floats(0, 1), "seed": LEAF | st.integers(0, 9)}
)
TRAINING = st.fixed_dictionaries(
    {key: LEAF | st.just("fashion-mini") for key in ("command", "dataset")}
    | {key: LEAF | st.integers(0, 9) for key in ("seed", "steps", "planned", "seconds")}
    | {key: LEAF | st.dictionaries(st.text(max_size=3), LEAF, max_size=2) for key in ("versions", "hardware")}
)


@BOUNDED
@given(st.lists(FIGURE, max_size=3) | JSON | st.binary(max_size=40))
def test_any_evaluation_record_is_read_or_refused(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "evaluation.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    try:
        figures = record.read(tmp_path)
    except ALIError:
        return
    record.keep(tmp_path, figures)  # what can be read can be written
    assert sorted(map(repr, record.read(tmp_path))) == sorted(map(repr, dict.fromkeys(figures)))


@BOUNDED
@given(TRAINING | JSON | st.binary(max_size=40))
def test_any_training_record_is_read_or_refused(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "training.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    try:
        found = TrainingRecord.from_folder(tmp_path)
    except ALIError:
        return
    assert found is not None
    json.dumps(found.__dict__, ensure_ascii=False, allow_nan=False).encode()


@BOUNDED
@given(st.lists(st.builds(Figure, *[st.text(st.characters(), max_size=6)] * 2, st.floats(),
                          *[st.text(st.characters(), max_size=6)] * 3, st.integers()), max_size=3))  # fmt: skip
def test_what_is_kept_can_be_read(tmp_path: Path, figures: list[Figure]) -> None:
    (tmp_path / "evaluation.json").unlink(missing_ok=True)
    try:
        record.keep(tmp_path, figures)
    except ALIError:
        assert not (tmp_path / "evaluation.json").exists()
    else:
        record.read(tmp_path)


@given(JSON)
def test_what_the_strict_reader_takes_can_be_written_as_text(value: Any) -> None:
    try:
        found = parse(json.dumps(value), "x")
    except ALIError:
        return
    json.dumps(found, ensure_ascii=False, allow_nan=False).encode()
