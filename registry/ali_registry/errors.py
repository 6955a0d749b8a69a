"""The errors of the registry, under the one base class of the whole library."""

from __future__ import annotations

from collections.abc import Sequence

from ali_registry.text import printable


class ALIError(Exception):
    """Base of every exception that the library raises on purpose.

    Its text is one readable line, whatever was quoted in it: see ``ali_registry.text``.
    """

    def __init__(self, text: object = "") -> None:
        super().__init__(printable(text))


class UnknownName(ALIError):
    """No plugin registers this name; the text offers the closest names and where each comes from."""

    def __init__(self, kind: str | None, name: str, *, offers: Sequence[str], reasons: Sequence[str] = ()) -> None:
        self.kind, self.name = kind, name
        listed = " ".join(["ali list", *([kind] if kind else [])])
        offer = f"; did you mean {', '.join(offers)}?" if offers else f"; see `{listed}`"
        because = "".join(f" ({reason})" for reason in reasons)
        super().__init__(f"unknown {kind or 'name'} {name!r}{offer}{because}")


class UnavailableName(UnknownName):
    """The plugin that registers this name is broken; the text says why."""

    def __init__(self, kind: str | None, name: str, reasons: Sequence[str]) -> None:
        self.kind, self.name = kind, name
        ALIError.__init__(self, f"{kind or 'name'} {name!r} cannot be had: {'; '.join(reasons)}")


class DuplicateName(ALIError):
    """Two plugins register one name for the same kind, so that neither can be meant."""

    def __init__(self, kind: str, name: str, origins: Sequence[str]) -> None:
        self.kind, self.name, self.origins = kind, name, tuple(origins)
        super().__init__(
            f"{kind} {name!r} is registered by {' and by '.join(origins)}; uninstall one of them, or choose "
            "with ALI_PLUGINS=NAME[,NAME] which plugins or distributions load"
        )


class InvalidRecord(ALIError):
    """A plugin registers something that is not a sound record of its kind."""


class BuildFailed(ALIError):
    """The code of a record raised something; the text names the record."""


class MissingPart(ALIError):
    """A record names code that cannot be imported."""


class PluginFailed(BuildFailed):
    """A plugin's code raised what is no error of ours, or gave what it must not; the text names the plugin."""
