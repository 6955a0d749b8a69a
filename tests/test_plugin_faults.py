"""Whatever a plugin raises or prints stays its own: it is reported, the rest goes on, results stay clean."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ali_plugin import Dataset
from ali_registry import ALIError, DefaultRegistry
from ali_registry.guard import Escaped, guarded, reason
from installed import ali, install

HEALTHY = "@hookimpl\ndef register_datasets(register):\n    register(Dataset(name='healthy', build=dict))"
IN_HOOK = "@hookimpl\ndef register_datasets(register):\n    "

# Statement that raises -> what is said of it.
RAISED = {
    "raise KeyboardInterrupt": "KeyboardInterrupt",
    "raise KeyboardInterrupt('now')": "KeyboardInterrupt: now",
    "raise GeneratorExit": "GeneratorExit",
    "raise SystemExit(3)": "SystemExit: 3",
    "exit('bye')": "SystemExit: bye",
    "raise BaseException('base')": "BaseException: base",
    "raise type('Own', (BaseException,), {})('own')": "Own: own",
    "raise BaseExceptionGroup('some', [KeyboardInterrupt()])": "BaseExceptionGroup",
    "import asyncio; raise asyncio.CancelledError('c')": "CancelledError: c",
    "raise StopIteration('s')": "StopIteration",
    "raise MemoryError": "MemoryError",
    "raise RecursionError('deep')": "RecursionError: deep",
    "raise type('Silent', (Exception,), {'__str__': lambda self: 1 / 0})": "Silent",
    "raise type('Loud', (Exception,), {'__str__': lambda self: exit(4)})": "Loud",
    "raise type('Keys', (Exception,), {'__str__': lambda self: (_ for _ in ()).throw(KeyboardInterrupt)})": "Keys",
    "raise type('Number', (Exception,), {'__str__': lambda self: 7})": "Number",
    "raise ValueError('\\x1b[31mred\\nerror: forged')": "ValueError: \\x1b[31mred error: forged",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each statement once at import and once in a hook, between healthy plugins."""
    folder = tmp_path_factory.mktemp("site")
    install(folder, "a-healthy", HEALTHY)
    install(folder, "z-healthy", HEALTHY.replace("healthy", "last"))
    for i, statement in enumerate(RAISED):
        install(folder, f"import-{i}", statement)
        install(folder, f"hook-{i}", IN_HOOK + statement)
    return folder


def test_each_fault_is_reported_and_the_rest_goes_on(site: Path) -> None:
    done = ali("plugins", "--json", site=site)
    assert done.returncode == 0, done.stderr
    rows = {row["distribution"]: row for row in json.loads(done.stdout)}
    for i, said in enumerate(RAISED.values()):
        assert said in rows[f"import-{i}"]["error"], said
        assert rows[f"import-{i}"]["error"].startswith("cannot be imported: ")
        assert said in rows[f"hook-{i}"]["error"], said
    assert rows["a-healthy"]["healthy"]
    assert rows["z-healthy"]["registers"] == ["dataset last"]
    assert "Traceback" not in done.stderr
    assert ali("list", "dataset", site=site).returncode == 0
    assert ali("plugins", site=site).returncode == 0


PRINTS = {
    "print": "print('hello from the plugin')",
    "sys.stdout": "import sys; sys.stdout.write('hello')",
    "sys.__stdout__": "import sys; sys.__stdout__.write('hello')",
    "the file itself": "import os; os.write(1, b'hello')",
    "another process": "import os; os.system('echo hello')",
    "a library that replaces stdout": "import io, sys; print('hello'); sys.stdout = io.StringIO()",
}


@pytest.mark.parametrize("how", PRINTS)
def test_what_a_plugin_prints_does_not_spoil_json(how: str, tmp_path: Path) -> None:
    install(tmp_path, "at-import", PRINTS[how] + "\n" + HEALTHY)
    install(tmp_path, "in-hook", IN_HOOK + PRINTS[how].replace("; ", "\n    "))
    for arguments in (("plugins",), ("list", "dataset")):
        done = ali(*arguments, "--json", site=tmp_path)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)
        assert "hello" in done.stderr


def test_what_a_part_prints_and_raises_when_it_is_built(tmp_path: Path) -> None:
    code = """
    def parts(kind, **options):
        print("hello from", kind)
        {then}
        from ali_plugin.architectures import mixture
        return __import__("importlib").import_module("torch.nn").Linear(2, 2)

    def encoder(**options): return parts("encoder")

    @hookimpl
    def register_encoders(register):
        register(Encoder(name="speaks", build=encoder))
    @hookimpl
    def register_architectures(register):
        register(Architecture(name="speaks", encoder="speaks", decoder="mixture", discriminator="mixture",
                              data_shape=(2,), latent_size=2, training=TrainingDefaults(dataset="mixture")))
    """
    header = "from ali_plugin import TrainingDefaults\nimport textwrap\n"
    for name, then in (("fine", "pass"), ("exits", "raise SystemExit(3)"), ("keys", "raise KeyboardInterrupt")):
        from textwrap import dedent

        install(tmp_path / name, name, header + dedent(code).replace("{then}", then))
    fine = ali("train", "--arch", "speaks", "--dry-run", "--json", site=tmp_path / "fine")
    assert fine.returncode == 0, fine.stderr
    assert json.loads(fine.stdout)["samples"] == 100_000
    assert "hello from encoder" in fine.stderr
    for name, said in (("exits", "SystemExit: 3"), ("keys", "KeyboardInterrupt")):
        done = ali("train", "--arch", "speaks", "--dry-run", site=tmp_path / name)
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1] == f"error: encoder 'speaks' cannot be built with {{}}: {said}"


def test_datasets_commands_and_modules_that_raise_are_named(tmp_path: Path) -> None:
    code = """
    def build(**options): raise SystemExit("no licence")
    def command(): raise GeneratorExit
    @hookimpl
    def register_datasets(register):
        register(Dataset(name="exits", build=build))
        register(Dataset(name="not-there", build="broken_later:build"))
    @hookimpl
    def register_commands(register):
        register(Command(name="odd", build=command))
    """
    install(tmp_path, "plugin", code)
    (tmp_path / "broken_later.py").write_text("raise KeyboardInterrupt('later')")
    for arguments, said in (
        (("train", "--dataset", "exits", "--dry-run"), "dataset 'exits' failed: SystemExit: no licence"),
        (("train", "--dataset", "not-there", "--dry-run"),
         "dataset 'not-there': cannot import 'broken_later:build': KeyboardInterrupt: later"),
        (("odd",), "command 'odd' failed: GeneratorExit"),
    ):  # fmt: skip
        done = ali(*arguments, site=tmp_path)
        assert done.returncode == 1
        assert done.stderr.startswith("error: ")
        assert done.stderr.endswith(f"{said}\n")


SLEEP = "import time\ntry:\n    time.sleep(60)\n"


@pytest.mark.parametrize(
    "code", [SLEEP + "finally: pass", SLEEP + "except: pass", SLEEP + "except BaseException: 1 / 0"]
)
def test_a_persons_interrupt_ends_the_program_whatever_the_plugin_makes_of_it(code: str, tmp_path: Path) -> None:
    install(tmp_path, "slow", f"import sys\nsys.stderr.write('here\\n'); sys.stderr.flush()\n{code}\n{HEALTHY}")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "ali_cli", "plugins"]
    with subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": path}, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "here\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert process.stderr.read().endswith("error: interrupted\n")


def test_the_handler_of_interrupts_is_as_before() -> None:
    before = signal.getsignal(signal.SIGINT)
    with guarded():
        assert signal.getsignal(signal.SIGINT) is not before
        with guarded():
            pass
    assert signal.getsignal(signal.SIGINT) is before

    def own(*_: object) -> None: ...

    try:
        with guarded():
            signal.signal(signal.SIGINT, own)
        assert signal.getsignal(signal.SIGINT) is own
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_guard_in_another_thread() -> None:
    found: list[BaseException] = []

    def work() -> None:
        try:
            with guarded():
                raise KeyboardInterrupt("mine")
        except Exception as error:
            found.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert isinstance(found[0], Escaped)
    assert reason(found[0]) == "KeyboardInterrupt: mine"


def test_guards_that_overlap_leave_stdout_as_it_was() -> None:
    before, barrier = sys.stdout, threading.Barrier(4)

    def work(i: int) -> None:
        barrier.wait()
        for _ in range(20):
            with guarded():
                time.sleep(0.0005 * i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sys.stdout is before


def test_a_closed_stdout_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "__stdout__", closed)
    with guarded():
        print("somewhere")


@pytest.mark.parametrize("threads", [2, 16])
def test_threads_that_ask_first_get_one_registry(threads: int) -> None:
    for _ in range(5):
        registry, found, barrier = DefaultRegistry(), [], threading.Barrier(threads)

        def ask() -> None:
            barrier.wait()  # noqa: B023
            found.append(registry())  # noqa: B023

        asking = [threading.Thread(target=ask) for _ in range(threads)]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join()
        assert len({id(one) for one in found}) == 1
        assert found[0].get(Dataset, "mixture")


def test_a_restriction_makes_the_registry_anew_and_clearing_too() -> None:
    registry = DefaultRegistry()
    first = registry()
    assert registry() is first
    registry.restrict((), "a test")
    second = registry()
    assert second is not first
    registry.cache_clear()
    assert registry() is not second


def test_asking_while_loading_is_refused_and_no_dead_end() -> None:
    registry = DefaultRegistry()
    registry._loading = True
    with pytest.raises(ALIError, match="asked for the registry while it is being made"):
        registry()
    registry._loading = False
    assert registry()
