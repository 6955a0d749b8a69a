"""One plugin by itself: call its hooks, check what it registers. Nothing here knows of other plugins."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import pluggy

from ali_registry import hookspecs
from ali_registry.errors import InvalidRecord
from ali_registry.records import KINDS, Record

HOOKS = {f"register_{kind}s": record for kind, record in KINDS.items()}


def records_of(plugin: object) -> Iterator[Record]:
    """What a plugin registers, record by record, so that a caller knows how far it came.

    Each plugin gets a manager of its own: whatever is wrong with it cannot reach another.

    Raises:
        InvalidRecord: a hook that this version does not have, or has with other arguments; no hook at all;
            something that is no record of the hook's kind.
        Exception: whatever the plugin raises.
    """
    if plugin is None:
        raise InvalidRecord("the entry point names None, not a module or object with hooks")
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(plugin)
    except pluggy.PluginValidationError as error:
        raise InvalidRecord(_unlike_ours(str(error))) from error
    callers = manager.get_hookcallers(plugin) or []
    if not callers:
        raise InvalidRecord("implements no hook of ali-plugin; is @hookimpl missing?")
    for caller in callers:
        optional = all(implementation.optionalhook for implementation in caller.get_hookimpls())
        if not caller.has_spec() and not optional:
            raise InvalidRecord(f"implements {caller.name}, which this version of ali-plugin does not have; upgrade it")
    for hook, kind in HOOKS.items():
        taken: list[object] = []
        getattr(manager.hook, hook)(register=taken.append)
        for record in taken:
            if not isinstance(record, kind):
                raise InvalidRecord(f"{hook} was given a {type(record).__name__}, not an ali_plugin {kind.__name__}")
            yield record


def _unlike_ours(error: str) -> str:
    hook = next((name for name in HOOKS if repr(name) in error), None)
    if hook is None:
        return error
    ours = ", ".join(inspect.signature(getattr(hookspecs, hook)).parameters)
    return f"implements {hook} with other arguments than this version of ali-plugin, which passes ({ours}); upgrade one"
