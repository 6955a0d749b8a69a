"""Ordinary circumstances, command by command: each ends in one line of ours, and leaves nothing half written."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ali_plugin.errors import FolderError
from ali_plugin.support import atomic, locks
from conftest import Ali, Result, program
from several import each

SMALL = 4096  # bytes that a file may have where the disk is full


@pytest.fixture(autouse=True)
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refused(result: Result) -> str:
    """The one line of an error that is ours."""
    assert result.code in (1, 2), result
    assert result.err.startswith("error: "), result.err
    assert result.err.count("\n") == 1, result.err
    assert "this is a bug" not in result.err
    assert "Traceback" not in result.err
    assert len(result.err) < 2100
    return result.err


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


# --- What is written -------------------------------------------------------------------------------

FILES: dict[str, list[str]] = {
    "sample.png": ["sample", "MODEL", "-n", "64", "--out", "OUT.png"],
    "sample.safetensors": ["sample", "MODEL", "-n", "9", "--out", "OUT.safetensors"],
    "reconstruct.png": ["reconstruct", "MODEL", "-n", "30", "--out", "OUT.png"],
    "reconstruct.safetensors": ["reconstruct", "MODEL", "-n", "4", "--out", "OUT.safetensors"],
    "interpolate": ["interpolate", "MODEL", "--rows", "4", "--out", "OUT.png"],
    "encode": ["encode", "MODEL", "--out", "OUT.safetensors"],
}
FOLDERS: dict[str, list[str]] = {
    "export": ["export", "MODEL", "--out", "OUT"],
    "export diffusers": ["export", "MODEL", "--format", "diffusers", "--out", "OUT"],
    "new-plugin": ["new-plugin", "my-nets", "--out", "OUT"],
    "experiment": ["experiment", "mixture", "--quick", "--out", "OUT"],
    "pull": ["pull", "me/model", "--out", "OUT"],
    "train": ["train", "--steps", "1", "--device", "cpu", "--out", "OUT"],
}


def folder_there(out: Path) -> None:
    out.mkdir()
    (out / "mine.txt").write_text("mine")


def a_file(place: Path) -> None:
    place.write_text("x")


def below_a_file(out: Path) -> None:
    out.parent.write_text("a file")


def pipe(out: Path) -> None:
    os.mkfifo(out)


def circle_of_links(out: Path) -> None:
    out.symlink_to(out)


def read_only(out: Path) -> None:
    out.write_text("mine")
    out.chmod(0o444)


PLACES: dict[str, tuple[str, Callable[[Path], None] | None]] = {
    "a folder": ("out", folder_there),
    "below a file": ("file/out", below_a_file),
    "far below a file": ("file/a/b/out", lambda out: below_a_file(out.parent.parent)),
    "a pipe": ("out", pipe),
    "too long": ("x" * 300, None),
    "a long path": ("/".join(["x" * 200] * 30), None),
    "NUL": ("a\0b", None),
    "proc": ("/proc/self/out", None),
}


def arguments(words: list[str], model: Path, out: str) -> list[str]:
    return [word.replace("OUT", out).replace("MODEL", str(model)) for word in words]


@pytest.mark.parametrize("command", FILES)
@pytest.mark.parametrize("place", [*PLACES, "read-only"])
def test_files_that_cannot_be_written(command: str, place: str, untrained: Path, tmp_path: Path, ali: Ali) -> None:
    name, prepare = PLACES.get(place, ("out", read_only))
    words = arguments(FILES[command], untrained, name)
    if prepare is not None:
        prepare(tmp_path / words[-1])
    before = tree(tmp_path)
    refused(ali(*words))
    assert tree(tmp_path) == before


@pytest.mark.parametrize("command", FOLDERS)
@pytest.mark.parametrize("place", [*PLACES, "a circle of links"])
def test_folders_that_cannot_be_written(command: str, place: str, untrained: Path, tmp_path: Path, ali: Ali,
                                        monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    name, prepare = PLACES.get(place, ("out", circle_of_links))
    if prepare is not None:
        prepare(tmp_path / name)
    before = tree(tmp_path)
    refused(ali(*arguments(FOLDERS[command], untrained, name)))
    assert tree(tmp_path) == before


@pytest.mark.parametrize("command", [*FILES, *FOLDERS, "bench"])
def test_an_empty_name_to_write(command: str, untrained: Path, tmp_path: Path, ali: Ali) -> None:
    words = arguments({**FILES, **FOLDERS, "bench": ["bench", "--out", "OUT"]}[command], untrained, "")
    words[-1] = ""
    assert "is ''" in refused(ali(*words))
    assert tree(tmp_path) == []


@pytest.fixture
def full_disk() -> Iterator[None]:
    """A file may not grow beyond a few KiB, as where a quota is used up."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SMALL, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


LARGE = {**FILES, "export": FOLDERS["export"], "export diffusers": FOLDERS["export diffusers"]}


@pytest.mark.parametrize("command", LARGE)
def test_a_quota_that_is_used_up(command: str, untrained: Path, tmp_path: Path, ali: Ali, full_disk: None) -> None:
    assert "too large" in refused(ali(*arguments(LARGE[command], untrained, "out")))
    assert tree(tmp_path) == []


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a file system")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("command", [*LARGE, "new-plugin"])
def test_a_full_disk(command: str, untrained: Path, tiny_disk: Path, ali: Ali) -> None:
    words = {**LARGE, **FOLDERS}[command]
    assert "No space left" in refused(ali(*arguments(words, untrained, str(tiny_disk / "out"))))
    assert tree(tiny_disk) == []


@pytest.mark.parametrize("command", [*FILES, *FOLDERS])
def test_a_read_only_file_system(command: str, untrained: Path, tiny_disk: Path, ali: Ali,
                                 monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    subprocess.run(["mount", "-o", "remount,ro", str(tiny_disk)], check=True)
    refused(ali(*arguments({**FILES, **FOLDERS}[command], untrained, str(tiny_disk / "out"))))
    assert tree(tiny_disk) == []


@pytest.mark.parametrize("command", [["card", "MODEL", "--write"], ["evaluate", "MODEL", "--metric", "reconstruction"]])
def test_a_model_on_a_full_disk(command: list[str], untrained: Path, ali: Ali) -> None:
    before = tree(untrained)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        refused(ali(*arguments(command, untrained, "")))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [name for name in tree(untrained) if name != locks.NAME] == before


@pytest.mark.parametrize("reason", [errno.EINVAL, errno.ENOTSUP, errno.EPERM, errno.ENOSYS])
def test_folders_that_cannot_be_synced_or_chmodded(reason: int, untrained: Path, tmp_path: Path, ali: Ali,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    def refuse(*_: object, **__: object) -> None:
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr(os, "fsync", refuse)
    monkeypatch.setattr(os, "chmod", refuse)
    monkeypatch.setattr(Path, "chmod", refuse)
    for _ in range(2):  # the second replaces a file with a mode
        assert ali("sample", untrained, "-n", "1", "--out", "x.png").code == 0
    assert ali("export", untrained, "--out", "exported").code == 0
    assert ali("card", "exported", "--write").code == 0


def test_a_sync_that_fails_for_want_of_space_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x").write_text("old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FolderError, match="No space left"):
        atomic.write(tmp_path / "x", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert (tmp_path / "x").read_text() == "old"


# --- What is read ----------------------------------------------------------------------------------

READERS: dict[str, list[str]] = {
    "sample": ["sample", "MODEL", "--out", "x.png"],
    "reconstruct": ["reconstruct", "MODEL", "--out", "x.png"],
    "interpolate": ["interpolate", "MODEL", "--out", "x.png"],
    "encode": ["encode", "MODEL", "--out", "x.safetensors"],
    "evaluate": ["evaluate", "MODEL"],
    "export": ["export", "MODEL", "--out", "exported"],
    "card": ["card", "MODEL"],
    "card --write": ["card", "MODEL", "--write"],
    "push": ["push", "MODEL", "me/model", "--dry-run"],
}


def empty_folder(place: Path) -> None:
    place.mkdir()


def config_is(make: Callable[[Path], None]) -> Callable[[Path], None]:
    def prepare(place: Path) -> None:
        place.mkdir()
        make(place / "config.json")

    return prepare


MODELS: dict[str, tuple[str, Callable[[Path], None] | None]] = {
    "empty": ("", None),
    "missing": ("nowhere", None),
    "NUL": ("a\0b", None),
    "too long": ("x" * 300, None),
    "a long path": ("/".join(["x" * 200] * 30), None),
    "no UTF-8": ("caf\udce9", None),
    "home of nobody": ("~nobody-of-that-name/x", None),
    "a file": ("m", a_file),
    "a pipe": ("m", pipe),
    "a circle of links": ("m", circle_of_links),
    "an empty folder": ("m", empty_folder),
    "an empty folder of no UTF-8": ("caf\udce9", empty_folder),
    "a config that is a folder": ("m", config_is(empty_folder)),
    "a config that is a pipe": ("m", config_is(pipe)),
    "a config that is a circle": ("m", config_is(circle_of_links)),
    "a device": ("/dev/zero", None),
    "escapes": ("\x1b[31m\nerror: forged", None),
    "markup": ("[/x]", None),
    "900 kB": ("y" * 900_000, None),
}


@pytest.mark.parametrize("command", READERS)
@pytest.mark.parametrize("kind", MODELS)
def test_models_that_are_none(command: str, kind: str, tmp_path: Path, ali: Ali) -> None:
    name, prepare = MODELS[kind]
    if prepare is not None:
        prepare(tmp_path / name)
    before = tree(tmp_path)
    refused(ali(*(name if word == "MODEL" else word for word in READERS[command])))
    assert tree(tmp_path) == before


@pytest.mark.parametrize("name", ["caf\udce9", "[/x]", "[red]x", "a\nb", "\x1b[2J", "~x", "x" * 200])
def test_odd_names_are_names(name: str, untrained: Path, tmp_path: Path, ali: Ali) -> None:
    """A model may lie below such a name, and what is made of it may have one."""
    untrained = Path(shutil.copytree(untrained, tmp_path / name))
    results = [
        ali("sample", f"./{name}", "-n", "1", "--out", f"./{name}.png"),
        ali("encode", f"./{name}", f"./{name}.png", "--out", f"./{name}.safetensors"),
        ali("export", f"./{name}", "--out", f"./e{name}"),
        ali("card", f"./{name}", "--write"),
        ali("evaluate", f"./{name}", "--metric", "reconstruction"),
        ali("push", f"./{name}", "me/model", "--dry-run"),
        ali("new-plugin", "my-nets", "--out", f"./p{name}"),
    ]
    for result in results:
        if "UTF-8" in result.err:  # which is all that safetensors opens
            refused(result)
            continue
        assert result.code == 0, result.err
        assert not {"\x1b", "\udce9"} & set(result.out + result.err)
    assert name == "caf\udce9" or (tmp_path / f"{name}.safetensors").stat().st_size > 0


SHAPES = [
    "null", "true", "1", '"text"', "[]", "{}", "[null]", "[[]]", "[{}]", "{", "", "NaN", "[1e999]", '{"a": NaN}',
    '{"a": 1, "a": 2}', "[" * 5000, '"\\ud800"', "[" + "1," * 200_000 + "1]", "1" * 5000, "\x00", "\ufeff{}",
]  # fmt: skip
FIGURE = {"metric": "reconstruction", "figure": "mse", "value": 0.5, "dataset": "fashion-mini", "split": "test",
          "protocol": "how", "seed": 0}  # fmt: skip
TRAINING = {"command": "ali train", "dataset": "fashion-mini", "seed": 0, "steps": 30, "planned": 30, "seconds": 1.5,
            "versions": {"torch": "2"}, "hardware": {"device": "cpu"}}  # fmt: skip
ODD = [None, True, -1, 1 << 62, 1 << 70, 0.5, -0.5, 1e308, "", "x" * 20_000, "a\nb", "\x1b[31m", "\ud800", "\u202e", [],
       {}, [1], {"a": 1}, {"a": "\x1b"}, {"\n": "a"}]  # fmt: skip


def wrong(key: str, value: object, sound: dict[str, object]) -> bool:
    """Whether a value cannot be had there, from what the records say of themselves."""
    if key in ("value", "seconds"):
        if isinstance(value, bool) or not isinstance(value, int | float) or value == 1 << 70:
            return True
        return key == "seconds" and value < 0
    if isinstance(sound[key], int):
        return not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 63
    if isinstance(sound[key], dict):
        return value != {}
    return value != ""


@pytest.mark.parametrize("name", ["evaluation.json", "training.json"])
def test_damaged_records(name: str, untrained: Path, tmp_path: Path, ali: Ali) -> None:
    """Every shape of JSON, and every field with each odd value."""
    sound = FIGURE if name == "evaluation.json" else TRAINING

    def text(record: dict[str, object]) -> str:
        return json.dumps([record] if sound is FIGURE else record)

    texts = {shape: shape != "[]" or sound is TRAINING for shape in SHAPES}
    texts |= {text({k: v for k, v in sound.items() if k != key}): True for key in sound}
    texts |= {text({**sound, "more": 1}): True}
    texts |= {text({**sound, key: value}): wrong(key, value, sound) for key in sound for value in ODD}
    texts |= {text(sound): False}
    for content, damaged in texts.items():
        (untrained / name).write_text(content)
        result = ali("card", untrained)
        if damaged:
            assert name in refused(result), content
        else:
            assert result.code == 0, (content, result.err)
    (untrained / name).write_text("{")
    for words in (
        ["evaluate", untrained],
        ["export", untrained, "--out", "e"],
        ["push", untrained, "me/m", "--dry-run"],
    ):
        assert name in refused(ali(*words)) or words[0] == "evaluate"
    assert tree(tmp_path) == []


# --- How the program ends --------------------------------------------------------------------------


@pytest.mark.parametrize("raised", [MemoryError(), MemoryError("7 TiB"), RecursionError("too deep"),
                                    OSError(errno.EMFILE, "Too many open files", "x"), OSError(errno.EIO, "I/O error"),
                                    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 8 bytes")],
                         ids=repr)  # fmt: skip
def test_what_a_machine_does_not_have_is_no_bug(raised: Exception, ali: Ali, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise raised

    monkeypatch.setattr("ali_cli.commands.list_.print_table", fail)
    refused(ali("list"))


def test_a_bug_says_so_in_one_bounded_line(ali: Ali, monkeypatch: pytest.MonkeyPatch) -> None:
    class Odd(Exception):
        def __str__(self) -> str:
            raise ValueError

    errors = [KeyError("x" * 900_000), ValueError("\x1b[2Jgone\nerror: forged"), Odd(), EOFError("ended")]

    def fail(*_: object) -> None:
        raise errors[0]

    monkeypatch.setattr("ali_cli.commands.list_.print_table", fail)
    while errors:
        result = ali("list")
        assert (result.code, result.err.count("\n"), "\x1b" in result.err) == (1, 1, False)
        assert len(result.err) < 2100
        assert "(this is a bug; --debug shows where)" in result.err
        errors.pop(0)


def test_ctrl_c(ali: Ali, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ali_cli.commands.list_.print_table", interrupt)
    result = ali("list")
    assert (result.code, result.err.strip()) == (130, "error: interrupted")


@pytest.mark.parametrize(("number", "said"), [(signal.SIGTERM, "terminated"), (signal.SIGHUP, "terminal was closed")])
def test_signals_leave_nothing_half_written(number: int, said: str, untrained: Path, tmp_path: Path) -> None:
    code = (
        "import time, ali_plugin.support.atomic as atomic\nfrom ali_cli.main import main\n"
        "atomic.sync = lambda path: (open('ready', 'w').close(), time.sleep(60))\nmain()"
    )
    words = ["sample", str(untrained), "-n", "1", "--out", "x.png"]
    process = subprocess.Popen([sys.executable, "-c", code, *words], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 90
    while not Path("ready").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, said in err, err.count("\n")) == (128 + number, True, 1)
    assert tree(tmp_path) == ["ready"]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_output_of_another_encoding(encoding: str, untrained: Path, tmp_path: Path) -> None:
    names = ["bag \udce9", "Тапки", "\x1b[31m"]
    untrained = untrained.rename(untrained.with_name("Тапки"))
    absent = [["sample", name, "--out", "x.png"] for name in names]
    pushed = ["push", untrained, "me/m", "--dry-run"]
    *refused, done = each(*absent, pushed, env={**os.environ, "PYTHONIOENCODING": encoding})
    for end in refused:
        assert (end.code, end.err.count(b"\n"), b"bug" in end.err) == (1, 1, False)
    assert done.code == 0, done.err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_output_that_cannot_be_written() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run([*program(), "list"], stdout=full, stderr=subprocess.PIPE, text=True, timeout=120,
                              check=False)  # fmt: skip
    assert (done.returncode, done.stderr.count("\n"), "No space left" in done.stderr) == (1, 1, True)
    closed = subprocess.run(f"{program()[0]} list | true", shell=True, capture_output=True, timeout=120, check=False)
    assert closed.stderr == b""
