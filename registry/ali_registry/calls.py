"""The door to a plugin's code: whatever it raises becomes one error that names the plugin."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ali_registry.errors import ALIError, BuildFailed, PluginFailed
from ali_registry.manager import HOME, Entry
from ali_registry.text import as_text


@contextmanager
def blaming(entry: Entry) -> Iterator[None]:
    """Run code of what a plugin registered.

    Errors of ours pass, and so does Ctrl-C. What the built-in plugins raise passes too: it is no fault of another.

    Raises:
        PluginFailed: the code raised anything else, such as SystemExit.
    """
    try:
        yield
    except BuildFailed as error:
        if entry.origin.distribution == HOME:
            raise
        raise PluginFailed(f"{entry.origin}: {error}") from (error.__cause__ or error)
    except (ALIError, KeyboardInterrupt):
        raise
    except BaseException as error:
        if entry.origin.distribution == HOME:
            raise
        what = f"{entry.record.kind} {entry.record.name!r} of {entry.origin}"
        raise PluginFailed(f"{what} failed: {type(error).__name__}: {as_text(error)}".rstrip(": ")) from error
