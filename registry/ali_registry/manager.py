"""Find plugins, ask each for its records, keep the sound ones and remember why the others failed."""

from __future__ import annotations

import difflib
import os
import re
import threading
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import TypeVar

from ali_registry import hookspecs
from ali_registry.errors import ALIError, DuplicateName, InvalidRecord, UnavailableName, UnknownName
from ali_registry.guard import guarded, reason
from ali_registry.plugin import records_of
from ali_registry.records import KINDS, Record

R = TypeVar("R", bound=Record)
Key = tuple[str, str]
"""Kind and name."""

HOME = "ali-plugin"
"""The distribution whose plugins are the built-in ones."""

VARIABLE = "ALI_PLUGINS"


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
    """A plugin that was found.

    Attributes:
        error: None if it is healthy; otherwise none of its records count.
        left_out_by: the option or variable that kept it from being loaded, None if it was.
        offered: kind and name of all that it registered, of a broken one as far as it came.
        complete: it came to the end, so that it has nothing but ``offered``.
    """

    origin: Origin
    error: str | None = None
    left_out_by: str | None = None
    entries: list[Entry] = field(default_factory=list)
    offered: list[Key] = field(default_factory=list)
    complete: bool = False
    plugin: object = field(default=None, repr=False)

    @property
    def state(self) -> str:
        """One line for people."""
        if self.left_out_by:
            return f"left out by {self.left_out_by}"
        return self.error or f"ok, registers {len(self.entries)}"


class Registry:
    """The records of all healthy plugins, by kind and name."""

    def __init__(self) -> None:
        self._entries: dict[Key, Entry] = {}
        self._rivals: dict[Key, list[Origin]] = {}
        self.plugins: list[PluginStatus] = []

    def add(self, plugin: object, origin: Origin | None = None) -> PluginStatus:
        """Take a plugin's records: all of them, or none and a reason in the returned status."""
        status = PluginStatus(origin or Origin(_name(plugin), "", ""), plugin=plugin)
        self.plugins.append(status)
        found = []
        try:
            with guarded():
                for record in records_of(plugin):
                    found.append(Entry(record, status.origin))
                    status.offered.append((record.kind, record.name))
            status.complete = True
            self._refuse_taken_names(status)
        except Exception as error:
            status.error = reason(error)
            return status
        status.entries = found
        self._entries |= {(entry.record.kind, entry.record.name): entry for entry in found}
        return status

    def remove(self, plugin: object) -> None:
        """Forget a plugin that ``add`` took, healthy or not."""
        for status in [status for status in self.plugins if status.plugin is plugin]:
            self.plugins.remove(status)
            for entry in status.entries:
                del self._entries[entry.record.kind, entry.record.name]
            for origins in self._rivals.values():
                origins[:] = [origin for origin in origins if origin != status.origin]

    def add_entry_point(self, entry_point: EntryPoint) -> PluginStatus:
        """Import and take the plugin behind an entry point; a failing import is a status, not an error."""
        origin = _origin(entry_point)
        try:
            with guarded():
                plugin = entry_point.load()
        except Exception as error:
            status = PluginStatus(origin, f"cannot be imported: {reason(error)}")
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
        key = (kind.kind, name.partition(":")[0])
        if key not in self._entries or not self._entries[key].record.answers_to(name):
            raise self.unknown(name, kind.kind)
        holder = self._entries[key].origin
        rivals = self._rivals.get(key, [])
        if rivals and holder.distribution != HOME:
            raise DuplicateName(*key, [str(holder), *map(str, rivals)])
        return self._entries[key]

    def get(self, kind: type[R], name: str) -> R:
        """The record of this kind and name; raises as ``entry`` does."""
        record = self.entry(kind, name).record
        assert isinstance(record, kind)
        return record

    def unknown(self, name: str, kind: str | None = None) -> UnknownName:
        """The error for a name that nothing healthy registers, with the reasons that are known.

        Args:
            kind: None where the name could be of any kind.
        """
        broken = [status for status in self.plugins if status.error]
        owners = [s for s in broken if any(n == name and kind in (None, k) for k, n in s.offered)]
        if owners:
            return UnavailableName(kind, name, [f"{status.origin} is broken: {status.error}" for status in owners])
        reasons = [f"{status.origin} is broken: {status.error}" for status in broken if not status.complete]
        reasons += [f"{status.origin} is left out by {status.left_out_by}" for status in self.plugins
                    if status.left_out_by]  # fmt: skip
        return UnknownName(kind, name, offers=self._offers(kind, name), reasons=reasons)

    def _refuse_taken_names(self, status: PluginStatus) -> None:
        own: set[Key] = set()
        clashes = []
        for key in status.offered:
            if key in own:
                raise InvalidRecord(f"registers the {key[0]} {key[1]!r} twice")
            own.add(key)
            if key in self._entries:
                clashes.append(DuplicateName(*key, [str(self._entries[key].origin), str(status.origin)]))
        for clash in clashes:
            self._rivals.setdefault((clash.kind, clash.name), []).append(status.origin)
        if clashes:
            raise clashes[0]

    def _offers(self, kind: str | None, name: str) -> list[str]:
        names = {entry.record.name: entry.origin for entry in self.entries(kind)}
        close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        return [f"{match!r} ({names[match].distribution or names[match].plugin})" for match in close]


def build_registry(
    only: Collection[str] | None = None, plugins: Iterable[object] = (), *, because: str = "only"
) -> Registry:
    """Make a registry of the installed plugins.

    Args:
        only: names of the third-party plugins to load, or of their distributions, None for all. The
            built-in ones always load.
        plugins: further plugin objects to take after them.
        because: what to call the restriction when somebody misses a plugin.
    """
    registry = Registry()
    wanted = None if only is None else {_canonical(name): name for name in only}
    used: set[str] = set()
    for origin, point in _installed():
        names = {_canonical(origin.plugin), _canonical(origin.distribution)}
        if origin.distribution == HOME or wanted is None or names & set(wanted):
            used |= names
            registry.add_entry_point(point)
        else:
            registry.plugins.append(PluginStatus(origin, left_out_by=because))
    for missing in sorted(set(wanted or ()) - used):
        name = (wanted or {})[missing]
        error = f"{because} names it, but no installed distribution has such a plugin"
        registry.plugins.append(PluginStatus(Origin(name, "", ""), error, complete=True))
    for plugin in plugins:
        registry.add(plugin)
    return registry


def _installed() -> Iterator[tuple[Origin, EntryPoint]]:
    """Entry points with their origins, the built-in ones first, each once."""
    found = {_origin(point): point for point in entry_points(group=hookspecs.PROJECT)}
    order = sorted(found, key=lambda origin: (origin.distribution != HOME, origin.distribution, origin.plugin))
    return ((origin, found[origin]) for origin in order)


def _origin(point: EntryPoint) -> Origin:
    try:
        return Origin(point.name, str(point.dist.name or ""), str(point.dist.version or ""))  # type: ignore[union-attr]
    except Exception:  # a distribution whose metadata is half removed; its plugin may still work
        return Origin(point.name, "", "")


def _name(plugin: object) -> str:
    try:
        with guarded():
            return str(getattr(plugin, "__name__", type(plugin).__name__))
    except Exception:
        return type(plugin).__name__


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


class DefaultRegistry:
    """The registry of this process, made at the first call; ``ALI_PLUGINS=a,b`` (or empty) restricts it."""

    def __init__(self) -> None:
        self._lock, self._loading = threading.RLock(), False
        self._made: Registry | None = None
        self._only: tuple[frozenset[str], str] | None = None

    def __call__(self) -> Registry:
        """The registry, the same for all threads.

        Raises:
            ALIError: a plugin asks for it while the plugins are being loaded.
        """
        with self._lock:  # other threads wait; a plugin that asks while it is being loaded would wait for itself
            if self._loading:
                raise ALIError(
                    "a plugin asked for the registry while it is being made; look names up later, in build()"
                )
            if self._made is None:
                self._loading = True
                try:
                    self._made = self._build()
                finally:
                    self._loading = False
            return self._made

    def restrict(self, only: Collection[str] | None, because: str) -> None:
        """See ``restrict_plugins``."""
        with self._lock:
            self._only = None if only is None else (frozenset(only), because)
            self._made = None

    def cache_clear(self) -> None:
        """Make the registry anew when somebody asks for it next."""
        with self._lock:
            self._made = None

    def _build(self) -> Registry:
        if self._only is not None:
            return build_registry(self._only[0], because=self._only[1])
        wanted = os.environ.get(VARIABLE)
        names = None if wanted is None else {name.strip() for name in wanted.split(",") if name.strip()}
        return build_registry(names, because=VARIABLE)


default_registry = DefaultRegistry()


def restrict_plugins(only: Collection[str] | None, because: str = "restrict_plugins") -> None:
    """Let the default registry load only these third-party plugins (none: ``()``); None lifts it again.

    It goes before ``ALI_PLUGINS``. A default registry that was made already is made anew.
    """
    default_registry.restrict(only, because)
