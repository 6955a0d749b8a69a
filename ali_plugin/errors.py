"""The named exceptions of the model family, all of them ``ALIError``."""

from __future__ import annotations

from ali_registry import ALIError

__all__ = [
    "ALIError", "CallbackFailed", "CardError", "ConfigError", "DataError", "DeviceError", "FolderError", "HubError",
    "MissingExtra", "OptionError", "OutOfMemory", "PartMismatch", "ProcessesFailed", "TrainingDiverged", "WeightsError",
]  # fmt: skip


class PartMismatch(ALIError):
    """Two parts, or a part and the data, disagree about a shape."""


class ConfigError(ALIError):
    """A config.json or train_config.json that is missing, damaged, too new or not understood."""


class WeightsError(ALIError):
    """A safetensors file that is missing, damaged or not of the shapes that the config implies."""


class FolderError(ALIError):
    """A folder that is not what the operation needs: in use, not a model folder, not a run."""


class DataError(ALIError):
    """A data folder or file that is missing, empty, damaged or of another kind."""


class DeviceError(ALIError):
    """A device that this machine does not have."""


class OptionError(ALIError):
    """A value that an option cannot have."""


class OutOfMemory(ALIError):
    """Memory of this machine or its GPU that cannot be had."""


class CardError(ALIError):
    """A README.md whose metadata cannot be understood, so that it is not overwritten."""


class HubError(ALIError):
    """The Hub cannot be reached, refuses, or gave something that is not what it said. Never holds a token."""


class MissingExtra(ALIError):
    """An optional dependency that is not installed; the text names the extra."""


class ProcessesFailed(ALIError):
    """The processes of a run on several devices ended with an error."""


class CallbackFailed(ALIError):
    """A callback raised while it watched a run; the run ends, its checkpoints stay."""


class TrainingDiverged(ALIError):
    """A loss became NaN or infinite."""

    def __init__(self, step: int, name: str, value: float, checkpoint: str | None = None) -> None:
        self.step, self.name, self.value, self.checkpoint = step, name, value, checkpoint
        kept = f"the last good checkpoint is {checkpoint}" if checkpoint else "no checkpoint had been written"
        super().__init__(f"{name} became {value} at step {step}; {kept}; try a smaller --lr, or --on-nan rewind")
