"""Find plugins, ask each for its records, keep the sound ones and remember why the others failed."""

from __future__ import annotations

import difflib
import functools
import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import TypeVar

import pluggy

from ali_registry import hookspecs
from ali_registry.errors import ALIError, DuplicateName, InvalidRecord, UnknownName
from ali_registry.records import KINDS, Record

R = TypeVar("R", bound=Record)
HOOKS = {f"register_{kind}s": record for kind, record in KINDS.items()}
HOME = "ali-plugin"
"""The distribution whose plugins are the built-in ones."""


@dataclass(frozen=True)
class Origin:
    """Where a record comes from."""

    plugin: str
    distribution: str
    version: str

    def __str__(self) -> str:
        if not self.distribution:
            return f"plugin {self.plugin!r}"
        return f"plugin {self.plugin!r} of {self.distribution} {self.version}"


@dataclass(frozen=True)
class Entry:
    """A registered record and its origin."""

    record: Record
    origin: Origin


@dataclass
class PluginStatus:
    """A plugin that was found: healthy if ``error`` is None, otherwise none of its records count."""

    origin: Origin
    error: str | None = None
    entries: list[Entry] = field(default_factory=list)


class Registry:
    """The records of all healthy plugins, by kind and name."""

    def __init__(self) -> None:
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)
        self._entries: dict[tuple[str, str], Entry] = {}
        self._contested: dict[tuple[str, str], list[Origin]] = {}
        self.plugins: list[PluginStatus] = []

    def add(self, plugin: object, origin: Origin | None = None) -> PluginStatus:
        """Take a plugin's records: all of them, or none and a reason in the returned status."""
        name = getattr(plugin, "__name__", type(plugin).__name__)
        status = PluginStatus(origin or Origin(str(name), "", ""))
        self.plugins.append(status)
        try:
            self._manager.register(plugin, name=f"{status.origin.distribution}:{status.origin.plugin}")
            self._refuse_newer_hooks(plugin)
            status.entries = list(self._ask(plugin, status.origin))
            self._refuse_taken_names(status.entries)
        except Exception as error:
            status.entries, status.error = [], _reason(error)
            if self._manager.is_registered(plugin):
                self._manager.unregister(plugin)
        for entry in status.entries:
            self._entries[entry.record.kind, entry.record.name] = entry
        return status

    def remove(self, plugin: object) -> None:
        """Forget a plugin that ``add`` took, healthy or not."""
        name = getattr(plugin, "__name__", type(plugin).__name__)
        if self._manager.is_registered(plugin):
            self._manager.unregister(plugin)
        for status in [s for s in self.plugins if s.origin.plugin == name]:
            self.plugins.remove(status)
            for entry in status.entries:
                del self._entries[entry.record.kind, entry.record.name]
            for origins in self._contested.values():
                origins[:] = [origin for origin in origins if origin != status.origin]

    def add_entry_point(self, entry_point: EntryPoint) -> PluginStatus:
        """Import and take the plugin behind an entry point; a failing import is a status, not an error."""
        distribution = entry_point.dist
        origin = Origin(
            entry_point.name,
            distribution.name if distribution else "",
            distribution.version if distribution else "",
        )
        try:
            plugin = entry_point.load()
        except Exception as error:
            status = PluginStatus(origin, f"cannot be imported: {_reason(error)}")
            self.plugins.append(status)
            return status
        return self.add(plugin, origin)

    def entries(self, kind: str | None = None) -> list[Entry]:
        """All entries, or those of one kind, by kind and name."""
        kinds = list(KINDS)
        found = [entry for entry in self._entries.values() if kind in (None, entry.record.kind)]
        return sorted(found, key=lambda entry: (kinds.index(entry.record.kind), entry.record.name))

    def entry(self, kind: type[Record], name: str) -> Entry:
        """The entry of this kind and name.

        Raises:
            UnknownName: nothing healthy registers it.
            DuplicateName: two plugins do.
        """
        key = (kind.kind, name)
        if key in self._entries:
            holder = self._entries[key].origin
            rivals = self._contested.get(key, [])
            if rivals and holder.distribution != HOME:
                raise DuplicateName(*key, [str(holder), *map(str, rivals)])
            return self._entries[key]
        raise UnknownName(*key, offers=self._offers(*key), reasons=list(self._failures()))

    def get(self, kind: type[R], name: str) -> R:
        """The record of this kind and name; raises as ``entry`` does."""
        record = self.entry(kind, name).record
        assert isinstance(record, kind)
        return record

    def _ask(self, plugin: object, origin: Origin) -> Iterator[Entry]:
        others = set(self._manager.get_plugins()) - {plugin}
        for hook, kind in HOOKS.items():
            taken: list[object] = []
            self._manager.subset_hook_caller(hook, others)(register=taken.append)
            for record in taken:
                if not isinstance(record, kind):
                    raise InvalidRecord(
                        f"{hook} was given a {type(record).__name__}, not an ali_registry {kind.__name__}"
                    )
                yield Entry(record, origin)

    def _refuse_newer_hooks(self, plugin: object) -> None:
        callers = self._manager.get_hookcallers(plugin) or []
        unknown = sorted(caller.name for caller in callers if not caller.has_spec())
        if unknown:
            raise InvalidRecord(
                f"implements {', '.join(unknown)}, which this version of {HOME} does not have; upgrade {HOME}"
            )

    def _refuse_taken_names(self, entries: list[Entry]) -> None:
        own: set[tuple[str, str]] = set()
        clashes = []
        for entry in entries:
            key = (entry.record.kind, entry.record.name)
            if key in own:
                raise InvalidRecord(f"registers the {key[0]} {key[1]!r} twice")
            own.add(key)
            if key in self._entries:
                self._contested.setdefault(key, []).append(entry.origin)
                clashes.append(DuplicateName(*key, [str(self._entries[key].origin), str(entry.origin)]))
        if clashes:
            raise clashes[0]

    def _offers(self, kind: str, name: str) -> list[str]:
        names = {entry.record.name: entry.origin for entry in self.entries(kind)}
        close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        return [f"{match!r} ({names[match].distribution or names[match].plugin})" for match in close]

    def _failures(self) -> Iterator[str]:
        for status in self.plugins:
            if status.error:
                yield f"{status.origin} is broken: {status.error}"


def build_registry(only: Collection[str] | None = None, plugins: Iterable[object] = ()) -> Registry:
    """Make a registry of the installed plugins.

    Args:
        only: names of the third-party entry points to load, None for all. The built-in ones always load.
        plugins: further plugin objects to take after them.
    """
    found = entry_points(group=hookspecs.PROJECT)
    registry = Registry()
    by_origin = {(point.dist.name if point.dist else "", point.name): point for point in found}
    for (distribution, name), point in sorted(by_origin.items(), key=lambda item: (item[0][0] != HOME, item[0])):
        if distribution == HOME or only is None or name in only:
            registry.add_entry_point(point)
    for plugin in plugins:
        registry.add(plugin)
    return registry


@functools.cache
def default_registry() -> Registry:
    """The registry of this process, made at first use; ``ALI_PLUGINS=a,b`` (or empty) restricts it."""
    wanted = os.environ.get("ALI_PLUGINS")
    only = None if wanted is None else {name.strip() for name in wanted.split(",") if name.strip()}
    return build_registry(only)


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, ALIError) else f"{type(error).__name__}: {text}"
