"""One broken plugin never stops a command: each fault as an installed distribution, beside a healthy one."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from ali_plugin import Dataset, hookimpl
from ali_registry import ALIError, build_registry, default_registry, restrict_plugins
from installed import ali, install

HEALTHY = """
@hookimpl
def register_datasets(register):
    register(Dataset(name="{name}", build=dict))
"""
TWICE = HEALTHY.format(name="double") + '    register(Dataset(name="double", build=dict))\n'

# Distribution -> its code, and what `ali plugins` says of it.
FAULTS = {
    "raises-on-import": ("raise RuntimeError('no licence key')", "cannot be imported: RuntimeError: no licence key"),
    "exits-on-import": ("import sys; sys.exit('goodbye')", "cannot be imported: SystemExit: goodbye"),
    "lacks-a-module": ("import not_there", "cannot be imported: ModuleNotFoundError: No module named 'not_there'"),
    "raises-in-hook": (
        "@hookimpl\ndef register_datasets(register):\n    raise ValueError('bad luck')",
        "ValueError: bad luck",
    ),
    "registers-twice": (TWICE, "registers the dataset 'double' twice"),
    "takes-a-name": (HEALTHY.format(name="fashion-mini"), "is registered by plugin 'datasets' of ali-plugin"),
    "takes-a-command": (
        "@hookimpl\ndef register_commands(register):\n    register(Command(name='train', build=dict))",
        "command 'train' is registered by",
    ),
    "wrong-type": (
        "@hookimpl\ndef register_architectures(register):\n    register({'name': 'dictionary'})",
        "register_architectures was given a dict, not an ali_plugin Architecture",
    ),
    "wrong-kind": (
        "@hookimpl\ndef register_encoders(register):\n    register(Decoder(name='upside-down', build=dict))",
        "register_encoders was given a Decoder, not an ali_plugin Encoder",
    ),
    "wrong-field": (
        "@hookimpl\ndef register_encoders(register):\n"
        "    register(Encoder(name='square', build=dict, data_shape=[1, 28]))",
        "encoder 'square': data_shape is [1, 28], not None or a tuple of sizes",
    ),
    "newer-hook": (
        "@hookimpl\ndef register_telepathy(register): ...",
        "implements register_telepathy, which this version of ali-plugin does not have",
    ),
    "newer-signature": (
        "@hookimpl\ndef register_encoders(register, weather): ...",
        "implements register_encoders with other arguments than this version of ali-plugin, which passes (register)",
    ),
    "asks-too-early": (
        "from ali_registry import default_registry\n@hookimpl\ndef register_datasets(register):\n"
        "    register(Dataset(name=default_registry().entries()[0].record.name, build=dict))",
        "a plugin asked for the registry while it is being made",
    ),
    "forgot-hookimpl": ("def register_datasets(register): ...", "implements no hook of ali-plugin"),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every fault at once, and healthy plugins before and after them in the order of loading."""
    folder = tmp_path_factory.mktemp("site")
    install(folder, "a-healthy", HEALTHY.format(name="first"))
    install(folder, "z-healthy", HEALTHY.format(name="last"), version="2.3")
    for name, (code, _) in FAULTS.items():
        install(folder, name, code, entry="faulty")
    return folder


@pytest.fixture(scope="module")
def shown(site: Path) -> dict[str, dict[str, object]]:
    """What ``ali plugins --json`` prints, by distribution."""
    done = ali("plugins", "--json", site=site)
    assert done.returncode == 0, done.stderr
    return {row["distribution"]: row for row in json.loads(done.stdout)}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_shown_with_its_distribution(name: str, shown: dict[str, dict[str, object]]) -> None:
    assert shown[name]["healthy"] is False
    assert FAULTS[name][1] in str(shown[name]["error"])
    assert shown[name]["plugin"] == "faulty"
    assert shown[name]["registers"] == []


def test_commands_go_on_with_the_others(site: Path, shown: dict[str, dict[str, object]]) -> None:
    assert shown["a-healthy"]["registers"] == ["dataset first"]
    done = ali("list", "dataset", "--json", site=site)
    assert done.returncode == 0
    rows = {row["name"]: (row["distribution"], row["version"]) for row in json.loads(done.stdout)}
    assert rows["first"] == ("a-healthy", "1.0")
    assert rows["last"] == ("z-healthy", "2.3")
    assert rows["fashion-mini"][0] == "ali-plugin"
    assert "train" in ali("--help", site=site).stdout


def test_the_one_that_is_needed_fails_with_its_reason(site: Path) -> None:
    done = ali("show", "double", site=site)
    assert done.returncode == 1
    expected = "cannot be had: plugin 'faulty' of registers-twice 1.0 is broken: registers the dataset 'double' twice"
    assert expected in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_name_that_a_plugin_may_have_had_comes_with_every_reason(tmp_path: Path) -> None:
    install(tmp_path, "raises", "raise RuntimeError('no licence key')")
    install(tmp_path, "clashes", HEALTHY.format(name="fashion-mini"))
    error = ali("show", "unheard-of", site=tmp_path).stderr
    assert "(plugin 'raises' of raises 1.0 is broken: cannot be imported: RuntimeError: no licence key)" in error
    assert "clashes" not in error  # it was asked to the end: this name is not among its own


def test_two_plugins_with_one_name_are_both_named(tmp_path: Path) -> None:
    code = (
        "import click\n@hookimpl\ndef register_commands(register):\n"
        "    register(Command(name='contested', build=lambda: click.Command('x', callback=lambda: print('ran'))))"
    )
    install(tmp_path, "one", code)
    install(tmp_path, "two", code)
    done = ali("contested", site=tmp_path)
    assert done.returncode == 1
    assert "registered by plugin 'one' of one 1.0 and by plugin 'two' of two 1.0" in done.stderr
    assert ali("contested", site=tmp_path, ALI_PLUGINS="two").stdout == "ran\n"


def test_no_plugins_and_the_variable_restrict_loading(site: Path) -> None:
    def states(*options: str, **variables: str) -> dict[str, tuple[bool, object]]:
        rows = json.loads(ali("plugins", "--json", *options, site=site, **variables).stdout)
        return {row["distribution"] or row["plugin"]: (row["healthy"], row["left_out_by"]) for row in rows}

    assert states("--no-plugins")["a-healthy"] == (True, "--no-plugins")
    assert states("--no-plugins")["raises-on-import"] == (True, "--no-plugins")
    assert states("--no-plugins")["ali-plugin"] == (True, None)
    some = states(ALI_PLUGINS="a-healthy, Z_Healthy")
    assert (some["a-healthy"], some["z-healthy"]) == ((True, None), (True, None))
    assert some["registers-twice"] == (True, "ALI_PLUGINS")
    assert states(ALI_PLUGINS="")["a-healthy"] == (True, "ALI_PLUGINS")
    assert states(ALI_PLUGINS="a-healthy,a-helthy")["a-helthy"][0] is False  # a slip is not passed over
    done = ali("--no-plugins", "show", "first", site=site)
    assert done.returncode == 1
    assert "plugin 'a-healthy' of a-healthy 1.0 is left out by --no-plugins" in done.stderr


def test_the_restriction_can_be_set_and_lifted_in_a_program() -> None:
    before = len(default_registry().entries())
    restrict_plugins(())
    try:
        assert all(entry.origin.distribution == "ali-plugin" for entry in default_registry().entries())
    finally:
        restrict_plugins(None)
    assert len(default_registry().entries()) == before


def test_a_half_removed_distribution_does_no_harm(tmp_path: Path) -> None:
    install(tmp_path, "ghost", HEALTHY.format(name="ghostly"))
    (tmp_path / "ghost-1.0.dist-info" / "METADATA").unlink()
    done = ali("list", "--json", site=tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_command_that_is_none_fails_when_it_is_run_and_not_before(tmp_path: Path) -> None:
    install(
        tmp_path,
        "bad-command",
        "@hookimpl\ndef register_commands(register):\n    register(Command(name='odd', summary='Odd.', build=dict))\n"
        "    register(Command(name='gone', summary='Gone.', build='bad_command:nothing'))",
    )
    assert "Odd." in ali("--help", site=tmp_path).stdout
    odd, gone = ali("odd", site=tmp_path), ali("gone", site=tmp_path)
    assert "command 'odd' of plugin 'bad-command' of bad-command 1.0 is a dict, not a click.Command" in odd.stderr
    assert "command 'gone': cannot import 'bad_command:nothing'" in gone.stderr
    assert (odd.returncode, gone.returncode) == (1, 1)


def test_an_optional_hook_of_a_later_version_is_no_fault() -> None:
    @hookimpl(optionalhook=True)
    def register_telepathy(register: object) -> None: ...

    @hookimpl
    def register_datasets(register: object) -> None:
        register(Dataset(name="here", build=dict))  # type: ignore[operator]

    plugin = SimpleNamespace(
        __name__="both", register_telepathy=register_telepathy, register_datasets=register_datasets
    )
    assert build_registry((), [plugin]).plugins[-1].error is None


def test_every_error_of_the_registry_is_an_ali_error() -> None:
    with pytest.raises(ALIError):
        build_registry(()).get(Dataset, "nothing")
