"""The plugin registry of ali-plugin: hooks, records, manager, errors. It knows nothing of torch."""

from ali_registry.errors import ALIError, DuplicateName, InvalidRecord, MissingPart, UnavailableName, UnknownName
from ali_registry.hookspecs import hookimpl
from ali_registry.manager import (
    Entry,
    Origin,
    PluginStatus,
    Registry,
    build_registry,
    default_registry,
    restrict_plugins,
)
from ali_registry.records import (
    KINDS,
    Architecture,
    Callback,
    Command,
    Dataset,
    Decoder,
    Discriminator,
    Encoder,
    Metric,
    Objective,
    Part,
    Record,
    TrainingDefaults,
)

__all__ = [
    "KINDS", "ALIError", "Architecture", "Callback", "Command", "Dataset", "Decoder", "Discriminator",
    "DuplicateName", "Encoder", "Entry", "InvalidRecord", "Metric", "MissingPart", "Objective", "Origin",
    "Part", "PluginStatus", "Record", "Registry", "TrainingDefaults", "UnavailableName", "UnknownName",
    "build_registry", "default_registry", "hookimpl", "restrict_plugins",
]  # fmt: skip
